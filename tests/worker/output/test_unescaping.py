"""Quoting disappears: whatever quoted a text, and how often, the result is the same."""

import html
import json
import random
import shlex
import unicodedata
from urllib.parse import quote

import pytest

from jobs_app.worker.output.located_bytes import Located, Unlocated
from jobs_app.worker.output.unescaping import fold, unescape

TEXT = "p4ss'w\"o\\rd/$&<>%41 \\n"


def plain(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return fold(unescape(Unlocated(data))).data


@pytest.mark.parametrize(
    "quoted",
    [
        json.dumps(TEXT),
        json.dumps(json.dumps(json.dumps(TEXT))),
        json.dumps(TEXT).replace("/", "\\/").replace("&", "\\u0026"),
        html.escape(TEXT),
        html.escape(html.escape(TEXT)).replace("&#x27;", "&#039;"),
        "".join(f"&#{ord(character)};" for character in TEXT),
        quote(quote(TEXT)),
        repr(TEXT),
        repr(repr(TEXT.encode())).replace("b", "", 1),
        shlex.quote(TEXT),
        TEXT.replace("$", "$$"),
        TEXT.replace("'", "''"),
        "".join(f"\\{ord(character):03o}" for character in TEXT),
        f"\x1b[31m{TEXT[:3]}\x1b[1;36m{TEXT[3:]}\x1b[0m",
    ],
)
def test_a_text_and_its_quoted_form_become_equal(quoted: str) -> None:
    assert plain(quoted) == plain(TEXT)


@pytest.mark.parametrize(
    "shown",
    [
        unicodedata.normalize("NFD", "Größe é"),
        "Größe é".encode("latin-1"),
        repr("Größe é".encode()).removeprefix("b"),
        repr("Größe é".encode("latin-1")).removeprefix("b"),
        json.dumps("Größe é"),
        "Gr&ouml;&szlig;e &eacute;",
        "Gr%u00F6%DFe %E9",
        "Gr\\303\\266\\303\\237e \\303\\251",
    ],
)
def test_accents_are_equal_in_every_encoding(shown: str | bytes) -> None:
    assert plain(shown).lower() == plain("Größe é").lower()


def test_a_character_outside_the_basic_plane_is_equal_as_surrogates() -> None:
    assert plain(json.dumps("😀")) == plain("%uD83D%uDE00") == plain("😀")


@pytest.mark.parametrize("text", ["\\ud83d", "\\u00", "%2", "&am", "&amp;", "\\", "\x1b[3", "é"])
def test_an_escape_at_the_open_end_of_output_is_cut_off(text: str) -> None:
    data = text.encode()
    data = data[:1] if text == "é" else data

    view = fold(unescape(Located(b"line" + data), is_open=True), is_open=True)

    assert (view.data, view.cut_at, view.is_cut) == (b"line", 4, True)


PARTS = [*rb"""\ ' " n x 4 1 % 2 5 & amp; # 39; $ u00 e9 a""".split(), b" ", b"\n", b"\xc3\xb6"]


@pytest.mark.parametrize("seed", range(20))
def test_places_are_found_for_exactly_the_same_bytes(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(100):
        data = b"".join(source.choices(PARTS, k=source.randrange(1, 14)))
        is_open = source.random() < 0.5
        view = fold(unescape(Unlocated(data), is_open=is_open), is_open=is_open)

        located = fold(unescape(Located(data), is_open=is_open), is_open=is_open)

        assert (located.data, located.is_cut) == (view.data, view.is_cut)
        places = [located.place(n, n + 1) for n in range(len(view.data))]
        assert places == sorted(places)
        assert all(0 <= start < stop <= len(data) for start, stop in places)


@pytest.mark.parametrize("piece", [b"\\", b"%25", b"&amp;", b"$", b"'", b"\x1b[", b"\\u"])
def test_any_number_of_escapes_is_read_in_linear_time(piece: bytes) -> None:
    # Quadratic work on this much would take minutes.
    assert len(plain(piece * 200_000)) <= len(piece) * 200_000
