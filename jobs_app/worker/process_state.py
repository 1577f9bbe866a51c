"""What a pool process has for itself, and gets back after each run, whatever the task did.

Processes of a pool live on: a task that moves to another directory, or stops listening to
signals, would otherwise do so for all that come after it.
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

#: What the pool says to its processes, and what they must know of their own children.
SIGNALS = (SIG_SOFT_TIMEOUT, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

#: Descriptors that the next run may need for itself: its pipes, its log, a connection.
SPARE_FILES = 16

#: A limit above this is not watched: the kernel would need memory to answer.
COUNTED_FILES = 65_536

Handler = Callable[[int, FrameType | None], object] | int | None


@dataclass(frozen=True, slots=True)
class ProcessState:
    """Directory, umask, locale, and how signals are met; for the main thread of a process."""

    directory: str
    umask: int
    locale: str
    mask: frozenset[int]
    handlers: dict[int, Handler]

    @classmethod
    def of_this_process(cls) -> "ProcessState":
        """Return what this process has now."""
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
        """Give this process what it had."""
        for number, handler in self.handlers.items():
            # None: it was not set from Python, and cannot be set again.
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
    """Tell whether so many files are open that the next run could hardly open its own."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if not SPARE_FILES < most <= COUNTED_FILES:
        return False
    # Numbers are given out from below: if this one is taken, few below it can be free.
    number = most - SPARE_FILES
    try:
        given = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, number)
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.EINVAL)
    os.close(given)
    return given != number
