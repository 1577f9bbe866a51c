"""Masking: no form of a secret is left in what a run leaves behind, however it is cut."""

import base64
import html
import json
import logging
import re
import shlex
import tracemalloc
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs_app.tasks.context import Stream
from jobs_app.worker.output.secret_masking import (
    MOST_SEARCHES,
    Mask,
    MaskedLog,
    MaskedRecords,
    mask_process_output,
)
from tests.factories import NOON

SECRET = "p4ss wörd/+'\"&\\%?"  # all that is written in another way somewhere
KEY = "-----BEGIN KEY-----\nAAAABBBBCCCCDDDD\nEEEEFFFFGGGGHHHH\n-----END KEY-----\n"


class Memory:
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.written: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    def write(self, stream: Stream, data: bytes) -> None:
        self.written[stream] += data


def logged(mask: Mask, *pieces: bytes) -> bytes:
    """Return what a log has of *pieces*, each written by itself."""
    memory = Memory()
    log = MaskedLog(memory, mask)
    for piece in pieces:
        log.write("stdout", piece)
    log.close()
    return memory.written["stdout"]


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda found: found[0].lower(), quote(SECRET)),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(json.dumps(SECRET)[1:-1])[1:-1])[1:-1],
        html.escape(SECRET),
        repr(SECRET)[1:-1],
        shlex.quote(SECRET)[1:-1],
        SECRET.replace("'", "'\\''"),
    ],
)
def test_a_secret_is_masked_in_every_form(shown: str) -> None:
    mask = Mask([SECRET])

    assert mask.text(f"a {shown} b") == "a *** b"
    assert logged(mask, f"a {shown} b\n".encode()) == b"a *** b\n"


@pytest.mark.parametrize("beside", ["", "u", "us", "usr", "user:"])
def test_base64_of_something_longer_shows_nothing_of_a_secret_in_it(beside: str) -> None:
    token = base64.b64encode(f"{beside}{SECRET}tail".encode()).decode()

    masked = Mask([SECRET]).text(f"Basic {token}")

    left = masked.removeprefix("Basic ").split("***")
    assert len(left) == 2
    # At most the bits that share a character with what stands beside the secret.
    assert len(left[0]) <= len(base64.b64encode(beside.encode()).decode())
    assert len(left[1]) <= len(base64.b64encode(b"??tail").decode())


def test_base64_broken_into_lines_is_masked() -> None:
    value = "0123456789abcdefghij" * 5

    assert Mask([value]).text(base64.encodebytes(value.encode()).decode()) == "***==\n"


def test_a_secret_of_several_lines_is_masked_line_by_line_too() -> None:
    mask = Mask([KEY])

    assert mask.text(KEY) == "***\n"
    assert mask.text("  AAAABBBBCCCCDDDD\n> EEEEFFFFGGGGHHHH\n") == "  ***\n> ***\n"
    assert mask.text(json.dumps({"key": KEY})) == '{"key": "***\\n"}'


def test_a_secret_of_very_many_lines_is_masked_line_by_line_too() -> None:
    lines = [f"{n:04}-line-{n * 7919:08}" for n in range(2 * MOST_SEARCHES)]
    mask = Mask(["\n".join(lines)])

    for line in lines:
        assert mask.text(f"> {line}") == "> ***"
        assert logged(mask, line[:2].encode(), line[2:4].encode(), line[4:].encode()) == b"***"
    assert logged(mask, "\n".join(lines).encode()) == b"***"


def test_a_value_that_is_too_short_is_not_masked() -> None:
    assert not Mask(["abc", " a ", ""])
    assert Mask(["abc"]).text("abc") == "abc"


def test_secrets_that_overlap_leave_nothing_between_them() -> None:
    mask = Mask(["abcd", "cdef", "abcdefgh"])

    assert mask.text("abcdef") == "***"
    assert mask.text("xabcdefgh") == "x***"
    assert mask.text("abcdabcd") == "******"


@pytest.mark.parametrize(
    "pieces, masked",
    [
        ((b"abcd", b"x", b"x"), b"***"),
        ((b"abcd", b"x", b"y"), b"***xy"),
        ((b"abcd", b"y"), b"***y"),
        ((b"abcd",), b"***"),
        ((b"abcd", b"cdxx"), b"******"),
    ],
)
def test_a_secret_that_another_one_may_go_on_in_is_masked_once(
    pieces: tuple[bytes, ...], masked: bytes
) -> None:
    assert logged(Mask(["abcd", "cdxx"]), *pieces) == masked


def test_a_text_that_was_cut_in_the_middle_of_a_secret_shows_nothing_of_it() -> None:
    mask = Mask(["hunter2-hunter2"])

    assert mask.text("the password is hunter2-hun") == "the password is ***"
    assert mask.text("to hunt") == "to ***"
    assert mask.text("to hun") == "to hun"
    assert logged(mask, b"hunter2-", b"hun") == b"***"


def test_json_is_masked_in_texts_names_and_numbers() -> None:
    mask = Mask(["31337", "hunter2"])

    masked = mask.json(
        {"hunter2": ["a hunter2", 31337, 1.5, None, True], "n": {"x": -313370, "ok": 7}}
    )

    assert masked == {"***": ["a ***", "***", 1.5, None, True], "n": {"x": "-***0", "ok": 7}}


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_what_json_does_not_know_is_masked_by_its_text() -> None:
    mask, left_alone = Mask(["hunter2"]), [Unshowable(), NOON, {1, 2}]

    assert mask.json([KeyError("hunter2"), {"hunter2"}]) == ["'***'", "{'***'}"]
    assert mask.json(left_alone) == left_alone


def test_a_run_without_secrets_is_left_alone() -> None:
    value = {"x": object()}

    assert not Mask()
    assert Mask().json(value) is value
    assert Mask().text("x") == "x"


def test_a_secret_in_pieces_is_masked_and_nothing_of_it_is_shown_meanwhile() -> None:
    memory = Memory()
    log = MaskedLog(memory, Mask(["hunter2"]))

    shown = []
    for piece in (b"password: h", b"unt", b"er", b"2", b"\n"):
        log.write("stdout", piece)
        shown.append(memory.written["stdout"])

    assert shown == [b"password: "] * 3 + [b"password: ***", b"password: ***\n"]


def test_what_only_began_like_a_secret_is_shown_when_it_goes_on_otherwise() -> None:
    assert logged(Mask(["hunter2"]), b"hun", b"dred ", b"hunters\n") == b"hundred hunters\n"


def test_a_line_is_shown_at_once_when_it_is_over() -> None:
    memory = Memory()

    MaskedLog(memory, Mask([SECRET, KEY])).write("stdout", b"step 1\n")

    assert memory.written["stdout"] == b"step 1\n"


def test_streams_are_masked_apart_from_each_other() -> None:
    memory = Memory()
    log = MaskedLog(memory, Mask(["hunter2"]))

    for stream, piece in (
        ("stdout", b"hun"),
        ("stderr", b"hunt"),
        ("stdout", b"ter2"),
        ("stderr", b"er2"),
    ):
        # The keywords are of mixed types.
        log.write(stream, piece)  # type: ignore[arg-type]
    log.close()

    assert memory.written == {"stdout": b"***", "stderr": b"***"}


def test_log_records_of_this_process_are_masked_while_a_run_has_the_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(MaskedRecords(before))
    logger = logging.getLogger("tests.masking")
    try:
        with mask_process_output(Mask(["hunter2"])):
            logger.warning("with %s and %r", "hunter2", {"x": "hunter2"})
            logger.warning("bad %d", "hunter2")
            try:
                raise KeyError("hunter2")
            except KeyError:
                logger.exception("oh")
        logger.warning("with %s", "hunter2")
    finally:
        logging.setLogRecordFactory(before)

    assert [record.getMessage() for record in caplog.records] == [
        "with *** and {'x': '***'}",
        "'bad %d' % ('***',)",
        "oh",
        "with hunter2",
    ]
    assert "KeyError: '***'" in caplog.text
    assert caplog.text.count("hunter2") == 1


letters = st.text("ab0", min_size=4, max_size=7)


@given(
    values=st.lists(letters, min_size=1, max_size=3),
    text=st.text("ab0x", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=12),
)
def test_however_output_is_cut_it_is_masked_as_if_it_came_whole(
    values: list[str], text: str, cuts: list[int]
) -> None:
    mask = Mask(values)
    ends = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end].encode() for start, end in pairwise(ends)]

    masked = logged(mask, *pieces).decode()

    assert masked == mask.text(text)
    assert not any(value in masked for value in values)


def test_a_value_that_overlaps_with_itself_costs_no_memory() -> None:
    memory = Memory()
    log = MaskedLog(memory, Mask(["a" * 40]))
    block = b"a" * 8192
    log.write("stdout", block)

    tracemalloc.start()
    for _ in range(20):
        log.write("stdout", block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    log.write("stdout", b"!")
    log.close()

    assert memory.written["stdout"] == b"***!"
    assert peak < 3_000_000
