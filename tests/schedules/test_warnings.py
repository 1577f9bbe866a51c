"""Warnings about valid schedules."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules.description import describe
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.validation import check
from jobs_app.schedules.warnings import warnings
from tests.profiles import examples
from tests.schedules.examples import DAY, NEW_YORK, NOW, ZONES, cron, crons


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(NEW_YORK))  # type: ignore[arg-type,misc]  # mypy cannot count them


@pytest.mark.parametrize(
    "schedule, words",
    [
        (cron("0 0 29 2 *"), "leap years only"),
        (cron("0 0 L-28 2 *"), "February has 29 days in leap years only"),
        (cron("0 0 29W 2 *"), "February has 29 days in leap years only"),
        (cron("0 0 L-29 * *"), "February is too short for its day"),
        (cron("0 0 31W * *"), "February, April, June, September and November are too short"),
        (cron("0 0 13 * 5"), "either of them"),
        (cron("0 0 31 * *"), "February, April, June, September and November are too short"),
        (cron("*/7 * * * *"), "minute 56 is followed by minute 0, after 4 minutes instead of 7"),
        (cron("3/7 * * * *"), "minute 59 is followed by minute 3, after 4 minutes instead of 7"),
        (cron("0-59/7 * * * *"), "minute 56 is followed by minute 0"),
        (cron("0 */5 * * *"), "hour 20 is followed by hour 0, after 4 hours instead of 5"),
        (cron("0 */40 * * *"), "*/40 is the same as 0: hours end at 23"),
        (cron("0 0 */14 * *"), "each month starts it again: day 29 is followed by day 1"),
        (cron("0 0 */2 * *"), "each month starts it again: day 31 is followed by day 1"),
        (cron("0 0 2/14 * *"), "each month starts it again: day 30 is followed by day 2"),
        (cron("0 0 1-31/2 * *"), "each month starts it again: day 31 is followed by day 1"),
        (cron("0 0 */31 * *"), "*/31 is the same as 1: days of the month end at 31"),
        (cron("0 0 1 */5 *"), "month 11 is followed by month 1, after 2 months instead of 5"),
        (cron("0 0 1 */13 *"), "*/13 is the same as 1: months end at 12"),
        (cron("0 0 * * */2"), "Saturday is followed by Sunday, after 1 day instead of 2"),
        (cron("0 0 * * */4"), "Thursday is followed by Sunday, after 3 days instead of 4"),
        (cron("0 0 * * */8"), "*/8 is the same as 0: days of the week end at 7"),
        (cron("30 2 * * *", NEW_YORK), "on 2026-03-08: it fires at 03:00 instead"),
        (cron("30 1 * * *", NEW_YORK), "01:30 comes twice on 2026-11-01"),
        (cron("*/15 2 * * *", NEW_YORK), "skips its times on 2026-03-08: it does not fire"),
        (cron("H * * * *"), "H is drawn from the job's name"),
        (cron("* * * * *", jitter_seconds=60), "jitter is not shorter"),
        (Schedule(interval_seconds=25_200), "7 hours do not divide a day"),
        (
            Schedule(interval_seconds=14 * 86_400, timezone=NEW_YORK),
            "its local time moves when the clock is changed. every: 14 days keeps it.",
        ),
        (
            Schedule(every="1 day", anchor_at=at(2026, 1, 1, 2, 30), timezone=NEW_YORK),
            "skips one of its times on 2026-03-08: it fires at 03:00 instead",
        ),
        (
            Schedule(every="1 day", anchor_at=at(2026, 1, 1, 1, 30), timezone=NEW_YORK),
            "01:30 comes twice on 2026-11-01: it fires the first time only",
        ),
        (
            Schedule(every="1 month", anchor_at=NOW + 16 * DAY),
            "without a day 31 it fires on the last",
        ),
    ],
)
def test_a_surprise_is_warned_of(schedule, words):
    [warning] = warnings(schedule, now=NOW)

    assert words in warning


@pytest.mark.parametrize(
    "schedule",
    [
        cron("0 9 * * 1-5", NEW_YORK),
        cron("*/15 * * * *", NEW_YORK),
        cron("H 4 * * *", seed="report"),
        cron("0 0 */1 * *"),
        cron("0 0 1W,15W,L-3,LW * *"),
        cron("0 0 1-14/6 * *"),
        cron("0 9-17/3 * * *"),
        cron("20/10 * * * *"),
        cron("5/15 * * * *"),
        cron("0 0 1 */4 *"),
        cron("0 0 1 2/3 *"),
        cron("0 0 * * */7"),
        Schedule(interval_seconds=90),
        Schedule(interval_seconds=86_400),
        Schedule(every="2 weeks", anchor_at=NOW, timezone=NEW_YORK),
        Schedule(every="1 day", anchor_at=NOW + 16 * DAY),
        Schedule(every="1 month"),
        Schedule(at=NOW + DAY),
    ],
)
def test_an_ordinary_schedule_has_no_warnings(schedule):
    assert warnings(schedule, now=NOW) == []


@settings(max_examples=examples(100), deadline=None)
@given(crons, st.sampled_from(ZONES))
def test_every_accepted_expression_can_be_described_and_warned_of(expression, zone):
    schedule = cron(expression, zone)
    try:
        check(schedule, now=NOW)
    except InvalidSchedule:
        assume(False)

    assert describe(schedule)
    assert all(sentence.endswith(".") for sentence in warnings(schedule, now=NOW))
