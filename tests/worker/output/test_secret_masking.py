"""Masking: no form of a secret is left in what a run leaves behind, however it is cut."""

import base64
import html
import json
import os
import random
import re
import shlex
import subprocess
import textwrap
import time
import tracemalloc
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs_app.tasks.context import Stream
from jobs_app.worker.output.needles import FEW
from jobs_app.worker.output.secret_masking import Mask, MaskedLog
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
    lines = [f"{n:04}-line-{n * 7919:08}" for n in range(10 * FEW)]
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


LONG = "".join(random.Random(7).choices("abcdefghijkXYZ0123456789/+'$", k=300))
FORMS: dict[str, Callable[[str], str | bytes]] = {
    "JSON of PHP": lambda v: json.dumps(v).replace("/", "\\/"),
    "JSON of Go": lambda v: json.dumps(v).replace("&", "\\u0026").replace("<", "\\u003c"),
    "HTML of Jinja": lambda v: html.escape(v).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "HTML of Django": lambda v: html.escape(v).replace("&#x27;", "&#039;"),
    "HTML of HTML": lambda v: html.escape(html.escape(v)),
    "URL of JSON": lambda v: quote(json.dumps(v)),
    "bytes": lambda v: repr(v.encode()),
    "Latin-1 bytes": lambda v: repr(v.encode("latin-1")),
    "Latin-1": lambda v: v.encode("latin-1"),
    "NFD": lambda v: unicodedata.normalize("NFD", v),
    "host name": str.lower,
    "dollars": lambda v: v.replace("$", "$$"),
    "SQL": lambda v: v.replace("'", "''"),
    "colours": lambda v: v[:9] + "\x1b[1;36m" + v[9:] + "\x1b[0m",
    "hexadecimal": lambda v: v.encode().hex(),
    "Base64 at 64": lambda v: wrapped(f"user:{v}", 64),
    "Base64 at 76": lambda v: wrapped(f"us:{v}:tail", 76),
    "Base64 at 5": lambda v: wrapped(f"u:{v}", 5),
    "Base64 in JSON": lambda v: json.dumps(wrapped(v, 64)),
    "Base64 in YAML": lambda v: textwrap.indent(wrapped(f"user:{v}", 64), "    "),
    "Base64 in a URL": lambda v: quote(base64.b64encode(v.encode()).decode(), safe=""),
    "lines of sed": lambda v: "\\\n".join(textwrap.wrap(json.dumps(v)[1:-1], 40)),
    "hexadecimal lines": lambda v: "\n".join(textwrap.wrap(v.encode().hex(), 60)),
}


def wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(base64.b64encode(text.encode()).decode(), width))


def remains(masked: bytes, value: str) -> set[bytes]:
    """Return the pieces of *value* that *masked* still shows."""
    pieces = {value[at : at + 5].lower() for at in range(len(value) - 4)}
    return {piece.encode() for piece in pieces if piece.encode() in masked.lower()}


@pytest.mark.few(24)
@pytest.mark.parametrize(
    "value", [SECRET, f"{SECRET}-{LONG}", "$x'<&>/\\\"+%41;é\\n\\t~ and words"]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_however_it_is_written_and_cut(form: str, value: str) -> None:
    mask, source = Mask([value]), random.Random(form)
    shown = FORMS[form](value)
    data = b"<" + (shown.encode() if isinstance(shown, str) else shown) + b">"

    for most in (len(data), 9, 1):
        pieces, at = [], 0
        while at < len(data):
            size = source.randrange(1, most + 1) if most < len(data) else most
            pieces.append(data[at : at + size])
            at += size
        masked = logged(mask, *pieces)

        assert b"***" in masked
        assert not remains(masked, value)
        # The rest: what stands around the value, and bits of it that share a character.
        assert len(masked) <= 40


@pytest.mark.parametrize("value", ["a'b\"", '\\\\$"', '"x"\'', "\\x41\\x42"])
def test_a_value_of_few_letters_and_many_quotes_is_masked_too(value: str) -> None:
    shown = [value, json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe="")]
    shown += [html.escape(value), value.replace("'", "'\\''"), shlex.quote(value)[1:-1]]

    for text in shown:
        assert Mask([value]).text(f"<{text}>") == "<***>"


SHELL_FORMS = r"""
echo "$K"; printf '%s\n' "$K"; printf '%b\n' "$K"; set -x; : "$K"; set +x
export -p | grep -A9 ' K='; set | grep -A9 ^K=; echo "$K" | base64
printf 'user:%s' "$K" | base64 -w 64
"""
BASH_FORMS = r"""
echo -e "$K"; printf '%q\n' "$K"; declare -p K; echo "${K@Q} ${K@E} ${K@A}"; cat "/missing/$K"
LC_ALL=C printf '%q\n' "$K"; printf 'a:%s' "$K" | od -An -v -tx1; set -f; echo $K
printf %s "$K" | sed -n l
"""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shell, script", [("sh", SHELL_FORMS), ("bash", BASH_FORMS)])
def test_nothing_of_a_secret_is_left_in_the_output_of_shells(
    seed: int, shell: str, script: str
) -> None:
    source = random.Random(seed)
    letters = "bdfghjkmpqsvwyz0123456789\\\"'$`&<>/+%=;:! #()*é" + "\\" * (seed % 3)
    value = "Kq7" + "".join(source.choices(letters, k=12 + 20 * (seed % 3))) + "\\nWv4-end-of-it"
    value = value.replace("\\c", "\\d")  # dash ends its output at \c
    environment = {"K": value, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    done = subprocess.run(
        [shell, "-c", script], env=environment, capture_output=True, timeout=30, check=False
    )

    output = done.stdout + done.stderr
    masked = logged(Mask([value]), *(output[at : at + 7] for at in range(0, len(output), 7)))
    assert b"***" in masked
    assert not remains(masked, value)


def test_words_that_only_resemble_a_secret_are_shown() -> None:
    mask = Mask(["hunter2-xyz", "1234", "Größe-99"])
    text = '{"hunter": 2, "n": [12, 34], "%": "50%"}\n1\n2\n3\n4\nGroß 99\n'

    assert mask.text(text) == text


@pytest.mark.parametrize("block", [b"a" * 8192, b"a" * 8191 + b"b", b"\\" * 8192, b"YWFh" * 2048])
def test_a_secret_of_equal_characters_does_not_slow_the_log_down(block: bytes) -> None:
    log = MaskedLog(Memory(), Mask(["a" * 60_000]))
    started = time.process_time()

    for _ in range(20):
        log.write("stdout", block)
    log.close()

    assert time.process_time() - started < 3  # 0.05 s; it was 3 s


def test_the_beginning_and_the_end_of_a_long_secret_are_masked_without_the_rest() -> None:
    mask = Mask([LONG])

    assert mask.text(f"{LONG[:128]} cut") == "*** cut"
    assert mask.text(f"… {LONG[-64:]}!") == "… ***!"


@pytest.mark.parametrize("gap", [b"'", b"\n", b"\\", b"\x1b[0m", b"&amp;amp;amp;amp;#39;"])
@pytest.mark.parametrize("start", [b"hunt", b"aHVudGVy"])
def test_quotes_without_end_within_a_secret_cost_no_memory(start: bytes, gap: bytes) -> None:
    memory = Memory()
    log = MaskedLog(memory, Mask(["hunter2-hunter2"]))
    log.write("stdout", start)

    for _ in range(50):
        log.write("stdout", gap * 100)

    written = len(memory.written["stdout"])
    assert written >= 5_000 * len(gap) - 2_000
    log.write("stdout", b"\nhunter2-hunter2\n")
    log.close()
    assert memory.written["stdout"].endswith(b"***\n")


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(8, 30))]
)
def test_any_mixture_of_escapes_cut_anywhere_is_masked_without_an_error(seed: int) -> None:
    source = random.Random(seed)
    parts = ["\\", "%", "%25", "&", "&amp;", "&#39;", "\\u00", "e9", "é", "'", "$", "\n", "aHVu"]
    value = "".join(source.choices([*parts, "abc"], k=source.randrange(3, 40))) + "xyz"
    log, mask = Memory(), Mask([value, "hunter2"])
    masked_log = MaskedLog(log, mask)

    for _ in range(80):
        forms = [value, json.dumps(value), quote(value), html.escape(value), *parts]
        text = source.choice(forms).encode()
        cut = source.randrange(len(text) + 1)
        masked_log.write("stdout", text[:cut])
        masked_log.write("stdout", text[cut:])
    masked_log.close()

    assert value.encode() not in log.written["stdout"]
