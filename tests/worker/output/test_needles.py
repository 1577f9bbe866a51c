"""Many byte strings are found at once, wherever they are, as a plain search finds them."""

import random

import pytest

from jobs_app.worker.output.needles import FEW, PIECE_BYTES, Needles


def covered(spans: list[tuple[int, int]]) -> set[int]:
    return {at for start, stop in spans for at in range(start, stop)}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("count", [1, FEW, 4 * FEW])
def test_every_occurrence_is_covered_and_nothing_else(seed: int, count: int) -> None:
    source = random.Random(seed)
    letters = b"ab" if seed % 2 else b"abcdefgh"
    values = [bytes(source.choices(letters, k=source.randrange(4, 30))) for _ in range(count)]
    parts = [bytes(source.choices(letters, k=source.randrange(0, 9))) for _ in range(40)]
    data = b"".join(part + source.choice([b"", source.choice(values)]) for part in parts)
    expected = {
        at
        for value in values
        for start in range(len(data))
        if data.startswith(value, start)
        for at in range(start, start + len(value))
    }

    assert covered(Needles(values, shortest=4).find(data)) == expected


@pytest.mark.parametrize("seed", range(12))
def test_the_start_of_a_string_at_the_end_is_found_in_its_full_length(seed: int) -> None:
    source = random.Random(seed)
    values = [bytes(source.choices(b"ab", k=source.randrange(4, 12))) for _ in range(1 + seed * 3)]
    needles = Needles(values, shortest=4)
    for _ in range(50):
        data = bytes(source.choices(b"ab", k=source.randrange(0, 14)))
        longest = max(
            (
                n
                for n in range(len(data) + 1)
                for value in values
                if n < len(value) and value.startswith(data[len(data) - n :])
            ),
            default=0,
        )

        assert needles.unfinished(data) == longest


def test_a_long_string_is_found_as_one_span_and_in_part() -> None:
    value = bytes(random.Random(1).choices(b"abcdefgh", k=5 * PIECE_BYTES + 7))
    needles = Needles([value], shortest=4)

    assert needles.find(b"..." + value + b"..") == [(3, 3 + len(value))]
    assert needles.find(value[: 2 * PIECE_BYTES + 9]) == [(0, 2 * PIECE_BYTES)]
    assert needles.longest == PIECE_BYTES


def test_strings_that_touch_are_two_spans_and_those_that_overlap_one() -> None:
    needles = Needles([b"abcd", b"cdef"], shortest=4)

    assert needles.find(b"abcdabcd") == [(0, 4), (4, 8)]
    assert needles.find(b"abcdef") == [(0, 6)]


def test_a_string_that_repeats_itself_is_one_span_of_any_length() -> None:
    assert Needles([b"ab" * 20], shortest=4).find(b"x" + b"ab" * 5_000) == [(1, 10_001)]


@pytest.mark.parametrize("seed", range(8))
def test_many_strings_that_repeat_themselves_are_all_covered(seed: int) -> None:
    source = random.Random(seed)
    text = bytes(source.choices(b"ab", k=source.randrange(1, 9))) * 120
    starts = [source.randrange(60) for _ in range(4 * FEW)]
    values = {text[start : start + source.randrange(7, 60)] for start in starts}
    parts = [text[source.randrange(9) :][: source.randrange(200)] for _ in range(9)]
    data = b"c".join(parts) + bytes(source.choices(b"abc", k=40))
    expected = {
        at
        for value in values
        for start in range(len(data))
        if data.startswith(value, start)
        for at in range(start, start + len(value))
    }

    assert covered(Needles(values, shortest=4).find(data)) == expected


def test_output_of_one_character_is_found_once_by_many_strings() -> None:
    needles = Needles([b"x" * length for length in range(7, 7 + 4 * FEW)], shortest=4)

    # Each string fits nearly everywhere: the work must not grow with their number.
    assert len(list(needles._look_up(b"x" * 100_000))) < 10


def test_strings_that_are_too_short_are_ignored() -> None:
    assert not Needles([b"abc"], shortest=4)
    assert Needles([b"abc"], shortest=4).find(b"abc") == []
