"""What a person types and reads."""

from datetime import UTC, datetime

import click
import pytest

from jobs_app.cli.format import (
    Duration,
    Interval,
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
