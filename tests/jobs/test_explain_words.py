"""How the sentences of an explanation write names, instants and durations."""

from datetime import timedelta

import pytest

from jobs_app.core.policies import FirePolicy
from jobs_app.jobs.explain_context import FireContext, JobRules
from jobs_app.jobs.explain_words import by, span, stamp
from jobs_app.schedules.schedule import Schedule
from tests.factories import NOON, SECOND


def test_a_name_is_left_out_where_none_is_on_record() -> None:
    assert (by("ann"), by(None)) == (" by ann", "")


def test_an_instant_is_in_the_zone_of_the_job_with_its_seconds_if_any() -> None:
    rules = JobRules(Schedule(cron="0 * * * *", timezone="Europe/Paris"), FirePolicy())
    context = FireContext(at=NOON, instant=NOON, rules=rules, created_at=NOON)

    assert stamp(context, NOON) == "2026-06-15 14:00 CEST"
    assert stamp(context, NOON + 5 * SECOND) == "2026-06-15 14:00:05 CEST"


@pytest.mark.parametrize(
    "seconds, text",
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.000_01, "0.001 s"),
        (0.034, "0.03 s"),
        (0.44, "0.4 s"),
        (42, "42 s"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (86_405, "1 d"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text
