"""Signal handlers, the signal mask, and everything that goes off later: timers and alarms."""

import faulthandler
import signal
import threading
from _signal import getsignal  # type: ignore[import-not-found]  # see Signals.__init__
from collections.abc import Callable
from pathlib import Path
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None

TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)

_NUMBERS = tuple(sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))

#: The kernel's list of a process's POSIX timers (timer_create), which Python cannot stop.
#: https://man7.org/linux/man-pages/man5/proc_pid_timers.5.html
POSIX_TIMERS = Path("/proc/self/timers")

#: Signals that `faulthandler.register` takes.
_REGISTRABLE = tuple(
    number
    for number in _NUMBERS
    if number not in (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT)
    and number not in (signal.SIGBUS, signal.SIGILL)
    and number < 32
)


class Signals:
    """Handlers of all signals, the mask, timers, faulthandler and the timer threads."""

    def __init__(self) -> None:
        # The C function: the one in `signal` makes an enum of each handler, ten times slower.
        self._handlers: list[Handler] = list(map(getsignal, _NUMBERS))
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        self._wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(self._wakeup_fd)
        self._has_fault_handler = faulthandler.is_enabled()
        self._has_timer = [bool(signal.getitimer(timer)[1]) for timer in TIMERS]
        self._timer_threads = _timer_threads()
        self._posix_timers = _posix_timers()

    def restore(self) -> list[str]:
        """Stop what goes off later, then restore the handlers; name POSIX timers that stay."""
        for timer, had_timer in zip(TIMERS, self._has_timer, strict=True):
            if not had_timer and any(signal.getitimer(timer)):
                signal.setitimer(timer, 0)
        for thread in _timer_threads() - self._timer_threads:
            thread.cancel()
        self._restore_fault_handler()
        if list(map(getsignal, _NUMBERS)) != self._handlers:
            for number, handler in zip(_NUMBERS, self._handlers, strict=True):
                # None: C code installed it, and Python cannot restore it.
                if handler is not None and getsignal(number) is not handler:
                    signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_fd)
        if signal.pthread_sigmask(signal.SIG_BLOCK, []) != self._mask:
            self._discard_pending()
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return [] if _posix_timers() == self._posix_timers else ["posix_timers"]

    def _restore_fault_handler(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        for number in _REGISTRABLE:
            faulthandler.unregister(number)
        if faulthandler.is_enabled() and not self._has_fault_handler:
            faulthandler.disable()

    def _discard_pending(self) -> None:
        """Discard the blocked signals that would end this process when they are unblocked."""
        for number in signal.sigpending():
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.sigtimedwait([number], 0)


def _posix_timers() -> int:
    """Return how many timers C code has made in this process; 0 where the kernel has no list."""
    try:
        return POSIX_TIMERS.read_bytes().count(b"ID: ")
    except OSError:
        return 0


def _timer_threads() -> set[threading.Timer]:
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}
