"""Values as the texts of controls: JSON, numbers, durations, instants."""

import pytest

from jobs_app.web.pages.form_values import (
    Unreadable,
    duration_from,
    duration_texts,
    from_json_text,
    instant_from,
    instant_texts,
    number_from,
    utc_text,
)

PARIS = "Europe/Paris"


@pytest.mark.parametrize(
    "seconds, texts",
    [
        (90, ("90", "s")),
        (3600, ("1", "h")),
        (86_400, ("1", "d")),
        (0, ("0", "s")),
        (0.5, ("0.5", "s")),
    ],
)
def test_a_duration_has_the_largest_unit_that_divides_it(
    seconds: float, texts: tuple[str, str]
) -> None:
    assert duration_texts(seconds) == texts
    assert duration_from(*texts) == seconds


def test_a_duration_may_be_a_fraction_of_its_unit() -> None:
    assert duration_from("1.5", "h") == 5400


@pytest.mark.parametrize("text", ["ten", "1,5", "0x10", "1_000", "--1", "9" * 5000])
def test_a_text_that_is_no_number_stays_a_text(text: str) -> None:
    assert number_from(text) == text


def test_an_instant_is_shown_in_the_zone_of_the_form() -> None:
    assert instant_texts("2026-12-01T08:00:00Z", PARIS) == ("2026-12-01T09:00", PARIS)
    assert instant_from("2026-12-01T09:00", PARIS) == "2026-12-01T08:00:00Z"
    assert utc_text("2026-12-01T09:00", PARIS) == "Tue 01 Dec 2026 08:00:00 UTC"


@pytest.mark.parametrize("hour", ["00:30", "01:30"])
def test_an_instant_whose_time_comes_twice_has_an_offset_for_a_zone(hour: str) -> None:
    value = f"2026-10-25T{hour}:00Z"

    local, zone = instant_texts(value, PARIS)

    assert (local, zone) == ("2026-10-25T02:30", "+02:00" if hour == "00:30" else "+01:00")
    assert instant_from(local, zone) == value


def test_a_time_that_comes_twice_is_refused_with_both_offsets() -> None:
    with pytest.raises(Unreadable, match=r"comes twice .* write \+02:00 or \+01:00"):
        instant_from("2026-10-25T02:30", PARIS)


def test_a_time_that_the_clock_skips_is_refused() -> None:
    with pytest.raises(Unreadable, match="02:30 on 28 Mar 2027 does not exist in Europe/Paris"):
        instant_from("2027-03-28T02:30", PARIS)


@pytest.mark.parametrize(
    "text, zone, sentence",
    [
        ("tomorrow", PARIS, "Give a day and a time"),
        ("2026-02-30T10:00", PARIS, "no such day"),
        ("2026-12-01T09:00", "", "Name the time zone"),
        ("2026-12-01T09:00", "Paris", "did you mean Europe/Paris"),
        ("0001-01-01T00:00", "+05:00", "too far away"),
    ],
)
def test_an_instant_that_is_none_says_why(text: str, zone: str, sentence: str) -> None:
    with pytest.raises(Unreadable, match=sentence):
        instant_from(text, zone)


@pytest.mark.parametrize(
    "was", ["2026-12-01T09:00:00+01:00", "2026-12-01T08:00:00.123456Z", "2026-12-01T08:00:30.500Z"]
)
def test_an_instant_that_nobody_touched_stays_as_it_was_written(was: str) -> None:
    text, zone = instant_texts(was, PARIS)
    # A browser drops the zeros at the end of a fraction.
    sent = text.rstrip("0") if "." in text else text

    assert instant_from(sent, zone, was) == was
    assert instant_from("2026-12-02T09:00", zone, was) == "2026-12-02T08:00:00Z"


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("[1,\n 2,]", "at line 2"),
        ('{"a": 1, "a": 2}', "the name 'a' twice"),
        ("NaN", "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "a number that is too long"),
    ],
)
def test_json_that_cannot_be_read_says_where(text: str, sentence: str) -> None:
    with pytest.raises(Unreadable, match=sentence):
        from_json_text(text)
