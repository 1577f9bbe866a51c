"""The span that a question means."""

from datetime import UTC, datetime, time, timedelta

import pytest

from jobs_app.jobs.explain_when import DayTime, When, read, rough_instant

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    "days, timezone, begin",
    [
        (0, "UTC", "2026-03-08 02:30"),
        (-1, "UTC", "2026-03-07 02:30"),
        (0, "Asia/Tokyo", "2026-03-09 02:30"),
        (1, "America/New_York", "2026-03-09 02:30"),
        (-8, "UTC", "2026-02-28 02:30"),
    ],
)
def test_a_time_of_day_is_on_a_day_of_the_zone(days: int, timezone: str, begin: str) -> None:
    at = datetime(2026, 3, 8, 20, tzinfo=UTC)

    when = DayTime(time(2, 30), days, MINUTE).seen_at(at, timezone)

    assert when == When(datetime.fromisoformat(begin), MINUTE)


def test_a_skipped_local_time_is_read_as_the_end_of_the_gap() -> None:
    when = When(datetime.fromisoformat("2026-03-08 02:30"), MINUTE)

    moment = read(when, "America/New_York")

    assert (moment.instant, moment.is_skipped) == (datetime(2026, 3, 8, 7, tzinfo=UTC), True)
    assert moment.end == moment.instant + MINUTE
    assert rough_instant(when) == datetime(2026, 3, 8, 2, 30, tzinfo=UTC)
