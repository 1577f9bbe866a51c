"""Intervals of the calendar: by hand for the known days, by brute force for the others."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs_app.schedules.calendar_interval import CalendarInterval, is_within, read
from jobs_app.schedules.schedule import (
    Schedule,
    count_fires,
    fires,
    names_local_time,
    next_fire,
    preview,
    previous_fire,
)
from tests.profiles import examples
from tests.schedule_oracle import calendar_fires_between
from tests.schedules.examples import DAY, NEW_YORK, SECOND, TICK, nights

INTERVALS = st.one_of(
    st.tuples(st.integers(1, 5), st.just("day")),
    st.tuples(st.integers(1, 3), st.just("week")),
    st.tuples(st.integers(1, 13), st.just("month")),
    st.tuples(st.integers(1, 2), st.just("year")),
)
APIA = ("Pacific/Apia", datetime(2011, 12, 30, 1, tzinfo=UTC))
SAINT_JOHNS = ("America/St_Johns", datetime(2009, 11, 1, 1, tzinfo=UTC))


def every(text: str, zone: str, anchor: datetime) -> Schedule:
    return Schedule(every=text, timezone=zone, anchor_at=anchor)


def local(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))  # type: ignore[arg-type,misc]  # mypy cannot count them


def dates(schedule: Schedule, count: int) -> list[str]:
    """Return the first fires as the wall clock shows them."""
    zone = ZoneInfo(schedule.timezone)
    begin = schedule.anchor_at
    assert begin is not None
    actual = islice(fires(schedule, after=begin - TICK), count)
    return [f"{fire.astimezone(zone):%Y-%m-%d %H:%M}" for fire in actual]


@settings(max_examples=examples(40), deadline=None)
@given(INTERVALS, nights(), st.integers(0, 800 * 1440))
@example((1, "day"), APIA, 5 * 1440 + 900)
@example((1, "day"), APIA, 3 * 1440 + 60)
@example((1, "day"), SAINT_JOHNS, 3 * 1440 + 30)
@example((1, "day"), (NEW_YORK, datetime(2026, 11, 1, 7, tzinfo=UTC)), 30)
def test_fires_are_those_that_brute_force_finds(interval, night, minutes_before):
    zone, moment = night
    after = moment.replace(second=0)
    anchor = after - timedelta(minutes=minutes_before)
    schedule = every(f"{interval[0]} {interval[1]}", zone, anchor)
    until = after + DAY

    actual = list(fires(schedule, after=after - SECOND, until=until))

    assert actual == calendar_fires_between(interval, zone, anchor, after - SECOND, until)


@settings(max_examples=examples(60), deadline=None)
@given(INTERVALS, nights(), st.integers(0, 100 * 1440))
@example((1, "day"), APIA, 12 * 1440 + 900)
def test_previous_fire_and_the_number_of_fires_are_those_of_a_walk(interval, night, minutes_before):
    zone, moment = night
    schedule = every(
        f"{interval[0]} {interval[1]}", zone, moment - timedelta(minutes=minutes_before)
    )
    after = moment - 20 * DAY
    forward = list(islice(fires(schedule, after=after), 40))

    backward = [previous_fire(schedule, before=fire) for fire in forward[1:]]

    assert backward == forward[:-1]
    assert count_fires(schedule, after=after, until=forward[-1]) == len(forward)
    assert count_fires(schedule, after=forward[0], until=forward[-1] - TICK) == len(forward) - 2


def test_two_weeks_keep_their_local_time_across_clock_changes():
    schedule = every("2 weeks", "Europe/Paris", local("Europe/Paris", 2026, 12, 4, 9))

    actual = list(islice(fires(schedule, after=local("Europe/Paris", 2027, 3, 20, 0)), 3))

    assert dates(schedule, 2) == ["2026-12-04 09:00", "2026-12-18 09:00"]
    assert [f"{fire:%m-%d %H:%M}" for fire in actual] == [
        "03-26 08:00",
        "04-09 07:00",
        "04-23 07:00",
    ]


@pytest.mark.parametrize(
    "text, anchor, expected",
    [
        ("1 month", (2027, 1, 31), ["01-31", "02-28", "03-31", "04-30"]),
        ("3 months", (2026, 11, 30), ["11-30", "02-28", "05-30", "08-30"]),
        ("1 year", (2028, 2, 29), ["02-29", "02-28", "02-28", "02-28"]),
        ("14 days", (2026, 12, 4), ["12-04", "12-18", "01-01", "01-15"]),
    ],
)
def test_a_month_without_the_day_has_the_fire_on_its_last_day(text, anchor, expected):
    schedule = every(text, "UTC", local("UTC", *anchor, 9))

    assert [day[5:10] for day in dates(schedule, 4)] == expected


def test_the_last_day_does_not_stay_the_day_of_the_next_months():
    assert (
        dates(every("4 years", "UTC", datetime(2028, 2, 29, tzinfo=UTC)), 2)[1][:10] == "2032-02-29"
    )


def test_a_skipped_time_fires_after_the_gap_and_is_marked():
    schedule = every("1 day", NEW_YORK, local(NEW_YORK, 2026, 3, 1, 2, 30))

    actual = preview(schedule, after=local(NEW_YORK, 2026, 3, 7, 3), count=2)

    assert [(f"{fire.local:%d %H:%M}", fire.dst) for fire in actual] == [
        ("08 03:00", "gap"),
        ("09 02:30", None),
    ]
    assert names_local_time(schedule, datetime(2026, 3, 8, 2, 30))  # noqa: DTZ001  # a local time
    assert not names_local_time(schedule, datetime(2026, 3, 8, 2, 31))  # noqa: DTZ001  # the same


def test_a_time_that_comes_twice_fires_the_first_time():
    schedule = every("1 day", NEW_YORK, local(NEW_YORK, 2026, 10, 1, 1, 30))

    actual = preview(schedule, after=local(NEW_YORK, 2026, 10, 31, 2), count=2)

    assert [(f"{fire.local:%d %H:%M %z}", fire.dst) for fire in actual] == [
        ("01 01:30 -0400", "repeat"),
        ("02 01:30 -0500", None),
    ]


def test_it_does_not_fire_before_its_anchor_nor_after_the_calendar():
    anchor = datetime(2026, 12, 4, 9, tzinfo=UTC)
    schedule = every("10 years", "UTC", anchor)

    assert next_fire(schedule, after=anchor - 900 * DAY) == anchor
    assert previous_fire(schedule, before=anchor) is None
    assert next_fire(schedule, after=datetime(9996, 12, 4, 9, tzinfo=UTC)) is None
    last = previous_fire(schedule, before=datetime(9998, 12, 31, tzinfo=UTC))
    assert last == datetime(9996, 12, 4, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "text, interval",
    [
        ("2 weeks", (2, "week")),
        (" 14d ", (14, "day")),
        ("1 Day", (1, "day")),
        ("month", (1, "month")),
        ("3mo", (3, "month")),
        ("1 yr", (1, "year")),
        ("0 days", (0, "day")),
    ],
)
def test_an_interval_is_read_by_all_names_of_its_unit(text, interval):
    assert read(text) == CalendarInterval(*interval)


@pytest.mark.parametrize(
    "text", ["", "2", "5m", "1M", "1h", "1d12h", "-1 day", "1.5 days", "2 w w"]
)
def test_other_texts_are_no_interval_of_the_calendar(text):
    assert read(text) is None


def test_an_interval_is_from_one_unit_to_ten_years():
    assert [is_within(CalendarInterval(n, "month")) for n in (0, 1, 120, 121)] == [
        *(False, True),
        *(True, False),
    ]
    assert str(CalendarInterval(1, "month")) == "1 month"
    assert str(CalendarInterval(2, "week")) == "2 weeks"
