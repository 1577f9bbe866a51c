"""Copies of descriptors 1 and 2 that a user's module opened at its import.

A handler on `open("/dev/stderr")` or `os.fdopen(os.dup(1))` has a descriptor of its own. During
a run it must lead to the log of the run, as 1 and 2 do.
"""

import fcntl
import gc
import io
import os
import stat
from contextlib import suppress
from dataclasses import dataclass

#: The identity of a descriptor that is not open.
CLOSED = (-1, -1)

_NAMES_OF_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@dataclass(frozen=True, slots=True)
class _Copy:
    fd: int
    of: int
    is_inheritable: bool


class DescriptorCopies:
    """The copies that are open when this is created, after the fork; *own* is excluded."""

    def __init__(self, own: dict[int, int]) -> None:
        self._own = own
        self._identities = {number: identity(number) for number in own}
        numbers = [fd for fd in _open_descriptors() if fd > 2 and fd not in own.values()]
        fds = [fd for fd in numbers if self._leads_to_worker(fd)]
        files = _files_of(set(fds)) if fds else []
        outs = {file.fileno() for file in files if getattr(file, "name", "") in _NAMES_OF_STDOUT}
        self._copies = [
            _Copy(fd, 1 if fd in outs else self._number_of(fd), os.get_inheritable(fd))
            for fd in fds
        ]
        self._files = files

    @property
    def fds(self) -> frozenset[int]:
        """The numbers of the copies."""
        return frozenset(copy.fd for copy in self._copies)

    def redirect(self) -> None:
        """Let the copies lead where descriptors 1 and 2 lead now."""
        self.flush()
        for copy in self._copies:
            # A task may have closed it, and another file may have its number.
            if identity(copy.fd) == self._identities[copy.of]:
                os.dup2(copy.of, copy.fd, copy.is_inheritable)

    def flush(self) -> None:
        """Write what Python's files of the copies still hold."""
        for file in self._files:
            with suppress(OSError, ValueError):
                file.flush()

    def restore(self, ends: dict[int, tuple[int, int]]) -> None:
        """Let the copies that lead to one of *ends* lead to the worker's output again."""
        for copy in self._copies:
            if identity(copy.fd) in ends.values():
                os.dup2(self._own[copy.of], copy.fd, copy.is_inheritable)

    def _leads_to_worker(self, fd: int) -> bool:
        try:
            status = os.fstat(fd)
            is_writable = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        except OSError:
            return False
        # Many files lead to /dev/null, and nobody wants to hear them.
        is_null = stat.S_ISCHR(status.st_mode) and not os.isatty(fd)
        found = (status.st_dev, status.st_ino)
        return is_writable and not is_null and found in self._identities.values()

    def _number_of(self, fd: int) -> int:
        """Return 2 if both streams of the worker are one: most of these files are logs."""
        return 2 if identity(fd) == self._identities[2] else 1


def identity(fd: int) -> tuple[int, int]:
    """Return the device and inode behind a descriptor; `CLOSED` if it is not open."""
    try:
        status = os.fstat(fd)
    except OSError:
        return CLOSED
    return status.st_dev, status.st_ino


def _open_descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return list(range(256))


def _files_of(fds: set[int]) -> list[io.IOBase]:
    # A worker freezes what it imported, and frozen objects are not listed.
    if is_frozen := gc.get_freeze_count() > 0:
        gc.unfreeze()
    # By the type: an object of a user may lie about its class, or fail when it is asked.
    files = [found for found in gc.get_objects() if issubclass(type(found), io.IOBase)]
    if is_frozen:
        gc.freeze()
    return [file for file in files if _number(file) in fds]


def _number(file: io.IOBase) -> int | None:
    try:
        return None if file.closed else file.fileno()
    except Exception:  # noqa: BLE001  # a file of a user may fail in any way
        return None
