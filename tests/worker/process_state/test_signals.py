"""Timers, alarms, handlers and the mask are as before a change."""

import ctypes
import signal

import pytest

from jobs_app.worker.process_state.signals import TIMERS, Signals
from tests.faults.changing_tasks import CHANGES
from tests.running import in_child

NAMES = (
    "an alarm",
    "a real timer",
    "a timer of the processor",
    "a profiling timer",
    "a blocked alarm",
    "a delayed dump",
    "a delayed exit",
    "faulthandler",
    "a handler",
    "no hangup",
    "deadly pipes",
    "deaf",
)


def _state() -> tuple[object, ...]:
    handlers = [str(signal.getsignal(number)) for number in signal.valid_signals()]
    timers = [signal.getitimer(timer) for timer in TIMERS]
    return handlers, timers, sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))


@pytest.mark.parametrize("what", NAMES)
def test_nothing_goes_off_later(what: str) -> None:
    def act() -> bool:
        saved, before = Signals(), _state()
        CHANGES[what]()
        return saved.restore() == [] and _state() == before

    assert in_child(act)


def test_a_timer_of_c_code_is_named() -> None:
    def act() -> list[list[str]]:
        saved = Signals()
        before = saved.restore()
        timer = ctypes.c_void_p()
        assert ctypes.CDLL(None).timer_create(0, None, ctypes.byref(timer)) == 0
        return [before, saved.restore()]

    assert in_child(act) == [[], ["posix_timers"]]
