"""What a person types and reads."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import click
import pytest

from jobs_app.cli.format import (
    Duration,
    Instant,
    api_instant,
    coloured,
    duration,
    one_line,
    plain,
    relative,
    unfinished,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "dangerous, harmless",
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07after", "after"),
        ("\x9b31mred", "red"),
        ("\x9d0;title\x9ctext", "text"),
        ("\x1bcreset", "reset"),
        ("\x1b(0box", "box"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("abc\u202edef", "abcdef"),
        ("lone \udc80 surrogate", "lone  surrogate"),
        ("10%\r20%\r\ndone", "10%\n20%\ndone"),
        ("naïve — 日本", "naïve — 日本"),
        ("\x1b", ""),
        ("\x1b]unended\nnext line", "\nnext line"),
    ],
)
def test_nothing_that_drives_a_terminal_is_left(dangerous: str, harmless: str) -> None:
    assert plain(dangerous) == harmless


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
    ],
)
def test_durations_are_read_with_their_unit(typed: str, seconds: float) -> None:
    read = Duration().convert(typed, None, None)

    assert read == seconds
    # The API is strict about whole numbers.
    assert isinstance(read, int) == (seconds == int(seconds))


@pytest.mark.parametrize("typed", ["", "-5", "5 apples", "m", "1h 30m", "1e3", "five"])
def test_what_is_no_duration_is_refused(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration"):
        Duration().convert(typed, None, None)


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
