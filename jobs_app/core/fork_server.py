"""A small process that forks others, so that no process of ours that gets a secret is an `exec`.

A process is readable for others of its user from its `exec` until it protects itself. A
descriptor of its memory that somebody opened meanwhile works for ever. A process that a
protected one forks is protected from its first instant.

A process starts its server in its first lines (`start`), when it holds no secret and has no
thread. Processes that it forks share the server. Each request is one byte, with descriptors:
the order, the pipe for the process id and the exit code, and those for the new process.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from jobs_app.core.process import protect_memory

REQUEST = b"f"
MAX_FDS = 16

#: Not for the server: a terminal or a service manager sends these to all processes.
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)

#: What a process needs of the environment that is neither a setting nor a secret.
PLAIN_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")

_connection: socket.socket | None = None
_lock = threading.Lock()


def plain_environment() -> dict[str, str]:
    """Return the variables of this process that cannot be secret: PLAIN_VARIABLES."""
    return {name: os.environ[name] for name in PLAIN_VARIABLES if name in os.environ}


class ForkedProcess:
    """A process that the server has forked, with what we use of `subprocess.Popen`."""

    def __init__(self, status_fd: int) -> None:
        self._status = os.fdopen(status_fd, "rb", buffering=0)
        line = self._status.readline()
        if not line:
            self._status.close()
            raise OSError("no process could be forked: the system is short of processes or files")
        self.pid = int(line)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: minus the signal), None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code at its end; raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it (SIGKILL), unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipe to the server; a process that still runs goes on."""
        self._status.close()

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                # Empty: the server was killed. It takes its processes for dead.
                self.returncode = int(self._status.readline() or -signal.SIGKILL)
                self._status.close()
        return self.returncode


def spawn(
    target: str,
    *arguments: str,
    fds: Sequence[int] = (),
    environment: Mapping[str, str],
    title: str,
) -> ForkedProcess:
    """Fork a process that calls *target* (`module:function`) with *arguments* and *fds*.

    It leads a session, its standard streams are /dev/null, and it has no other descriptor
    and no other variable. *title* is its command line for `ps`. Raises OSError.
    """
    order = {
        "target": target,
        "arguments": arguments,
        "environment": dict(environment),
        "title": title,
    }
    order_read, order_write = os.pipe()
    status_read, status_write = os.pipe()
    try:
        _request([order_read, status_write, *fds])
    except BaseException:
        os.close(status_read)
        os.close(order_write)
        raise
    finally:
        os.close(order_read)
        os.close(status_write)
    # A process that is killed at once does not read it: `ForkedProcess` tells its exit code.
    with contextlib.suppress(BrokenPipeError), os.fdopen(order_write, "wb") as pipe:
        pipe.write(json.dumps(order).encode())
    return ForkedProcess(status_read)


def _request(fds: list[int]) -> None:
    global _connection
    with _lock:
        if _connection is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(_connection, [REQUEST], fds)
                return
            # It was killed: the next one is forked from this process, which is protected.
            _connection.close()
            _connection = None
        _connection = _start_detached()
        socket.send_fds(_connection, [REQUEST], fds)


def start() -> Callable[[], Any] | None:
    """Start the server of this process and of those that it forks.

    Returns None here. In each process that the server forks it returns what to call: call
    it and exit.
    """
    global _connection
    ours, theirs = socket.socketpair()
    owner = os.getpid()
    if os.fork() == 0:
        ours.close()
        return _serve(theirs, owner)
    theirs.close()
    _connection = ours
    return None


def _start_detached() -> socket.socket:
    """Start a server later, from a process with threads and a deep stack.

    It is no child of this process, whose user code may wait for any child.
    """
    ours, theirs = socket.socketpair()
    owner = os.getpid()
    if (child := os.fork()) == 0:
        try:
            if os.fork() == 0:
                ours.close()
                _exit_after(_serve(theirs, owner))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    theirs.close()
    return ours


def _exit_after(call: Callable[[], Any]) -> NoReturn:
    """Call, and end this process without the clean-up of the process that it was forked from."""
    code = 1
    try:
        call()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # as Python itself ends a program
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _serve(connection: socket.socket, owner: int) -> Callable[[], Any]:
    """Fork a process for each request until all clients are gone.

    Returns in the forked processes only, with what to call. *owner* gets SIGCHLD when one
    of them ends, as their parent would.
    """
    protect_memory()
    _forget_parent(connection.fileno())
    wake, wakes = socket.socketpair()
    for end in (wake, wakes):
        end.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, wake], [], [])
        if wake in ready:
            wake.recv(512)
            _report_ended(statuses, owner)
        if connection not in ready:
            continue
        message, fds, flags, _ = socket.recv_fds(connection, len(REQUEST), MAX_FDS)
        if not message:
            os._exit(0)
        pid = None if flags & socket.MSG_CTRUNC else _fork()
        if pid == 0:
            for fd in statuses.values():
                os.close(fd)
            signal.set_wakeup_fd(-1)
            for end in (connection, wake, wakes):
                end.close()
            return _become_child(fds)
        if pid is not None:
            statuses[pid] = fds.pop(1)
            with contextlib.suppress(OSError):
                os.write(statuses[pid], b"%d\n" % pid)
        # Without a process the client reads the end of its status.
        for fd in fds:
            os.close(fd)


def _fork() -> int | None:
    """Fork; return None if the system has no room for a process."""
    try:
        return os.fork()
    except OSError:
        return None


def _forget_parent(connection: int) -> None:
    """Drop what this process inherited: session, descriptors, variables, signal handlers."""
    global _connection, _lock
    # The lock is held while a server starts late.
    _connection, _lock = None, threading.Lock()
    os.setsid()
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, connection)
    os.closerange(connection + 1, os.sysconf("SC_OPEN_MAX"))
    # Not what user code, or a test, has put there.
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    os.environ.clear()
    _overwrite_arguments("jobs-app fork-server")
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def _report_ended(statuses: dict[int, int], owner: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            fd = statuses.pop(pid)
            # The client may be gone, and then nobody wants to know.
            with contextlib.suppress(OSError):
                os.write(fd, b"%d\n" % os.waitstatus_to_exitcode(status))
                os.kill(owner, signal.SIGCHLD)
            os.close(fd)


def _become_child(fds: list[int]) -> Callable[[], Any]:
    order_fd, status, *own = fds
    os.close(status)
    with os.fdopen(order_fd, "rb") as pipe:
        order = json.loads(pipe.read())
    os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in own:
        os.set_inheritable(fd, False)
    os.environ.update(order["environment"])
    _overwrite_arguments(order["title"])
    module, _, name = order["target"].partition(":")
    return lambda: getattr(import_module(module), name)(*order["arguments"], *own)


def _overwrite_arguments(title: str) -> None:
    """Show *title* as the command line in `ps`, and nothing as the environment (Linux only)."""
    if sys.platform != "linux":
        return
    with open("/proc/self/stat", "rb") as file:
        # See proc(5): the fields after the name in brackets begin with number 3.
        fields = file.read().rpartition(b")")[2].split()
    arguments, end, variables, variables_end = (int(field) for field in fields[45:49])
    ctypes.memset(variables, 0, variables_end - variables)
    ctypes.memset(arguments, 0, end - arguments)
    text = title.encode()[: end - arguments - 1]
    ctypes.memmove(arguments, text, len(text))
