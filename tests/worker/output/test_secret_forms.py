"""The forms of a secret: the value, its long lines, and both in Base64 and hexadecimal."""

import base64

from jobs_app.worker.output.located_bytes import Unlocated
from jobs_app.worker.output.secret_forms import LEAST_LINE, compact, forms, space


def test_a_line_is_a_form_from_eight_characters_on() -> None:
    lines = ["x" * (LEAST_LINE - 1), "y" * LEAST_LINE]

    found = forms(["\n".join(["first line of it", *lines])]).verbatim

    assert lines[1].encode() in found
    assert lines[0].encode() not in found


def test_lines_that_echo_makes_of_a_value_are_forms_too() -> None:
    value = "AAAA-one-line\\nBBBB-two-line\\n"

    found = forms([value])

    assert {b"aaaa-one-line", b"bbbb-two-line"} <= found.verbatim
    assert base64.b64encode(b"BBBB-two-line").rstrip(b"=") in found.compact


def test_a_short_value_has_no_forms() -> None:
    assert forms(["abc", " x ", ""]).verbatim == set()


def test_a_value_with_accents_has_its_latin_1_form() -> None:
    found = forms(["Größe-123"])

    assert found.has_non_ascii
    assert "größe-123".encode("latin-1") in found.verbatim
    assert "Größe-123".encode("latin-1").hex().encode() in found.compact


def test_characters_that_an_encoding_lacks_make_no_form() -> None:
    found = forms(["日本語日本語"])

    assert not any(b"??" in form for form in found.verbatim | found.plain)


def test_whitespace_counts_only_if_a_value_has_some() -> None:
    assert not forms(["hunter2-hunter2"]).has_space
    assert forms(["two words"]).has_space
    assert forms(["two\\twords"]).has_space


def test_views_of_output_join_lines_and_words() -> None:
    assert space(Unlocated(b"a \n\tb\nc")).data == b"a b c"
    assert compact(Unlocated(b"QUJ-\n  RE_G\r\n")).data == b"QUJ+RE/G"
