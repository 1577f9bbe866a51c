"""How much of its time the pruner works: half, and more once it is behind."""

import pytest

from jobs_app.scheduler.pruner_thread import (
    BEHIND_SECONDS,
    PASS_INTERVAL_SECONDS,
    SETTLING_SECONDS,
    pause_after,
    pause_between,
)


@pytest.mark.parametrize(
    "step, in_a_pass_of, pause",
    [
        (0.06, 1.0, 0.06),
        (0.001, 1.0, 0.02),
        (0.06, BEHIND_SECONDS - 1, 0.06),
        (0.06, BEHIND_SECONDS, 0.015),
        (0.001, BEHIND_SECONDS, 0.005),
    ],
)
def test_a_pass_pauses_as_long_as_it_works_until_it_is_behind(
    step: float, in_a_pass_of: float, pause: float
) -> None:
    assert pause_after(step, pass_seconds=in_a_pass_of) == pytest.approx(pause)


@pytest.mark.parametrize(
    "took, pause",
    [
        (0.0, PASS_INTERVAL_SECONDS),
        (600.0, PASS_INTERVAL_SECONDS - 600),
        (PASS_INTERVAL_SECONDS * 3, SETTLING_SECONDS),
    ],
)
def test_passes_begin_at_regular_intervals_if_they_are_short_enough(
    took: float, pause: float
) -> None:
    assert pause_between(took) == pause
