"""A small process that forks others, so that no process of ours that gets a secret is an `exec`.

A process is readable for others of its user from its `exec` until it protects itself. A
descriptor of its memory that somebody opened meanwhile works for ever. A process that a
protected one forks is protected from its first instant.

A process starts its server in its first lines (`start`), when it holds no secret and has no
thread. Processes that it forks share the server. Each request is one byte, with descriptors:
the order, the pipe for the process id and the exit code, and those for the new process. What
the server has imported (`preload`) is in memory once for all processes that it forks.
"""

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

from jobs_app.core.forked_process import ForkedProcess
from jobs_app.core.process import protect_memory

FORK = b"f"
PRELOAD = b"p"
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
        _request(FORK, [order_read, status_write, *fds])
    except BaseException:
        os.close(status_read)
        os.close(order_write)
        raise
    finally:
        os.close(order_read)
        os.close(status_write)
    _write_order(order_write, order)
    return ForkedProcess(status_read)


def preload(modules: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have the server import *modules*, which the processes that it forks then share.

    Returns at once; the server forks the next process when it has imported them. A module
    may read *environment* at its import. One that cannot be imported is left to the process
    that needs it. None of them may start a thread at its import. Raises OSError.
    """
    order_read, order_write = os.pipe()
    try:
        _request(PRELOAD, [order_read])
    except BaseException:
        os.close(order_write)
        raise
    finally:
        os.close(order_read)
    _write_order(order_write, {"modules": list(modules), "environment": dict(environment)})


def _write_order(fd: int, order: Mapping[str, Any]) -> None:
    # A process that is killed at once does not read it: `ForkedProcess` tells its exit code.
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(order).encode())


def _read_order(fd: int) -> dict[str, Any]:
    with os.fdopen(fd, "rb") as pipe:
        order: dict[str, Any] = json.loads(pipe.read())
    return order


def _request(message: bytes, fds: list[int]) -> None:
    global _connection
    with _lock:
        if _connection is not None:
            with contextlib.suppress(OSError):
                socket.send_fds(_connection, [message], fds)
                return
            # It was killed: the next one is forked from this process, which is protected.
            _connection.close()
            _connection = None
        _connection = _start_detached()
        socket.send_fds(_connection, [message], fds)


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
        message, fds, flags, _ = socket.recv_fds(connection, len(FORK), MAX_FDS)
        if not message:
            os._exit(0)
        if message == PRELOAD:
            with contextlib.suppress(ValueError):
                _import_all(**_read_order(fds[0]))
            continue
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


def _import_all(modules: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    for module in modules:
        # The process that needs it says what is wrong with it.
        with contextlib.suppress(Exception):
            import_module(module)
    os.environ.clear()
    # Whatever the garbage collector of a process touches is no longer shared.
    gc.collect()
    gc.freeze()


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
    order = _read_order(order_fd)
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
