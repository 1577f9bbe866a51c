"""Faults of schedules, field by field."""

from datetime import UTC, datetime

import pytest

from jobs_app.core.errors import InvalidSchedule
from jobs_app.schedules.description import describe
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.validation import check
from tests.schedules.examples import DAY, NOW, TICK, cron

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


def errors_of(schedule: Schedule, now: datetime = NOW) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSchedule) as caught:
        check(schedule, now=now)
    return [(error.pointer, error.code) for error in caught.value.errors]


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (Schedule(), [("", "required")]),
        (cron("* * * * *", interval_seconds=5), [("", "exclusive")]),
        (cron("* * * * *", anchor_at=NOW), [("/anchor_at", "not_supported")]),
        (cron("0 0 30 2 *"), [("/cron", "never_fires")]),
        (cron("0 0 */31 * MON#5"), [("/cron", "never_fires")]),
        (cron("61 25 * * *"), [("/cron", "out_of_range"), ("/cron", "out_of_range")]),
        (cron("@hourly", "Mars/Base"), [("/timezone", "unknown_timezone")]),
        (cron("@hourly", "../UTC"), [("/timezone", "unknown_timezone")]),
        (cron("@hourly", "localtime"), [("/timezone", "unknown_timezone")]),
        (Schedule(every="2 weeks", at=NOW + DAY), [("", "exclusive")]),
        (Schedule(every="2 weeks", interval_seconds=5), [("", "exclusive")]),
        (Schedule(on="start", at=NOW + DAY), [("", "exclusive")]),
        (Schedule(on="start", start_at=NOW + DAY), [("/start_at", "not_supported")]),
        (Schedule(on="start", end_at=NOW + DAY), [("/end_at", "not_supported")]),
        (Schedule(every="fortnight"), [("/every", "syntax")]),
        (Schedule(every="15 minutes"), [("/every", "syntax")]),
        (Schedule(every="0 days"), [("/every", "out_of_range")]),
        (Schedule(every="11 years"), [("/every", "out_of_range")]),
        (Schedule(every="day", anchor_at=LONG_AGO), [("/anchor_at", "out_of_range")]),
        (Schedule(every="1 day", anchor_at=NOW, end_at=NOW + DAY), [("/end_at", "never_fires")]),
        (Schedule(interval_seconds=0), [("/interval_seconds", "out_of_range")]),
        (Schedule(interval_seconds=31_622_401), [("/interval_seconds", "out_of_range")]),
        (Schedule(interval_seconds=True), [("/interval_seconds", "out_of_range")]),
        # The wrong type is what the test is about.
        (Schedule(interval_seconds=1.5), [("/interval_seconds", "out_of_range")]),  # type: ignore[arg-type]
        (Schedule(interval_seconds=60, jitter_seconds=60), [("/jitter_seconds", "out_of_range")]),
        (cron("@hourly", jitter_seconds=86_401), [("/jitter_seconds", "out_of_range")]),
        (cron("@hourly", jitter_seconds=-1), [("/jitter_seconds", "out_of_range")]),
        (Schedule(at=NOW), [("/at", "in_the_past")]),
        (Schedule(at=datetime(9999, 6, 1, tzinfo=UTC)), [("/at", "out_of_range")]),
        (cron("@hourly", start_at=NOW + DAY, end_at=NOW + DAY), [("/end_at", "before_start")]),
        (cron("@hourly", end_at=NOW), [("/end_at", "in_the_past")]),
        (cron("@yearly", end_at=NOW + DAY), [("/end_at", "never_fires")]),
        (
            cron("61 * * * *", "Mars"),
            [("/timezone", "unknown_timezone"), ("/cron", "out_of_range")],
        ),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_field_by_field(schedule, expected):
    assert errors_of(schedule) == expected


@pytest.mark.parametrize(
    "schedule",
    [
        cron("0 0 29 2 */7"),
        Schedule(interval_seconds=31_622_400, anchor_at=NOW - 9_000 * DAY),
        Schedule(interval_seconds=60, jitter_seconds=59),
        Schedule(interval_seconds=60, anchor_at=LONG_AGO),
        Schedule(every="10 years", anchor_at=NOW),
        Schedule(every="3660 days"),
        Schedule(every="1 day", jitter_seconds=3600),
        Schedule(at=NOW + TICK),
        Schedule(on="start", jitter_seconds=60),
        cron("@yearly", "Asia/Tokyo", end_at=datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_schedule_that_fires_is_accepted(schedule):
    check(schedule, now=NOW)

    assert describe(schedule)


@pytest.mark.parametrize(
    "name, hint",
    [
        ("europe/paris", "did you mean Europe/Paris?"),
        ("Europe/Pariss", "did you mean Europe/Paris?"),
        ("New York", "did you mean America/New_York?"),
        ("utc", "did you mean UTC?"),
        ("PST", "did you mean America/Los_Angeles?"),
        ("cest", "did you mean CET or Europe/Berlin?"),
        ("AEST", "did you mean Australia/Sydney or Australia/Brisbane?"),
        ("EDST", "give an IANA name, such as Europe/Paris."),
    ],
)
def test_an_unknown_zone_gets_a_suggestion(name, hint):
    with pytest.raises(InvalidSchedule, match=f"There is no time zone '{name}'") as caught:
        check(cron("@hourly", name), now=NOW)

    assert caught.value.detail.endswith(hint)


@pytest.mark.parametrize(
    "schedule, detail",
    [
        (
            Schedule(interval_seconds=34_560_000),
            "The interval must be a whole number of seconds from 1 to 31,622,400, not 34560000.",
        ),
        (
            cron("@hourly", jitter_seconds=-1),
            "The jitter must be a whole number of seconds from 0 to 86,400, not -1.",
        ),
    ],
)
def test_a_number_out_of_range_is_not_called_no_number(schedule, detail):
    with pytest.raises(InvalidSchedule) as caught:
        check(schedule, now=NOW)

    assert caught.value.detail == detail
