"""The bars of a day."""

from collections import Counter

from flask import Flask

from jobs_app.core.states import RunState
from jobs_app.runs.day import Day
from jobs_app.web.pages import day_chart
from tests.factories import NOON


def test_each_hour_with_runs_is_a_bar_and_each_failure_is_seen(app: Flask) -> None:
    day = Day(NOON)
    day.hours[0] = Counter({RunState.SUCCEEDED: 1000, RunState.FAILED: 1})
    day.hours[2] = Counter({RunState.SKIPPED: 1})

    with app.test_request_context():
        svg = str(day_chart.hours(day, count=3))

    assert svg.count("<g>") == 2
    assert 'class="bar bad" x="0" y="4.0" width="11" height="2.0"' in svg
    assert "1000 succeeded, 1 failed</title>" in svg
    assert "up to 1,001 runs" in svg
    assert "style" not in svg


def test_a_day_without_runs_has_no_bars() -> None:
    assert day_chart.hours(Day(NOON), count=3) == ""
