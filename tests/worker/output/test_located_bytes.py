"""Bytes that change know which bytes of the original they stand for."""

import re

from jobs_app.worker.output.located_bytes import Located, Unlocated


def test_replaced_bytes_stand_for_the_whole_match() -> None:
    located = Located(b"a--b").sub(re.compile(b"-+"), lambda _: b"xyz")

    assert located.data == b"axyzb"
    assert located.place(0, 1) == (0, 1)
    assert located.place(1, 4) == (1, 3)
    assert located.place(4, 5) == (3, 4)


def test_dropped_bytes_between_others_belong_to_their_span_only_if_inside() -> None:
    located = Located(b"'ab'c'").drop(b"'")

    assert located.data == b"abc"
    assert located.place(0, 2) == (1, 3)
    assert located.place(0, 3) == (1, 5)


def test_bytes_alone_change_in_the_same_way() -> None:
    upper = bytes(range(256)).upper()
    for view in (Unlocated(b"a--'b"), Located(b"a--'b")):
        view.sub(re.compile(b"-"), lambda _: b"").drop(b"'").translate(upper).cut(1)
        assert (view.data, view.is_cut) == (b"A", True)


def test_a_cut_remembers_where_the_original_was_cut() -> None:
    located = Located(b"x" * 5_000).cut(4_998)

    assert located.cut_at == 4_998
    assert located.place(-1, 0) == (4_997, 4_998)


def test_the_last_bytes_begin_at_the_original_of_the_first_of_them() -> None:
    located = Located(b"'ab'c'").drop(b"'")

    assert [located.start_of_last(length) for length in (1, 2, 3, 4)] == [4, 2, 1, 0]
