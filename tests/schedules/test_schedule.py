"""The fires of schedules: written by hand for the known nights, by brute force for the others."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from jobs_app.schedules.schedule import (
    Schedule,
    count_fires,
    due_at,
    fires,
    next_fire,
    preview,
    previous_fire,
)
from tests.profiles import examples
from tests.schedule_oracle import fires_between
from tests.schedules.examples import (
    AUTUMN,
    DAY,
    HOUR,
    NEW_YORK,
    NOW,
    SECOND,
    SPRING,
    TICK,
    ZONES,
    cron,
    crons,
    nights,
)


def local_fires(expression: str, zone: str, day: date, days: int = 1) -> list[str]:
    """Return the fires from one local midnight to the next, as the wall clock and offset show."""
    begin = datetime.combine(day, time(), ZoneInfo(zone))
    end = datetime.combine(day + days * DAY, time(), ZoneInfo(zone))
    actual = fires(cron(expression, zone), after=begin - TICK, until=end - TICK)
    return [f"{fire.astimezone(ZoneInfo(zone)):%d %H:%M %z}" for fire in actual]


# Against brute force


@settings(max_examples=examples(80), deadline=None)
@given(crons, nights())
@example("30 1 * * *", (NEW_YORK, datetime(2026, 11, 1, 6, 10, tzinfo=UTC)))
@example("0 */2 * * *", ("Australia/Lord_Howe", datetime(2026, 4, 4, 14, tzinfo=UTC)))
@example("*/30 0 4 11 *", ("America/Sao_Paulo", datetime(2018, 11, 3, tzinfo=UTC)))
@example("* * * * *", ("America/St_Johns", datetime(2009, 11, 1, 1, tzinfo=UTC)))
@example("30 2 30 12 *", ("Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC)))
def test_fires_are_those_that_brute_force_finds(expression, night):
    zone, after = night
    until = after + 2 * DAY

    actual = list(fires(cron(expression, zone), after=after, until=until))

    assert actual == fires_between(expression, zone, after, until)


@settings(max_examples=examples(150), deadline=None)
@given(crons, nights())
@example("*/30 * 17 2 *", ("America/Sao_Paulo", datetime(2018, 2, 17, tzinfo=UTC)))
def test_previous_fire_is_the_inverse_of_next_fire(expression, night):
    zone, after = night
    schedule = cron(expression, zone)
    forward = list(islice(fires(schedule, after=after, until=after + 3 * DAY), 80))
    assume(forward)

    backward = [previous_fire(schedule, before=fire) for fire in forward[1:]]

    assert backward == forward[:-1]
    assert previous_fire(schedule, before=forward[-1] + TICK) == forward[-1]


@settings(max_examples=examples(100), deadline=None)
@given(crons, nights(), st.integers(0, 59_999_999))
def test_a_fire_is_strictly_later_whatever_the_fraction_of_the_minute(expression, night, micros):
    zone, moment = night
    after = moment + micros * TICK

    fire = next_fire(cron(expression, zone), after=after)

    assert fire is not None
    assert fire > after
    assert fire.tzinfo is UTC


# Daylight saving, by name


@pytest.mark.parametrize(
    "expression, in_spring, in_autumn",
    [("0 * * * *", 23, 25), ("*/30 * * * *", 46, 50), ("30 2 * * *", 1, 1), ("30 1 * * *", 1, 1)],
)
def test_new_york_fires_as_often_as_the_day_has_hours(expression, in_spring, in_autumn):
    assert len(local_fires(expression, NEW_YORK, SPRING)) == in_spring
    assert len(local_fires(expression, NEW_YORK, AUTUMN)) == in_autumn


def test_a_skipped_time_fires_at_the_first_moment_after_the_gap():
    assert local_fires("30 2 * * *", NEW_YORK, SPRING) == ["08 03:00 -0400"]
    assert local_fires("30 2 * * *", "Europe/Paris", date(2026, 3, 29)) == ["29 03:00 +0200"]


def test_two_times_that_meet_in_the_gap_fire_once():
    assert local_fires("0,30 2,3 * * *", NEW_YORK, SPRING) == ["08 03:00 -0400", "08 03:30 -0400"]


def test_a_fixed_time_that_comes_twice_fires_the_first_time():
    assert local_fires("30 1 * * *", NEW_YORK, AUTUMN) == ["01 01:30 -0400"]
    assert local_fires("30 2 * * *", "Europe/Paris", date(2026, 10, 25)) == ["25 02:30 +0200"]


def test_a_fixed_time_asked_for_during_its_repetition_is_tomorrows():
    second_ten_past_one = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)

    fire = next_fire(cron("30 1 * * *", NEW_YORK), after=second_ten_past_one)

    assert fire == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def test_wildcard_minutes_in_a_skipped_hour_do_not_fire():
    assert local_fires("*/15 2 * * *", NEW_YORK, SPRING) == []
    assert len(local_fires("*/15 1 * * *", NEW_YORK, AUTUMN)) == 8


def test_lord_howe_skips_and_repeats_half_an_hour():
    spring, autumn, zone = date(2026, 10, 4), date(2026, 4, 5), "Australia/Lord_Howe"

    assert local_fires("15 2 * * *", zone, spring) == ["04 02:30 +1100"]
    assert local_fires("45 1 * * *", zone, autumn) == ["05 01:45 +1100"]
    assert len(local_fires("*/15 * * * *", zone, spring)) == 94
    assert len(local_fires("*/15 * * * *", zone, autumn)) == 98
    assert local_fires("0 */2 * * *", zone, autumn)[:2] == ["05 00:00 +1100", "05 02:00 +1030"]


def test_sao_paulo_fires_at_one_where_it_skipped_midnight():
    begin = datetime(2018, 11, 4, 2, tzinfo=UTC)

    daily = next_fire(cron("0 0 * * *", "America/Sao_Paulo"), after=begin)
    half_hourly = list(
        fires(cron("*/30 0 * * *", "America/Sao_Paulo"), after=begin, until=begin + 23 * HOUR)
    )

    assert daily == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert half_hourly == []


def test_saint_johns_shows_the_first_minute_of_the_day_before_the_last_hour_of_the_last():
    begin = datetime(2009, 11, 1, 2, 0, tzinfo=UTC)

    actual = preview(cron("0,59 * * * *", "America/St_Johns"), after=begin, count=5)
    real_time = preview(cron("*/59 * * * *", "America/St_Johns"), after=begin, count=5)

    local_times = ["23:59 -0230", "00:00 -0230", "23:59 -0330", "00:00 -0330", "00:59 -0330"]
    assert [f"{fire.local:%H:%M %z}" for fire in actual] == local_times
    assert actual == real_time


def test_saint_johns_is_walked_backwards_across_its_double_midnight():
    after_first_midnight = datetime(2009, 11, 1, 2, 45, tzinfo=UTC)  # 23:15 again, of October
    november = cron("0 0 1 11 *", "America/St_Johns")
    half_hourly = cron("*/30 * * * *", "America/St_Johns")

    assert previous_fire(november, before=after_first_midnight) == datetime(
        2009, 11, 1, 2, 30, tzinfo=UTC
    )
    assert previous_fire(half_hourly, before=after_first_midnight + HOUR / 2) == datetime(
        2009, 11, 1, 3, tzinfo=UTC
    )


def test_apia_fires_for_its_skipped_day_at_the_start_of_the_next():
    begin = datetime(2011, 12, 29, 20, tzinfo=UTC)  # 10:00 on the 29th, the last of its year
    end = begin + 2 * DAY

    daily = list(fires(cron("30 2 * * *", "Pacific/Apia"), after=begin, until=end))
    hourly = list(fires(cron("0 * * * *", "Pacific/Apia"), after=begin, until=end))

    midnight = datetime(2011, 12, 30, 10, tzinfo=UTC)
    assert daily == [midnight, midnight + timedelta(hours=2.5), midnight + timedelta(hours=26.5)]
    assert len(hourly) == 48


def test_a_zone_that_changes_its_law_is_followed():
    volgograd = cron("0 12 * * *", "Europe/Volgograd")
    casablanca = cron("0 12 * * *", "Africa/Casablanca")

    noons = [
        next_fire(volgograd, after=datetime(year, 7, 1, 1, tzinfo=UTC))
        for year in (2017, 2019, 2021)
    ]
    in_ramadan = next_fire(casablanca, after=datetime(2026, 3, 1, 1, tzinfo=UTC))
    after_it = next_fire(casablanca, after=datetime(2026, 4, 1, 1, tzinfo=UTC))

    assert [noon and noon.hour for noon in noons] == [9, 8, 9]
    assert (in_ramadan and in_ramadan.hour, after_it and after_it.hour) == (12, 11)


def test_the_preview_marks_what_the_clock_change_moved():
    spring = preview(cron("30 2 * * *", NEW_YORK), after=datetime(2026, 3, 7, tzinfo=UTC), count=3)
    autumn = preview(cron("0 1 * * *", NEW_YORK), after=datetime(2026, 10, 31, tzinfo=UTC), count=3)

    assert [fire.dst for fire in spring] == [None, "gap", None]
    assert spring[1].at == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert spring[1].local.isoformat() == "2026-03-08T03:00:00-04:00"
    assert [fire.dst for fire in autumn] == [None, "repeat", None]


def test_the_preview_marks_both_of_a_pair_of_real_hours_and_no_ordinary_three_oclock():
    begin = datetime(2026, 11, 1, 4, tzinfo=UTC)
    hourly = preview(cron("0 * * * *", NEW_YORK), after=begin, count=4)
    at_three = preview(cron("0 3 * * *", NEW_YORK), after=datetime(2026, 3, 8, tzinfo=UTC), count=1)

    assert [f"{fire.local:%H:%M %z}" for fire in hourly[:2]] == ["01:00 -0400", "01:00 -0500"]
    assert [fire.dst for fire in hourly] == ["repeat", "repeat", None, None]
    assert [(fire.at.hour, fire.dst) for fire in at_three] == [(7, None)]


# Days


@pytest.mark.parametrize(
    "expression, dates",
    [
        ("0 9 L * *", ["01-31", "02-28", "03-31"]),
        ("0 9 LW * *", ["01-30", "02-27", "03-31"]),
        ("0 9 L-3 * *", ["01-28", "02-25", "03-28"]),
        ("0 9 L-30 * *", ["03-01", "05-01", "07-01"]),  # the other months are shorter
        ("0 9 15W * *", ["02-16", "03-16", "04-15"]),  # two Sundays, moved to Monday
        ("0 9 1W 8 *", ["08-03", "08-02", "08-01"]),  # a Saturday, a Sunday, a Tuesday
        ("0 9 31W * *", ["01-30", "03-31", "05-29"]),  # never in a month of 30 days
        ("0 9 30W 5,8 *", ["05-29", "08-31", "05-31"]),  # Saturday, Sunday, Sunday
        ("0 9 L-1W * *", ["01-30", "02-27", "03-30"]),
        ("0 9 15W * 5", ["01-16", "01-23", "01-30"]),
        ("0 9 1W,LW,L-1 * *", ["01-30", "02-02", "02-27"]),
        ("0 9 * * 5L", ["01-30", "02-27", "03-27"]),
        ("0 9 * * MON#2", ["02-09", "03-09", "04-13"]),
        ("0 9 * * 0", ["01-18", "01-25", "02-01"]),
        ("0 9 * * 7", ["01-18", "01-25", "02-01"]),
        ("0 9 * * SUN", ["01-18", "01-25", "02-01"]),
        ("0 9 13 * 5", ["01-16", "01-23", "01-30"]),  # the 13th or a Friday
        ("0 9 */2 * 5", ["01-23", "02-13", "02-27"]),  # an odd day that is a Friday
        ("0 9 31 * *", ["01-31", "03-31", "05-31"]),
    ],
)
def test_days_are_chosen_as_debians_cron_chooses_them(expression, dates):
    actual = islice(fires(cron(expression), after=NOW), 3)

    assert [f"{fire:%m-%d}" for fire in actual] == dates


def test_a_leap_day_is_found_across_a_century_without_one():
    leap_day = cron("0 0 29 2 *")
    leap_sunday = cron("0 0 29 2 */7")

    assert next_fire(leap_day, after=NOW) == datetime(2028, 2, 29, tzinfo=UTC)
    assert next_fire(leap_day, after=datetime(2096, 3, 1, tzinfo=UTC)) == datetime(
        2104, 2, 29, tzinfo=UTC
    )
    assert next_fire(leap_sunday, after=datetime(2088, 3, 1, tzinfo=UTC)) == datetime(
        2128, 2, 29, tzinfo=UTC
    )
    assert previous_fire(leap_day, before=NOW) == datetime(2024, 2, 29, tzinfo=UTC)


def test_the_end_of_the_calendar_ends_the_fires():
    yearly = cron("@yearly", "Pacific/Apia")

    assert next_fire(yearly, after=datetime.max.replace(tzinfo=UTC)) is None
    assert previous_fire(yearly, before=datetime.min.replace(tzinfo=UTC)) is None
    assert next_fire(Schedule(interval_seconds=60), after=datetime.max.replace(tzinfo=UTC)) is None


# Intervals, once, windows


def test_an_interval_counts_from_its_anchor_to_the_microsecond():
    anchor = datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
    schedule = Schedule(interval_seconds=30, anchor_at=anchor)
    third = anchor + 90 * SECOND

    assert next_fire(schedule, after=third - TICK) == third
    assert next_fire(schedule, after=third) == third + 30 * SECOND
    assert previous_fire(schedule, before=third + TICK) == third
    assert previous_fire(schedule, before=third) == third - 30 * SECOND


def test_an_interval_does_not_fire_before_its_anchor():
    schedule = Schedule(interval_seconds=30, anchor_at=NOW)

    assert next_fire(schedule, after=NOW - 365 * DAY) == NOW
    assert previous_fire(schedule, before=NOW) is None


def test_an_interval_neither_drifts_nor_slows_in_the_far_future():
    anchor = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    schedule = Schedule(interval_seconds=7, anchor_at=anchor)

    fire = next_fire(schedule, after=datetime(9990, 1, 1, tzinfo=UTC))

    assert fire is not None
    assert (fire - anchor) % timedelta(seconds=7) == timedelta()
    assert timedelta() < fire - datetime(9990, 1, 1, tzinfo=UTC) <= timedelta(seconds=7)


def test_an_interval_without_an_anchor_counts_from_1970():
    assert next_fire(Schedule(interval_seconds=3600), after=NOW) == NOW + 3600 * SECOND


def test_at_fires_once():
    schedule = Schedule(at=NOW)

    assert list(fires(schedule, after=NOW - DAY)) == [NOW]
    assert next_fire(schedule, after=NOW) is None
    assert previous_fire(schedule, before=NOW) is None
    assert previous_fire(schedule, before=NOW + TICK) == NOW


def test_an_instant_of_another_zone_comes_back_in_utc():
    in_paris = datetime(2026, 6, 1, 10, tzinfo=ZoneInfo("Europe/Paris"))

    fire = next_fire(Schedule(at=in_paris), after=NOW)

    assert fire is not None
    assert fire.isoformat() == "2026-06-01T08:00:00+00:00"


@pytest.mark.parametrize(
    "what", [{"cron": "0 * * * *"}, {"interval_seconds": 3600}], ids=["cron", "interval"]
)
def test_the_window_includes_its_start_and_excludes_its_end(what):
    schedule = Schedule(**what, start_at=NOW, end_at=NOW + 3 * HOUR)
    all_of_them = [NOW, NOW + HOUR, NOW + 2 * HOUR]

    assert list(fires(schedule, after=NOW - DAY)) == all_of_them
    assert previous_fire(schedule, before=NOW + DAY) == NOW + 2 * HOUR
    assert previous_fire(schedule, before=NOW) is None


def test_fires_include_until_and_exclude_after():
    schedule = cron("0 * * * *")

    actual = list(fires(schedule, after=NOW, until=NOW + timedelta(hours=2)))

    assert actual == [NOW + HOUR, NOW + timedelta(hours=2)]


def test_a_naive_datetime_is_an_error_of_the_program():
    naive = NOW.replace(tzinfo=None)

    with pytest.raises(ValueError, match="has no time zone"):
        Schedule(at=naive)
    with pytest.raises(ValueError, match="has no time zone"):
        next_fire(cron("* * * * *"), after=naive)
    with pytest.raises(ValueError, match="has no time zone"):
        previous_fire(cron("* * * * *"), before=naive)


# Jitter


def test_jitter_is_stable_whole_milliseconds_and_within_bounds():
    schedule = cron("* * * * *", jitter_seconds=30, seed="report")
    coming = list(islice(fires(schedule, after=NOW), 500))

    offsets = [due_at(schedule, fire) - fire for fire in coming]

    assert offsets == [due_at(schedule, fire) - fire for fire in coming]
    assert all(timedelta() <= offset <= timedelta(seconds=30) for offset in offsets)
    assert all(offset % timedelta(milliseconds=1) == timedelta() for offset in offsets)
    assert min(offsets) < timedelta(seconds=1)
    assert max(offsets) > timedelta(seconds=29)


def test_jitter_differs_between_jobs_and_is_nothing_by_default():
    one, other = (cron("@hourly", jitter_seconds=3600, seed=seed) for seed in ("one", "other"))

    assert due_at(one, NOW) != due_at(other, NOW)
    assert due_at(cron("@hourly", seed="one"), NOW) == NOW


@given(
    crons,
    st.sampled_from(ZONES),
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1)),  # noqa: DTZ001 - UTC is added below
    st.timedeltas(timedelta(), 100 * DAY),
)
@example("30 23 * * *", "Pacific/Apia", datetime(2011, 12, 1), 60 * DAY)  # noqa: DTZ001 - same
@example("*/30 * * * *", "Pacific/Kwajalein", datetime(1993, 8, 1), 60 * DAY)  # noqa: DTZ001 - same
@example("0,30 * * * *", "America/St_Johns", datetime(2010, 10, 20), 60 * DAY)  # noqa: DTZ001 - same
@settings(max_examples=examples(50), deadline=None)
def test_the_number_of_fires_is_that_of_a_walk(expression, zone, begin, length):
    schedule = cron(expression, zone)
    after = begin.replace(tzinfo=UTC)
    until = after + length

    walked = sum(1 for _ in fires(schedule, after=after, until=until))

    assert count_fires(schedule, after=after, until=until) == walked


@pytest.mark.few(2)
@pytest.mark.parametrize("zone", ["Europe/Paris", "America/Sao_Paulo", "Pacific/Apia"])
@pytest.mark.parametrize("expression", ["0 0 * * *", "30 2,23 * * *"])
def test_the_number_of_fires_of_sixty_years_is_that_of_a_walk(expression, zone):
    schedule = cron(expression, zone)
    after = datetime(1970, 1, 5, 3, tzinfo=UTC)
    until = datetime(2030, 5, 1, tzinfo=UTC)

    walked = sum(1 for _ in fires(schedule, after=after, until=until))

    assert count_fires(schedule, after=after, until=until) == walked


@given(
    st.integers(1, 100_000),
    st.integers(-500_000, 500_000),
    st.integers(0, 500_000),
    st.sampled_from([{}, {"start_at": NOW + HOUR}, {"end_at": NOW + HOUR}]),
)
@settings(max_examples=examples(50), deadline=None)
def test_the_number_of_fires_of_an_interval_is_that_of_a_walk(interval, begin, length, window):
    schedule = Schedule(interval_seconds=max(interval, length // 1000), anchor_at=NOW, **window)
    after = NOW + begin * SECOND
    until = after + length * SECOND

    walked = sum(1 for _ in fires(schedule, after=after, until=until))

    assert count_fires(schedule, after=after, until=until) == walked


@pytest.mark.parametrize("offset, count", [(-1, 1), (0, 0), (1, 0)])
def test_the_number_of_fires_of_one_instant_is_one_or_none(offset, count):
    once = Schedule(at=NOW)

    assert count_fires(once, after=NOW + offset * SECOND, until=NOW + HOUR) == count
