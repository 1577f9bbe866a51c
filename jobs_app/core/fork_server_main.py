"""The main loop of the fork server: it forks a process for each request of `fork_server`.

What the server has imported is in memory once for all processes that it forks, until one of
them changes it. Python changes most pages of what it uses, since it counts references. A server
that outlives the start of large processes would then keep a copy for itself. Therefore modules
that these share are imported by a process of their own (SHARE), which forks them and then ends.
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
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from jobs_app.core.process import protect_memory
from jobs_app.core.process_tree import become_subreaper

FORK = b"f"
PRELOAD = b"p"
SHARE = b"s"
UNSHARE = b"u"
LEND = b"l"
MAX_FDS = 16

#: Longest text of a process id, bytes.
PID_BYTES = 32

#: Not for the server: a terminal or a service manager sends these to all processes. They are
#: blocked, not ignored: a new process, which allows them again, gets also those sent meanwhile.
BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)

#: What a forked process has to call.
Call = Callable[[], Any]


def serve(connection: socket.socket, owner: int | None) -> Call:
    """Fork a process for each request until all clients are gone.

    Returns in the forked processes only, with what to call. *owner* gets SIGCHLD when one
    of them ends, as their parent would.
    """
    protect_memory()
    _forget_parent(connection.fileno())
    return _Server(connection, owner).run()


class _Server:
    def __init__(self, connection: socket.socket, owner: int | None) -> None:
        self._connection = connection
        self._owner = owner
        #: The pipe for the exit code of each process that runs, by process id.
        self._statuses: dict[int, int] = {}
        #: A connection to the process that has imported the shared modules.
        self._sharing: socket.socket | None = None
        self._wake, self._wakes = socket.socketpair()

    def run(self) -> Call:
        for end in (self._wake, self._wakes):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready, _, _ = select.select([self._connection, self._wake], [], [])
            if self._wake in ready:
                self._wake.recv(512)
                self._report_ended()
            if self._connection in ready and (call := self._answer()) is not None:
                return call

    def _answer(self) -> Call | None:
        """Do what the next request asks for; return what to call in a forked process only."""
        message, fds, flags, _ = socket.recv_fds(self._connection, len(FORK), MAX_FDS)
        if not message:
            os._exit(0)
        call = None
        if message == UNSHARE:
            self._unshare()
        elif flags & socket.MSG_CTRUNC:
            # Without a process the client reads the end of its status.
            pass
        elif message == FORK:
            call = self._fork(fds)
        elif message == LEND:
            call = self._lend(fds[0])
        elif message == SHARE and sys.platform == "linux":
            call = self._share(fds.pop(0))
        else:
            _import_all(fds.pop(0))
        if call is None:
            for fd in fds:
                os.close(fd)
        return call

    def _fork(self, fds: list[int]) -> Call | None:
        pid = _fork() if self._sharing is None else self._fork_sharing(self._sharing, fds)
        if pid == 0:
            self._leave()
            return _become_child(fds)
        if pid is not None:
            self._statuses[pid] = fds.pop(1)
            with contextlib.suppress(OSError):
                os.write(self._statuses[pid], b"%d\n" % pid)
        return None

    def _fork_sharing(self, sharing: socket.socket, fds: list[int]) -> int | None:
        """Have the process with the shared modules fork; return the process id, None without one.

        If it was killed, fork here: 0 is returned in the new process.
        """
        with contextlib.suppress(OSError):
            socket.send_fds(sharing, [FORK], fds)
            if pid := sharing.recv(PID_BYTES):
                return int(pid) or None
        self._unshare()
        return _fork()

    def _share(self, order: int) -> Call | None:
        """Fork the process that imports the shared modules of *order*."""
        self._unshare()
        # The processes that it forks become children of this one.
        become_subreaper()
        ours, theirs = socket.socketpair()
        if _fork() == 0:
            ours.close()
            self._leave()
            _import_all(order)
            return _fork_orphans(theirs)
        os.close(order)
        theirs.close()
        self._sharing = ours
        return None

    def _unshare(self) -> None:
        if self._sharing is not None:
            self._sharing.close()
            self._sharing = None

    def _lend(self, connection: int) -> Call | None:
        """Fork another server, for the client at the other end of *connection*."""
        if _fork() == 0:
            self._leave()
            return serve(socket.socket(fileno=connection), None)
        return None

    def _leave(self) -> None:
        """Close what is the server's own, in a process that it has forked."""
        for fd in self._statuses.values():
            os.close(fd)
        signal.set_wakeup_fd(-1)
        self._unshare()
        for end in (self._connection, self._wake, self._wakes):
            end.close()

    def _report_ended(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                fd = self._statuses.pop(pid, None)
                if fd is None:
                    # A server that it has lent, or an orphan.
                    continue
                # The client may be gone, and then nobody wants to know.
                with contextlib.suppress(OSError):
                    os.write(fd, b"%d\n" % os.waitstatus_to_exitcode(status))
                    if self._owner is not None:
                        os.kill(self._owner, signal.SIGCHLD)
                os.close(fd)


def _fork_orphans(connection: socket.socket) -> Call:
    """Fork a process for each request of the server; returns as `serve` does."""
    while True:
        message, fds, flags, _ = socket.recv_fds(connection, len(FORK), MAX_FDS)
        if not message:
            os._exit(0)
        pid = None if flags & socket.MSG_CTRUNC else _fork_orphan()
        if pid == 0:
            connection.close()
            return _become_child(fds)
        for fd in fds:
            os.close(fd)
        connection.send(b"%d" % (pid or 0))


def _fork_orphan() -> int | None:
    """Fork a process that is no child of this one, but of the server; return as `_fork` does."""
    reading, writing = os.pipe()
    try:
        child = _fork()
        if child == 0:
            pid = _fork()
            if pid == 0:
                return 0
            os.write(writing, b"%d" % (pid or 0))
            os._exit(0)
        if child is None:
            return None
        os.waitpid(child, 0)
        os.set_blocking(reading, False)
        return int(os.read(reading, PID_BYTES)) or None
    except BlockingIOError:
        # The process between was killed.
        return None
    finally:
        os.close(reading)
        os.close(writing)


def _fork() -> int | None:
    """Fork; return None if the system has no room for a process."""
    try:
        return os.fork()
    except OSError:
        return None


def _read_order(fd: int) -> dict[str, Any]:
    """Return what the client wrote to the pipe *fd*; raises ValueError if it was killed."""
    with os.fdopen(fd, "rb") as pipe:
        order: dict[str, Any] = json.loads(pipe.read())
    return order


def _import_all(order_fd: int) -> None:
    with contextlib.suppress(ValueError):
        _import_modules(**_read_order(order_fd))


def _import_modules(modules: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    for module in modules:
        # The process that needs it says what is wrong with it.
        with contextlib.suppress(Exception):
            import_module(module)
    os.environ.clear()
    # Whatever the garbage collector of a process touches is no longer shared.
    gc.collect()
    gc.freeze()


def _forget_parent(connection: int) -> None:
    """Drop what this process inherited: session, descriptors, variables, signal handlers."""
    signal.set_wakeup_fd(-1)
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
    for number in BLOCKED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, BLOCKED)


def _become_child(fds: list[int]) -> Call:
    order_fd, status, *own = fds
    os.close(status)
    order = _read_order(order_fd)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for fd in own:
        os.set_inheritable(fd, False)
    os.environ.update(order["environment"])
    _overwrite_arguments(order["title"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
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
