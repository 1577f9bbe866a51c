"""The byte strings by which a secret is recognised in output; no IO."""

import base64
import html
import json
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from jobs_app.secrets.redaction import MIN_MASKED_LENGTH
from jobs_app.worker.output.located_bytes import Unlocated
from jobs_app.worker.output.unescaping import LETTERS, View, fold, unescape

#: In a secret of several lines, lines of at least this many characters are masked alone.
LEAST_LINE = 8

#: The shortest hexadecimal form, digits.
LEAST_HEX = 2 * MIN_MASKED_LENGTH

_WHITESPACE = b" \t\n\r\v\f"
_SPACES = bytes.maketrans(_WHITESPACE, b" " * len(_WHITESPACE))
_SPACE_RUN = re.compile(rb"[ \t\n\r\v\f]{2,}")
#: The alphabet of Base64 for URLs, in the normal one.
_ALPHABET = bytes.maketrans(b"-_", b"+/")
_LINE_END = re.compile(rb"[\r\n]+")

_SIMPLE_ESCAPE = re.compile(rb"\\(\\|[abefnrtv])")
_SIMPLE = {b"\\": b"\\", **{bytes([k]): bytes([v]) for k, v in LETTERS.items()}}


@dataclass(slots=True)
class Forms:
    """The forms of some secrets, by the view of the output in which they are looked for.

    `verbatim` in the output itself, in lower case; `plain` in the output without quoting and
    escapes; `compact` in the output without whitespace (Base64, hexadecimal).
    """

    verbatim: set[bytes] = field(default_factory=set)
    plain: set[bytes] = field(default_factory=set)
    compact: set[bytes] = field(default_factory=set)
    has_non_ascii: bool = False
    has_space: bool = False


def forms(values: Iterable[str]) -> Forms:
    """Return the forms of *values*; none of those that are too short to mask."""
    result = Forms()
    for value in map(str.strip, values):
        if len(value) >= MIN_MASKED_LENGTH:
            _add(result, value)
    if result.has_space:
        result.plain = {space(Unlocated(form)).data for form in result.plain}
    return result


def _add(result: Forms, value: str) -> None:
    _add_text(result, value.encode("utf-8", "surrogatepass"))
    if not value.isascii():
        for form in ("NFC", "NFD"):
            normal = unicodedata.normalize(form, value)
            _add_text(result, normal.encode("utf-8", "surrogatepass"))
            with suppress(UnicodeEncodeError):
                _add_text(result, normal.encode("latin-1"))


def _add_text(result: Forms, data: bytes) -> None:
    unescaped = unescape(Unlocated(data)).data
    result.has_non_ascii |= not (data + unescaped).isascii()
    result.has_space |= unescaped.translate(None, _WHITESPACE) != unescaped
    for text in {data, _echoed(data)}:
        for part in _with_lines(text):
            result.verbatim.add(part.lower())
            result.plain |= {_plain(part), *map(_plain, _form_encoded(part))}
            if len(_plain(part)) < MIN_MASKED_LENGTH:
                result.verbatim |= {form.encode().lower() for form in _quoted(part)}
            result.compact |= {*_base64(part), part.hex().encode(), part.hex().upper().encode()}
    # Some of its lines are lines of the output only when all escapes are gone.
    result.plain.update(map(_plain, _with_lines(unescaped)))


def _with_lines(text: bytes) -> list[bytes]:
    """Return *text*, and its lines that are long enough to be masked alone."""
    lines = [line.strip() for line in _LINE_END.split(text)]
    return [text, *(line for line in lines if len(line) >= LEAST_LINE)]


def _plain(text: bytes) -> bytes:
    return fold(unescape(Unlocated(text))).data.lower().strip()


def _form_encoded(text: bytes) -> Iterator[bytes]:
    """Yield *text* as HTML forms encode a space, and as a wrong decoder reads a plus."""
    if b" " in text:
        yield text.replace(b" ", b"+")
    if b"+" in text:
        yield text.replace(b"+", b" ")


def _quoted(text: bytes) -> Iterator[str]:
    """Yield quoted forms of a value that is too short without its quotes and escapes."""
    value = text.decode("utf-8", "replace")
    for character in ("", "/"):
        yield quote(value, safe=character)
    yield json.dumps(value)[1:-1]
    yield repr(value)[1:-1]
    yield "".join(f"\\{character}" if character in '"\\$`' else character for character in value)
    yield shlex.quote(value).removeprefix("'").removesuffix("'")
    yield value.replace("'", "'\\''")
    for apostrophe in ("&#x27;", "&#39;", "&#039;"):
        yield html.escape(value).replace("&#x27;", apostrophe)


def _echoed(text: bytes) -> bytes:
    """Return *text* as `echo` of dash prints it: without one layer of backslashes."""
    return _SIMPLE_ESCAPE.sub(lambda match: _SIMPLE[match[1]], text)


def _base64(data: bytes) -> Iterator[bytes]:
    """Yield *data* in Base64 at each of the three offsets within a longer text.

    Without the characters that also hold bits of the text around it.
    """
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).rstrip(b"=")
        first = (before * 8 + 5) // 6
        yield encoded[first:]
        yield encoded[first : (before + len(data)) * 8 // 6]


def space(view: View) -> View:
    """Put one space for each run of whitespace, as a shell prints words; return *view*."""
    return view.sub(_SPACE_RUN, lambda _: b" ").translate(_SPACES)


def compact(view: View) -> View:
    """Take whitespace out of *view*, and use the normal alphabet of Base64; return *view*."""
    return view.drop(_WHITESPACE).translate(_ALPHABET)
