"""Durations as people write them."""

import pytest

from jobs_app.core.durations import NoDuration, parts, seconds_of, whole_seconds


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("15 minutes", 900),
        ("15min", 900),
        (" 1h30m ", 5400),
        ("1.5 hours", 5400),
        ("24H", 86_400),
        ("1d12h", 129_600),
        ("0 s", 0),
    ],
)
def test_a_duration_with_units_is_read(text: str, seconds: int) -> None:
    assert whole_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "5 apples", "1M", "0.5s", "-5 min", "5", "1 month", f"{'9' * 400}s"]
)
def test_other_texts_are_no_whole_seconds(text: str) -> None:
    assert whole_seconds(text) is None


def test_a_duration_has_numbers_with_units() -> None:
    assert parts("1h30") == []
    assert parts("1h 30m") == [("1", "h"), ("30", "m")]
    assert parts("90") == [("90", "")]


def test_the_units_of_a_duration_are_added_up() -> None:
    assert seconds_of("1d 2h30m") == 95_400


def test_only_a_text_that_is_nothing_like_a_duration_is_no_duration() -> None:
    with pytest.raises(NoDuration):
        seconds_of("noon")
    for text in ("2 months", "9" * 400 + "d"):
        with pytest.raises(ValueError, match=r"differ in length|longer than any") as caught:
            seconds_of(text)
        assert not isinstance(caught.value, NoDuration)
