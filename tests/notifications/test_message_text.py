"""Texts of a message are short, and cannot move a cursor or add a header."""

from datetime import timedelta

import pytest

from jobs_app.notifications.message_text import (
    duration_text,
    last_lines,
    local_time,
    without_control_characters,
)
from tests.factories import NOON


def test_one_line_of_a_megabyte_is_cut() -> None:
    assert len(last_lines("x" * 1_000_000)) < 5000


@pytest.mark.parametrize(
    "dirty, clean",
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07click\x1b]8;;\x07", "click"),
        ("10%\r50%\r100%\nnext\r\n", "100%\nnext\n"),
        ("a\u202eb\x00\x9bc", "abc"),
    ],
)
def test_control_characters_are_removed(dirty: str, clean: str) -> None:
    assert without_control_characters(dirty) == clean


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3661, "1 h 1 min"),
        (90_061, "1 d 1 h"),
        (None, "0 s"),
    ],
)
def test_durations_are_spelled_in_two_units(seconds: float | None, words: str) -> None:
    assert duration_text(seconds) == words


@pytest.mark.parametrize("zone", ["UTC", "Nowhere/Land"])
def test_an_instant_without_a_zone_of_its_own_is_in_utc(zone: str) -> None:
    assert local_time(NOON + timedelta(hours=1), zone) == "2026-06-15 13:00:00 UTC"
