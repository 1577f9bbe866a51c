"""Gives the processes that a task forks the default signal handlers, as in a script.

A handler of Celery raises SystemExit. In a forked child this may happen inside a hook of
Python's own, which drops the exception: `Process.terminate()` would have no effect then.
"""

import faulthandler
import os
import signal
import threading

#: Packages whose handlers are for the worker's own processes.
OWNERS = frozenset({"billiard", "celery", "jobs_app"})

_NUMBERS = tuple(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_thread = threading.local()
_is_registered = False


def reset_signals_in_forks() -> None:
    """From now on, reset the worker's handlers in the children that this process forks."""
    global _is_registered
    if _is_registered:
        # A second hook would take the blocked signals of the first one for the task's own.
        return
    _is_registered = True
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset)


def end_watchdog_before_forks() -> None:
    """From now on, end the watchdog of faulthandler before this process forks.

    A module that runs in the worker may have started it (`dump_traceback_later`). A forked
    process has the lock of its thread but not the thread: it would wait for ever in
    `cancel_dump_traceback_later`, which each of our processes calls after a task.
    """
    pid = os.getpid()

    def end() -> None:
        # The processes that are forked from this one have the hook too.
        if os.getpid() == pid:
            faulthandler.cancel_dump_traceback_later()

    os.register_at_fork(before=end)


def _block() -> None:
    # A signal in the moment of the fork must wait until the child has its own handlers.
    _thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _thread.mask)


def _reset() -> None:
    for number in _NUMBERS:
        handler = signal.getsignal(number)
        module = str(getattr(handler, "__module__", None))
        if callable(handler) and module.partition(".")[0] in OWNERS:
            signal.signal(number, signal.SIG_DFL)
    _unblock()
