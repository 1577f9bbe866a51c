"""The descriptors that a process needs between its runs: standard input, and its pipes."""

import errno
import fcntl
import os
import resource
import stat
import sys
from contextlib import suppress
from typing import TextIO

#: The pipes to the worker are closed: the process can neither get nor finish a run.
CLOSED = "closed_descriptors"

#: Asks for the size of a pipe; for the flags of a descriptor where that is unknown.
PIPE_QUESTION = getattr(fcntl, "F_GETPIPE_SZ", fcntl.F_GETFD)

#: Descriptors that the next run may need: pipes, log, a connection.
SPARE_FILES = 16

#: A limit above this is not checked: the kernel would need memory for the check.
COUNTED_FILES = 65_536


class Descriptors:
    """Standard input, and the pipes that were open when this was created."""

    def __init__(self, copies: frozenset[int] = frozenset()) -> None:
        """Save them, without *copies* of 1 and 2, which lead to another pipe in each run."""
        self._input = _identity(0)
        self._stdin: TextIO | None = sys.stdin
        fds = [fd for fd in _open_descriptors() if fd not in copies]
        pipes = {fd: identity for fd in fds if (identity := _pipe(fd))}
        self._pipes = tuple(pipes)
        # Two of them are also checked for being the same pipe: that takes longer.
        self._identities = {fd: pipes[fd] for fd in sorted(pipes)[:1] + sorted(pipes)[-1:]}

    def restore(self) -> list[str]:
        """Open standard input again; return why the process must be replaced, if so."""
        # What was opened as number 0 since is not inherited by programs.
        if _identity(0) != self._input or not os.get_inheritable(0):
            _open_null(0)
        if self._stdin is not None and self._stdin.closed:
            self._stdin = open_stdin()
        sys.stdin = self._stdin
        if self._are_pipes_closed():
            return [CLOSED]
        return ["too_many_open_files"] if is_short_of_files() else []

    def _are_pipes_closed(self) -> bool:
        try:
            for fd in self._pipes:
                # Fails if the descriptor is closed, or if it is anything but a pipe.
                fcntl.fcntl(fd, PIPE_QUESTION)
        except OSError:
            return True
        return any(_identity(fd) != identity for fd, identity in self._identities.items())


def ensure_standard_descriptors() -> None:
    """Open descriptors 0 to 2 if they are closed: a pipe would get their numbers."""
    for fd in (0, 1, 2):
        if _identity(fd) is None:
            _open_null(fd)


def empty_stdin() -> None:
    """Make standard input of this process, and of its programs, empty."""
    _open_null(0)
    sys.stdin = open_stdin()


def open_stdin() -> TextIO:
    """Return a text stream of descriptor 0, which stays open when the stream is closed."""
    return open(0, encoding="utf-8", closefd=False)


def is_short_of_files() -> bool:
    """Tell whether too many files are open for the next run."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if not SPARE_FILES < most <= COUNTED_FILES:
        return False
    # The kernel gives the lowest free number: if this one is taken, few below it are free.
    number = most - SPARE_FILES
    try:
        descriptor = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, number)
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.EINVAL)
    os.close(descriptor)
    return descriptor != number


def _open_null(fd: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != fd:
        os.dup2(opened, fd)
        os.close(opened)
    os.set_inheritable(fd, True)


def _open_descriptors() -> list[int]:
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return list(range(3, 256))
    return [int(name) for name in names if int(name) > 2]


def _pipe(fd: int) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.fstat(fd)
        if stat.S_ISFIFO(status.st_mode):
            return status.st_dev, status.st_ino
    return None


def _identity(fd: int) -> tuple[int, int] | None:
    """Return the device and inode that a descriptor refers to; None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
