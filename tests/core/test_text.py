"""Text that several parts write: instants and suggestions."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs_app.core.text import closest, counted, did_you_mean, listed, rfc3339


def test_an_instant_is_written_in_utc_whatever_its_zone() -> None:
    paris = datetime(2026, 12, 1, 10, tzinfo=ZoneInfo("Europe/Paris"))

    assert rfc3339(paris) == "2026-12-01T09:00:00Z"


def test_an_instant_keeps_its_microseconds() -> None:
    assert rfc3339(datetime(2026, 12, 1, 9, 0, 0, 5, UTC)) == "2026-12-01T09:00:00.000005Z"


def test_a_name_like_a_known_one_gets_a_suggestion() -> None:
    assert did_you_mean("shel", ["http", "shell"]) == " Did you mean 'shell'?"


def test_a_name_like_none_gets_no_suggestion() -> None:
    assert did_you_mean("xyz", ["http", "shell"]) == ""


def test_a_higher_cutoff_asks_for_more_likeness() -> None:
    assert closest("PST", ["EST"]) == "EST"
    assert closest("PST", ["EST"], cutoff=0.75) is None


@pytest.mark.parametrize(
    "names, text",
    [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")],
)
def test_a_long_list_of_names_is_cut_and_counted(names: list[str], text: str) -> None:
    assert listed(names, most=2) == text


@pytest.mark.parametrize(
    "count, noun, text",
    [
        (0, "run", "0 runs"),
        (1, "run", "1 run"),
        (1200, "run", "1,200 runs"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
        (3, "process", "3 processes"),
        (1, "more error", "1 more error"),
        (2, "more error", "2 more errors"),
    ],
)
def test_a_noun_is_in_the_number_of_its_count(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text
