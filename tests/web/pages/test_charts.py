"""Charts that the server draws."""

import pytest

from jobs_app.core.states import RunState
from jobs_app.web.pages.charts import strip, strip_label


@pytest.mark.parametrize("state", RunState)
def test_every_state_has_a_bar(state: RunState) -> None:
    assert strip([state]).count("<rect") in (1, 2)


def test_a_strip_ends_with_the_newest_run() -> None:
    drawn = strip([RunState.SUCCEEDED, RunState.FAILED], most=3)

    assert drawn.index('bar ok solid" x="7"') < drawn.index('bar bad solid" x="14"')


def test_the_label_says_what_the_strip_shows() -> None:
    states = [RunState.FAILED, RunState.SUCCEEDED, RunState.SUCCEEDED]

    assert strip_label(states) == "last 3 runs: 2 succeeded, 1 failed"
    assert strip_label([]) == "no runs yet"
