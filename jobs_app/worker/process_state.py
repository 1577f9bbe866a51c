"""Restores the state of a pool process after each run: directory, umask, locale, signals.

A pool process runs many tasks. A task that changes its directory or ignores a signal must not
change that for the tasks after it.
"""

import errno
import fcntl
import locale
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from billiard.pool import SIG_SOFT_TIMEOUT

#: Signals that the pool sends to its processes, and SIGCHLD for their children.
SIGNALS = (SIG_SOFT_TIMEOUT, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

#: Descriptors that the next run may need: pipes, log, a connection.
SPARE_FILES = 16

#: A limit above this is not checked: the kernel would need memory for the check.
COUNTED_FILES = 65_536

Handler = Callable[[int, FrameType | None], object] | int | None


@dataclass(frozen=True, slots=True)
class ProcessState:
    """Directory, umask, locale and signal handlers; use it in the main thread only."""

    directory: str
    umask: int
    locale: str
    mask: frozenset[int]
    handlers: dict[int, Handler]

    @classmethod
    def of_this_process(cls) -> "ProcessState":
        """Return the present state of this process."""
        umask = os.umask(0)
        os.umask(umask)
        return cls(
            os.getcwd(),
            umask,
            locale.setlocale(locale.LC_ALL),
            frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            {number: signal.getsignal(number) for number in SIGNALS},
        )

    def restore(self) -> None:
        """Put this process back into the saved state."""
        for number, handler in self.handlers.items():
            # None: C code installed it, and Python cannot restore it.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        os.umask(self.umask)
        with suppress(OSError):
            os.chdir(self.directory)
        if locale.setlocale(locale.LC_ALL) != self.locale:
            with suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, self.locale)


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
