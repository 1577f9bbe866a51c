"""Takes the secrets that a run was given out of whatever it leaves behind; no IO.

A value is found as it is and in the forms that it takes on its way through programs:
Base64 (also in the middle of something longer, as in `Basic` authorization), in a URL, in
JSON, in HTML, as Python and a shell show it; of a value of several lines each long line too.
"""

import base64
import html
import json
import logging
import shlex
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, quote_plus

from jobs_app.secrets.redaction import MASK, MIN_MASKED_LENGTH
from jobs_app.tasks.context import LogSink, Stream

#: With more beginnings than this, each place is looked up: so many searches take longer.
MOST_SEARCHES = 64

#: How deep a value is found in JSON that is a text in other JSON.
MOST_JSON = 3

#: Of a value of several lines, lines this long are masked by themselves.
LEAST_LINE = 8

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

#: What programs leave as it is in a URL: all, some or none of what they need not quote.
_SAFE_IN_URLS = (
    "",
    "/",
    "!~*'()",  # JavaScript, of a component
    ";,/?:@&=+$!~*'()#",  # and of a whole URL
    *("".join(set(_VISIBLE) - set(kept)) for kept in ('%"#<>', '%"#<>?`{}', '"#<>', '"#<>?`{}')),
)

_MASK_BYTES = MASK.encode()


class Mask:
    """The secrets of one run, and how to take them out of text, JSON and a stream of bytes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {form.encode() for value in values for form in forms(value)}
        self._families: dict[bytes, list[bytes]] = {}
        for form in sorted(found, key=len, reverse=True):
            self._families.setdefault(form[:MIN_MASKED_LENGTH], []).append(form)
        self._longest = max(map(len, found), default=0)
        # What is left of a secret at the end of a piece may be shorter than any beginning.
        self._stumps = {form[:length] for form in found for length in range(1, MIN_MASKED_LENGTH)}

    def __bool__(self) -> bool:
        return bool(self._families)

    def text(self, text: str) -> str:
        """Return *text* without the secrets; it may have been cut in the middle of one."""
        if not self._families:
            return text
        data = text.encode("utf-8", "surrogatepass")
        spans = self.spans(data, is_end=True)
        return _without(data, spans).decode("utf-8", "surrogatepass") if spans else text

    def json(self, value: Any) -> Any:
        """Return a JSON value without the secrets: in texts, in names, and in numbers too.

        What JSON does not know is masked if its text holds one.
        """
        if not self._families:
            return value
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self.json(each) for key, each in value.items()}
            case list() | tuple():
                return [self.json(each) for each in value]
            case bool() | None:
                return value
            case _:
                # A number; or what will be stored as its text, an exception in progress, say.
                shown = _shown(value)
                masked = self.text(shown)
                return value if masked == shown else masked

    def spans(self, data: bytes, *, is_end: bool = False) -> list[tuple[int, int]]:
        """Return where the secrets lie in *data*, in order.

        With *is_end* a secret that is cut off by the end is one too, unless so little
        of it is left that it could be anything.
        """
        found: list[tuple[int, int]] = []
        for start, family in self._beginnings(data, 0):
            for form in family:
                if data.startswith(form, start):
                    found.append((start, start + len(form)))
                    break
        if is_end and (cut := self.unfinished(data)) >= MIN_MASKED_LENGTH:
            found.append((len(data) - cut, len(data)))
        return joined(found)

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* may be the beginning of a secret."""
        most = 0
        for start, family in self._beginnings(data, max(0, len(data) - self._longest + 1)):
            if (left := len(data) - start) > most:
                tail = data[start:]
                if any(len(form) > left and form.startswith(tail) for form in family):
                    most = left
        if most:
            return most
        stumps = (n for n in range(MIN_MASKED_LENGTH - 1, 0, -1) if data[-n:] in self._stumps)
        return min(next(stumps, 0), len(data))

    def _beginnings(self, data: bytes, start: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield where a secret may begin in *data*, and the forms that begin so, longest first.

        The forms of a value mostly begin alike, so there is little to look for.
        """
        if len(self._families) > MOST_SEARCHES:
            get = self._families.get
            for at in range(start, len(data) - MIN_MASKED_LENGTH + 1):
                if family := get(data[at : at + MIN_MASKED_LENGTH]):
                    yield at, family
            return
        for beginning, family in self._families.items():
            at = data.find(beginning, start)
            while at >= 0:
                yield at, family
                # One further on only: a value may overlap with itself.
                at = data.find(beginning, at + 1)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # the user's object: whoever stores it will hear of it
        return ""


class MaskedLog:
    """A log that is written without the secrets, however a run cuts them into pieces.

    What may be the beginning of a secret is held back until more is written, or `close`.
    """

    def __init__(self, log: LogSink, mask: Mask) -> None:
        self._log = log
        self._mask = mask
        self._held: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        # How much of what is held back belongs to a secret whose mask is written already.
        self._covered: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._lock = threading.Lock()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some output, in any encoding and cut anywhere."""
        with self._lock:
            self._write(stream, self._held[stream] + data, is_end=False)

    def close(self) -> None:
        """Pass on what is held back; the log itself stays open."""
        with self._lock:
            for stream, held in list(self._held.items()):
                if held:
                    self._write(stream, held, is_end=True)

    def _write(self, stream: Stream, data: bytes, *, is_end: bool) -> None:
        covered = self._covered[stream]
        spans = self._mask.spans(data, is_end=is_end)
        if covered:
            spans = joined([(0, covered), *spans])
        end = len(data) if is_end else len(data) - self._mask.unfinished(data)
        # Held back first: an interrupt in between loses output, and shows none.
        self._held[stream] = data[end:]
        self._covered[stream] = max(
            (stop - end for start, stop in spans if start < end < stop),
            default=max(covered - end, 0),
        )
        shown = _without(data[:end], spans, is_masked=bool(covered))
        if shown:
            self._log.write(stream, shown)


def forms(value: str) -> set[str]:
    """Return the texts as which *value* may turn up; none if it is too short to be masked."""
    value = value.strip()
    if len(value) < MIN_MASKED_LENGTH:
        return set()
    lines = [line.strip() for line in value.splitlines()]
    parts = [value, *(line for line in lines if len(line) >= LEAST_LINE)]
    found: set[str] = set()
    for part in parts:
        found |= {part, *_escaped(part)}
    return {form for form in found | set(_base64(value)) if form}


def _escaped(text: str) -> Iterator[str]:
    """Yield *text* as URLs, JSON, HTML, Python and shells write it."""
    for quoted in (quote_plus(text), *(quote(text, safe=safe) for safe in _SAFE_IN_URLS)):
        yield quoted
        yield _lower_hex(quoted)
    for is_ascii in (True, False):
        inner = text
        # JSON is sent as text within JSON, and that is logged as JSON.
        for _ in range(MOST_JSON):
            inner = json.dumps(inner, ensure_ascii=is_ascii)[1:-1]
            yield inner
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield repr(text)[1:-1]
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")


def _lower_hex(quoted: str) -> str:
    """Return percent-encoded text with %2f in place of %2F."""
    head, *rest = quoted.split("%")
    return "".join([head, *(f"%{part[:2].lower()}{part[2:]}" for part in rest)])


def _base64(value: str) -> Iterator[str]:
    """Yield *value* in Base64: whole, broken into lines, and the part of it that is sure
    to stand in the Base64 of something longer."""
    data = value.encode("utf-8", "replace")
    whole = base64.b64encode(data).decode()
    found = [whole.rstrip("="), base64.encodebytes(data).decode().strip().rstrip("=")]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # The characters at both ends also hold bits of what stands beside it.
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        piece = encoded[first:last]
        found.append(piece)
    for text in found:
        if len(text) >= MIN_MASKED_LENGTH:
            yield text
            yield text.replace("+", "-").replace("/", "_")


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def _without(data: bytes, spans: list[tuple[int, int]], *, is_masked: bool = False) -> bytes:
    """Return *data* with the mask in place of each of *spans*, which may go on behind it.

    With *is_masked* the mask of a span at the very beginning stands before *data*.
    """
    if not spans:
        return data
    parts, at = [], 0
    for start, stop in spans:
        if start >= len(data):
            break
        parts += [data[at:start], b"" if is_masked and start == 0 else _MASK_BYTES]
        at = stop
    return b"".join([*parts, data[at:]])


#: The mask of a run that was given no secrets.
NOTHING = Mask()

_in_use: tuple[Mask, ...] = ()
_in_use_lock = threading.Lock()


@contextmanager
def in_use(mask: Mask) -> Iterator[None]:
    """Keep the secrets of *mask* out of this process's own output too, during the block."""
    global _in_use
    if not mask:
        yield
        return
    with _in_use_lock:
        _in_use = (*_in_use, mask)
    try:
        yield
    finally:
        with _in_use_lock:
            _in_use = tuple(each for each in _in_use if each is not mask)


def masked(value: Any) -> Any:
    """Return a JSON value without the secrets of any run of this process."""
    for mask in _in_use:
        value = mask.json(value)
    return value


def masked_bytes(data: bytes) -> bytes:
    """Return output without the secrets of any run of this process."""
    for mask in _in_use:
        data = _without(data, mask.spans(data, is_end=True))
    return data


class MaskedRecords:
    """Makes log records, for whichever handler, without the secrets of runs in this process."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if _in_use:
            _clean(record)
        return record


def _clean(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  # arguments are strangers; logging itself tells of it
        message = f"{record.msg!r} % {record.args!r}"
    record.msg, record.args = masked(message), None
    if record.exc_info:
        # Formatters take this text where it is there, and make it of nothing else then.
        record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None
    record.stack_info = masked(record.stack_info)
