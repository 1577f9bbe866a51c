"""The task `sleep` waits as long as its argument says."""

import time

import pytest

from jobs_app.core.states import CancelMode
from jobs_app.tasks.builtin.sleep import sleep
from jobs_app.tasks.context import Cancelled, Fenced, RunContext, TimedOut, current_run
from tests.running import a_run


def run(duration: float, context: RunContext) -> dict[str, float]:
    token = current_run.set(context)
    try:
        return sleep.run(duration)
    finally:
        current_run.reset(token)


def test_it_waits_for_its_duration_and_returns_it():
    started = time.monotonic()

    result = run(0.3, a_run())

    assert 0.3 <= result["slept_seconds"] <= time.monotonic() - started + 0.001


@pytest.mark.parametrize("duration", [0, -5])
def test_nothing_to_wait_for_returns_at_once(duration):
    assert run(duration, a_run())["slept_seconds"] == 0.0


@pytest.mark.parametrize(
    "context,outcome",
    [
        (a_run(is_cancelled=lambda: CancelMode.GRACEFUL), Cancelled),
        (a_run(time_limit_seconds=0.2), TimedOut),
        (a_run(soft_time_limit_seconds=0.2, time_limit_seconds=60), TimedOut),
        (a_run(lease_seconds_left=lambda: 0.0), Fenced),
    ],
)
def test_it_ends_early_when_the_run_is_stopped(context, outcome):
    started = time.monotonic()

    with pytest.raises(outcome):
        run(60, context)

    assert time.monotonic() - started < 3
