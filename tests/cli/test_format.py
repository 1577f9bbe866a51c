"""What a person types and reads."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest
import time_machine

from jobs_app.cli.format import (
    Duration,
    Instant,
    Interval,
    api_instant,
    coloured,
    duration,
    one_line,
    relative,
    unfinished,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written, output",
    [
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2:1:2:3mrgb", "\x1b[38:2:1:2:3mrgb"),
        ("\x1b[31mred\x1b[2J\x1b]0;title\x07", "\x1b[31mred"),
        ("\x1b\x1b[31mred", "\x1b[31mred"),
        ("\x1b]8;;\x1b[31mred", "\x1b[31mred"),
        ("\x1b[?25lplain", "plain"),
    ],
)
def test_colours_are_all_that_is_left_to_drive_a_terminal(written: str, output: str) -> None:
    assert coloured(written) == output


@pytest.mark.parametrize(
    "text, end",
    [
        ("text", ""),
        ("text\x1b", "\x1b"),
        ("text\x1b[3", "\x1b[3"),
        ("text\x1b]0;ti", "\x1b]0;ti"),
        ("text\r", "\r"),
        ("text\x1b[31m", ""),
        ("text\x1b]" + "x" * 5000, ""),
    ],
)
def test_the_beginning_of_an_escape_sequence_waits_for_its_end(text: str, end: str) -> None:
    assert unfinished(text) == end


def test_a_cell_is_one_line() -> None:
    assert one_line("first\n  second\tthird ") == "first second third"


@pytest.mark.parametrize(
    "typed, seconds",
    [
        ("90", 90),
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1w", 604_800),
        ("0.5", 0.5),
        ("1.5h", 5400),
        ("2H", 7200),
        ("1h 30m", 5400),
        ("90min", 5400),
        ("90 min", 5400),
        ("1 hour 30 minutes", 5400),
        ("1.5hrs", 5400),
        ("30sec", 30),
        ("2 days", 172_800),
        ("1week", 604_800),
    ],
)
def test_durations_are_read_with_their_unit(typed: str, seconds: float) -> None:
    read = Duration().convert(typed, None, None)

    assert read == seconds
    # The API is strict about whole numbers.
    assert isinstance(read, int) == (seconds == int(seconds))


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("90", 90),
        ("1h30m", 5400),
        ("24h", 86_400),
        ("1d12h", 129_600),
        ("1.5d", 129_600),
        ("0d", 0),
        ("1d", "1 day"),
        ("14d", "14 days"),
        ("week", "1 week"),
        ("3 Months", "3 months"),
        ("1y", "1 year"),
    ],
)
def test_whole_days_and_longer_are_an_interval_of_the_calendar(
    typed: str, expected: float | str
) -> None:
    assert Interval().convert(typed, None, None) == expected


def test_a_capital_m_is_no_month() -> None:
    with pytest.raises(click.UsageError, match="months and years differ in length"):
        Interval().convert("1M", None, None)


@pytest.mark.parametrize("typed", ["", "-5", "5 apples", "m", "1h30", "1e3", "five", "1.h", "PT5M"])
def test_what_is_no_duration_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration"):
        Duration().convert(typed, None, None)


@pytest.mark.parametrize("typed", ["1M", "1mo", "1 month", "2MONTHS", "1y", "1year", "1d2M"])
def test_months_and_years_are_refused_with_a_way_to_say_them(typed: str) -> None:
    with pytest.raises(click.BadParameter, match=r"m for minutes.*'0 0 1 \* \*'"):
        Duration().convert(typed, None, None)


def test_a_duration_without_end_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="longer than any duration"):
        Duration().convert("9" * 400 + "d", None, None)


@pytest.mark.parametrize(
    "typed, instant",
    [
        ("2026-12-01T09:00:00Z", datetime(2026, 12, 1, 9, tzinfo=UTC)),
        ("2026-12-01T10:00:00+01:00", datetime(2026, 12, 1, 9, tzinfo=UTC)),
    ],
)
def test_instants_are_read_with_their_offset(typed: str, instant: datetime) -> None:
    assert Instant().convert(typed, None, None) == instant


def test_a_time_without_an_offset_is_in_the_zone_given() -> None:
    local = Instant().convert("2026-12-01 09:00", None, None)

    assert api_instant(local, ZoneInfo("Europe/Paris")) == "2026-12-01T08:00:00Z"


LOCAL_TIMES = [
    ("Europe/Paris", "2027-03-28 02:30", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 02:00", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 02:59:59.5", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 01:59:59", "2027-03-28T00:59:59Z"),
    ("Europe/Paris", "2027-03-28 03:00", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-10-31 02:30", "2027-10-31T00:30:00Z"),
    ("America/New_York", "2027-03-14 02:30", "2027-03-14T07:00:00Z"),
    ("America/New_York", "2027-11-07 01:30", "2027-11-07T05:30:00Z"),
    ("Australia/Lord_Howe", "2027-10-03 02:15", "2027-10-02T15:30:00Z"),
    ("Africa/Cairo", "2027-04-30 00:20", "2027-04-29T22:00:00Z"),
    ("Europe/Paris", "1945-04-02 02:59:59.5", "1945-04-02T01:00:00Z"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30T10:00:00Z"),
]


@pytest.mark.parametrize("zone, local, instant", LOCAL_TIMES)
def test_a_local_time_in_a_gap_is_the_first_moment_after_it(
    zone: str, local: str, instant: str
) -> None:
    assert api_instant(datetime.fromisoformat(local), ZoneInfo(zone)) == instant


@pytest.mark.parametrize("zone, local, instant", LOCAL_TIMES)
def test_a_local_time_of_the_terminal_is_read_in_the_same_way(
    zone: str, local: str, instant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            read = api_instant(datetime.fromisoformat(local))
    finally:
        time.tzset()

    assert read == instant


@pytest.mark.parametrize("zone", [None, ZoneInfo("Europe/Paris")])
def test_the_last_second_of_all_years_is_read(zone: ZoneInfo | None) -> None:
    last = datetime.fromisoformat("9999-12-31 23:59:59")

    assert api_instant(last, zone).startswith("9999-12-31T2")


@pytest.mark.parametrize(
    "typed",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01 00:00",
        "9999999w",
        "99999999999999d",
    ],
)
def test_an_instant_beyond_all_dates_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is (too far away|longer ago)"):
        Instant(ago=True).convert(typed, None, None)


@pytest.mark.parametrize(
    "typed, local",
    [
        ("22:00", "2026-11-28 22:00"),
        ("9:00", "2026-11-29 09:00"),
        ("09:30:00", "2026-11-29 09:30"),
        ("09:30:01", "2026-11-28 09:30:01"),
        ("today", "2026-11-29 00:00"),
        ("Yesterday", "2026-11-28 00:00"),
        ("today 22:00", "2026-11-29 22:00"),
        ("yesterday  22:00", "2026-11-28 22:00"),
    ],
)
def test_a_recent_time_is_of_the_terminals_clock(typed: str, local: str) -> None:
    with time_machine.travel(datetime(2026, 11, 29, 9, 30).astimezone(), tick=False):
        read = Instant(ago=True).convert(typed, None, None)

    assert read == datetime.fromisoformat(local)
    with pytest.raises(click.BadParameter):
        Instant().convert("yesterday", None, None)


def test_a_number_alone_is_a_date_or_nothing() -> None:
    read = Instant(ago=True).convert("20261129", None, None)

    assert read == datetime(2026, 11, 29)  # noqa: DTZ001  # local, as typed
    with pytest.raises(click.BadParameter, match="or 2h for two hours ago"):
        Instant(ago=True).convert("2026", None, None)


@pytest.mark.parametrize("typed", ["25:00", "12:60", "yesterday22:00", "tomorrow", "noon", ""])
def test_no_recent_time_is_refused_with_the_forms(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="yesterday 22:00"):
        Instant(ago=True).convert(typed, None, None)


def test_a_duration_where_it_is_allowed_means_that_long_ago() -> None:
    read = Instant(ago=True).convert("2h", None, None)

    assert abs(datetime.now(UTC) - timedelta(hours=2) - read) < timedelta(seconds=30)
    with pytest.raises(click.BadParameter):
        Instant().convert("2h", None, None)


@pytest.mark.parametrize(
    "instant, words",
    [
        ("2026-11-23T12:00:00Z", "now"),
        ("2026-11-23T12:00:45Z", "in 45 s"),
        ("2026-11-23T11:57:00Z", "3 min ago"),
        ("2026-11-23T15:00:00Z", "in 3 h"),
        ("2026-11-20T12:00:00Z", "3 days ago"),
        ("2027-11-23T12:00:00Z", "in 12 months"),
        ("2030-11-23T12:00:00Z", "in 4 years"),
        (None, "-"),
    ],
)
def test_instants_are_written_as_people_say_them(instant: str | None, words: str) -> None:
    assert relative(instant, at=NOON) == words


@pytest.mark.parametrize(
    "seconds, words",
    [
        (None, "-"),
        (0.421, "0.42 s"),
        (5, "5 s"),
        (59.4, "59 s"),
        (185, "3 min 5 s"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_written_with_their_units(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
