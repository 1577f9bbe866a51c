"""Takes the quoting of shells, JSON, HTML, URLs and Python out of output; no IO.

Text that quotes a value and the value itself become equal here, whatever quoted it and how
often. Escapes become their characters, backslashes and quotes disappear, and this is repeated
until nothing changes. So the result is good for comparison only.
"""

import codecs
import html.entities
import re
import unicodedata
from functools import lru_cache
from typing import TypeVar

from jobs_app.worker.output.located_bytes import Unlocated

View = TypeVar("View", bound=Unlocated)

#: Nothing quotes a value more often than this: the limit keeps the work linear.
MOST_ROUNDS = 8

_H = {b"h": rb"[0-9a-fA-F]"}
# Lengths are limited so that an escape that is cut off is never long. Each alternative begins
# with a literal byte: then the search skips all other bytes quickly.
_ESCAPE = re.compile(
    rb"""
      \\ \\{0,63} (?: u%(h)s{1,4} | [ux]\{%(h)s{1,6}\} | U%(h)s{1,8} | x%(h)s{1,2}
                    | 0?[0-7]{1,3} | [abefnrtvABEFNRTV] | \r?\n[ \t]{0,64} | )
    | %%(?:25){0,8} (?: u%(h)s{4} | %(h)s{2} )
    | &(?:amp;){0,8} (?: \#[0-9]{1,7} | \#[xX]%(h)s{1,6} | [A-Za-z][A-Za-z0-9]{1,31} ) ;
    | \x1b\[ [0-?]{0,32} [ -/]{0,4} [@-~]
    | \$(?='\\[^']) | \$\${1,63}
    """
    % _H,
    re.VERBOSE,
)
_UNFINISHED = re.compile(
    rb"""(?:
      \\{1,64} (?: u%(h)s{0,3} | [ux]\{%(h)s{0,6} | U%(h)s{0,7} | x%(h)s? | 0?[0-7]{0,2} )
    | %%(?:25){0,8} (?: u%(h)s{0,3} | %(h)s? )
    | &(?:amp;){0,8} (?: \#?[0-9A-Za-z]{0,32} )
    | \x1b (?: \[ [0-?]{0,32} [ -/]{0,4} )?
    | \$(?:'\\?)?
    )\Z"""
    % _H,
    re.VERBOSE,
)
#: No escape that is cut off is longer, bytes.
LONGEST_ESCAPE = 140

#: Characters that only quote: also the doubled quotes of SQL and CSV, and shells' '\''.
_QUOTES = b"'\"\r\x00"
_SPECIAL = (b"\\", b"%", b"&", b"$", b"\x1b")
#: The letters after a backslash, and their characters.
LETTERS = dict(zip(b"abefnrtv", b"\a\b\x1b\f\n\r\t\v", strict=True))

# A character as JSON and JavaScript escape it: two surrogates, of three bytes each here.
_SURROGATES = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_CHARACTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\x80-\xff]"
)
_UNFINISHED_CHARACTER = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2}"
    rb"|\xed[\xa0-\xaf][\x80-\xbf](?:\xed[\xb0-\xbf]?)?)\Z"
)


def unescape(view: View, *, is_open: bool = False) -> View:
    """Take quotes and escapes out of *view*, and return it.

    With *is_open*, output follows: an escape that it may complete is cut off.
    """
    for _ in range(MOST_ROUNDS):
        before = view.data
        if any(special in before for special in _SPECIAL):
            if is_open and (cut := _UNFINISHED.search(before[-LONGEST_ESCAPE:])):
                view.cut(len(before) - len(cut[0]))
            view.sub(_ESCAPE, _character)
        if view.data == before:
            # Quotes go last: in `\"n`, the backslash belongs to the quote.
            view.drop(_QUOTES)
            if view.data == before:
                break
    return view


def fold(view: View, *, is_open: bool = False) -> View:
    """Take accents and capitals out of the non-ASCII text of *view*, and return it.

    Bytes that are not UTF-8 count as Latin-1. So composed, decomposed and Latin-1 text of the
    same words are equal.
    """
    if view.data.isascii():
        return view
    if is_open and (cut := _UNFINISHED_CHARACTER.search(view.data)):
        view.cut(cut.start())
    return view.sub(_SURROGATES, _joined_surrogates).sub(_CHARACTER, _folded)


def _joined_surrogates(data: bytes) -> bytes:
    text = data.decode("utf-8", "surrogatepass")
    return text.encode("utf-16", "surrogatepass").decode("utf-16").encode()


@lru_cache(maxsize=1024)
def _folded(character: bytes) -> bytes:
    text = character.decode("utf-8", _LATIN_1)
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in text if not unicodedata.combining(c)).encode("utf-8", "replace")


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


_LATIN_1 = "jobs_app.latin_1"
codecs.register_error(_LATIN_1, _as_latin_1)


@lru_cache(maxsize=1024)
def _character(escape: bytes) -> bytes:
    """Return the bytes that *escape* stands for; *escape* itself if it stands for nothing."""
    match escape[:1]:
        case b"\\":
            return _backslashed(escape.lstrip(b"\\"), escape)
        case b"%":
            _, is_character, digits = escape.partition(b"u")
            return _utf8(int(digits, 16), escape) if is_character else _byte(escape[-2:], 16)
        case b"&":
            return _entity(escape.rpartition(b"amp;")[2] or b"amp;", escape)
        case b"$" if len(escape) > 1:
            return b"$"
    return b""


def _backslashed(name: bytes, escape: bytes) -> bytes:
    if not name:
        return b""
    kind, digits = name[:1], name[1:].strip(b"{}")
    if kind in b"01234567":
        return _byte(name, 8)
    if kind in b"uUx":
        # \xHH is a byte, \x{HH} and \uHH are characters.
        is_byte = kind == b"x" and len(name) <= len(b"xHH")
        return _byte(digits, 16) if is_byte else _utf8(int(digits, 16), escape)
    if name[-1:] in b"\n \t":
        # A line that goes on in the next one.
        return b""
    # A capital may be the same letter in text that lost its case, or the other way round.
    return bytes([LETTERS[name.lower()[0]]])


def _entity(name: bytes, escape: bytes) -> bytes:
    """Return the character of an HTML entity; *name* has its `;`."""
    name = name.removeprefix(b"&")
    if name[:2] in (b"#x", b"#X"):
        return _utf8(int(name[2:-1], 16), escape)
    if name[:1] == b"#":
        return _utf8(int(name[1:-1]), escape)
    text = html.entities.html5.get(name.decode())
    return escape if text is None else text.encode()


def _byte(digits: bytes, base: int) -> bytes:
    return bytes([int(digits, base) & 0xFF])


def _utf8(number: int, escape: bytes) -> bytes:
    return escape if number > 0x10FFFF else chr(number).encode("utf-8", "surrogatepass")
