"""The span that a question means."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from jobs_app.jobs.explain_when import Day, DayTime, When, bounds, read, rough_instant

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


@pytest.mark.parametrize(
    "timezone, day, begin, hours",
    [
        ("UTC", date(2026, 3, 8), "2026-03-08T00:00Z", 24),
        ("America/New_York", date(2026, 3, 8), "2026-03-08T05:00Z", 23),
        ("America/New_York", date(2026, 11, 1), "2026-11-01T04:00Z", 25),
        # Midnight is skipped.
        ("Africa/Cairo", date(2027, 4, 30), "2027-04-29T22:00Z", 23),
    ],
)
def test_a_day_lasts_from_its_first_instant_to_the_next_days(
    timezone: str, day: date, begin: str, hours: int
) -> None:
    first, end = bounds(day, timezone)

    assert first == datetime.fromisoformat(begin)
    assert end - first == timedelta(hours=hours)


def test_a_day_is_that_of_the_zone() -> None:
    at = datetime(2026, 3, 8, 20, tzinfo=UTC)

    assert Day().date_at(at, "Asia/Tokyo") == date(2026, 3, 9)
    assert Day(days=-1).date_at(at, "UTC") == date(2026, 3, 7)
    assert Day(date(2026, 1, 1)).date_at(at, "UTC") == date(2026, 1, 1)
