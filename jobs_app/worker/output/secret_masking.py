"""Masks the secrets of a run in everything that the run leaves behind; no IO.

A secret is found as it is and in the forms that programs give it: Base64 (also inside longer
Base64, as in `Basic` authorization), and as quoted in URLs, JSON, HTML, Python and shells. In
a secret of several lines each long line is masked too.
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

#: With more prefixes than this, each position is looked up: many searches would be slower.
MOST_SEARCHES = 64

#: A secret is found in JSON that is nested as text in JSON, up to this depth.
MOST_JSON = 3

#: In a secret of several lines, lines of at least this length are masked by themselves.
LEAST_LINE = 8

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

#: Characters that programs leave unquoted in a URL: all, some or none of the allowed ones.
_SAFE_IN_URLS = (
    "",
    "/",
    "!~*'()",  # JavaScript: encodeURIComponent
    ";,/?:@&=+$!~*'()#",  # JavaScript: encodeURI
    *("".join(set(_VISIBLE) - set(kept)) for kept in ('%"#<>', '%"#<>?`{}', '"#<>', '"#<>?`{}')),
)

_MASK_BYTES = MASK.encode()


class Mask:
    """The secrets of one run; takes them out of text, JSON and bytes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        encoded = {form.encode() for value in values for form in forms(value)}
        # Forms by their first bytes, longest first.
        self._families: dict[bytes, list[bytes]] = {}
        for form in sorted(encoded, key=len, reverse=True):
            self._families.setdefault(form[:MIN_MASKED_LENGTH], []).append(form)
        self._longest = max(map(len, encoded), default=0)
        # The part of a secret at the end of a piece may be shorter than any prefix.
        self._short_prefixes = {
            form[:length] for form in encoded for length in range(1, MIN_MASKED_LENGTH)
        }

    def __bool__(self) -> bool:
        return bool(self._families)

    def text(self, text: str) -> str:
        """Return *text* without the secrets; the text may be cut inside a secret."""
        if not self._families:
            return text
        data = text.encode("utf-8", "surrogatepass")
        spans = self.spans(data, is_end=True)
        return _without(data, spans).decode("utf-8", "surrogatepass") if spans else text

    def json(self, value: Any) -> Any:
        """Return a JSON value without the secrets: in strings, keys and numbers.

        An object that JSON does not know is masked if its text holds a secret.
        """
        if not self._families:
            return value
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self.json(item) for key, item in value.items()}
            case list() | tuple():
                return [self.json(item) for item in value]
            case bool() | None:
                return value
            case _:
                # A number, or an object that is stored as its text, such as an exception.
                text = _text_of(value)
                masked = self.text(text)
                return value if masked == text else masked

    def spans(self, data: bytes, *, is_end: bool = False) -> list[tuple[int, int]]:
        """Return the spans of the secrets in *data*, in order.

        With *is_end* a secret that the end of *data* cuts off counts too, unless the rest of
        it is too short to tell.
        """
        spans: list[tuple[int, int]] = []
        for start, family in self._candidates(data, 0):
            for form in family:
                if data.startswith(form, start):
                    spans.append((start, start + len(form)))
                    break
        if is_end and (cut := self.unfinished(data)) >= MIN_MASKED_LENGTH:
            spans.append((len(data) - cut, len(data)))
        return joined(spans)

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* may be the start of a secret."""
        most = 0
        for start, family in self._candidates(data, max(0, len(data) - self._longest + 1)):
            if (left := len(data) - start) > most:
                tail = data[start:]
                if any(len(form) > left and form.startswith(tail) for form in family):
                    most = left
        if most:
            return most
        stumps = (
            n for n in range(MIN_MASKED_LENGTH - 1, 0, -1) if data[-n:] in self._short_prefixes
        )
        return min(next(stumps, 0), len(data))

    def _candidates(self, data: bytes, start: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield positions in *data* where a secret may begin, with its forms, longest first.

        The forms of a secret mostly share a prefix, so there are few to search for.
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
                # Advance by one only: a secret may overlap with itself.
                at = data.find(beginning, at + 1)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # user code; storing the object reports the error
        return ""


class MaskedLog:
    """A log without the secrets, however the run cuts them into pieces.

    Output that may be the start of a secret is held until the next write or `close`.
    """

    def __init__(self, log: LogSink, mask: Mask) -> None:
        self._log = log
        self._mask = mask
        self._held: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        # Number of held bytes that belong to a secret whose mask is already written.
        self._covered: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._lock = threading.Lock()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some output, in any encoding; it may be cut anywhere."""
        with self._lock:
            self._write(stream, self._held[stream] + data, is_end=False)

    def close(self) -> None:
        """Write the held output; the log itself stays open."""
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
        # Set this first: an interrupt in between then loses output, but shows no secret.
        self._held[stream] = data[end:]
        self._covered[stream] = max(
            (stop - end for start, stop in spans if start < end < stop),
            default=max(covered - end, 0),
        )
        masked = _without(data[:end], spans, is_masked=bool(covered))
        if masked:
            self._log.write(stream, masked)


def forms(value: str) -> set[str]:
    """Return the forms in which *value* may appear; none if it is too short to mask."""
    value = value.strip()
    if len(value) < MIN_MASKED_LENGTH:
        return set()
    lines = [line.strip() for line in value.splitlines()]
    parts = [value, *(line for line in lines if len(line) >= LEAST_LINE)]
    variants = set(_base64(value))
    for part in parts:
        variants |= {part, *_escaped(part)}
    return {form for form in variants if form}


def _escaped(text: str) -> Iterator[str]:
    """Yield *text* as URLs, JSON, HTML, Python and shells quote it."""
    for quoted in (quote_plus(text), *(quote(text, safe=safe) for safe in _SAFE_IN_URLS)):
        yield quoted
        yield _lower_hex(quoted)
    for is_ascii in (True, False):
        inner = text
        # JSON may be a string inside JSON, which is logged as JSON.
        for _ in range(MOST_JSON):
            inner = json.dumps(inner, ensure_ascii=is_ascii)[1:-1]
            yield inner
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield repr(text)[1:-1]
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")


def _lower_hex(quoted: str) -> str:
    """Return percent-encoded text with lower-case digits: %2f for %2F."""
    head, *rest = quoted.split("%")
    return "".join([head, *(f"%{part[:2].lower()}{part[2:]}" for part in rest)])


def _base64(value: str) -> Iterator[str]:
    """Yield *value* in Base64: whole, in lines, and the part that does not depend on the text
    around it."""
    data = value.encode("utf-8", "replace")
    whole = base64.b64encode(data).decode()
    variants = [whole.rstrip("="), base64.encodebytes(data).decode().strip().rstrip("=")]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # The characters at both ends also hold bits of the text around it.
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        variants.append(encoded[first:last])
    for text in variants:
        if len(text) >= MIN_MASKED_LENGTH:
            yield text
            yield text.replace("+", "-").replace("/", "_")


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *spans* in order, with overlapping ones merged."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _without(data: bytes, spans: list[tuple[int, int]], *, is_masked: bool = False) -> bytes:
    """Return *data* with the mask in place of each of *spans*; a span may extend beyond *data*.

    *is_masked*: the mask of a span that starts at 0 was written before *data*.
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


#: The mask of a run without secrets.
NO_SECRETS = Mask()

_active_masks: tuple[Mask, ...] = ()
_active_lock = threading.Lock()


@contextmanager
def mask_process_output(mask: Mask) -> Iterator[None]:
    """During the block, keep the secrets of *mask* out of this process's own output too."""
    global _active_masks
    if not mask:
        yield
        return
    with _active_lock:
        _active_masks = (*_active_masks, mask)
    try:
        yield
    finally:
        with _active_lock:
            _active_masks = tuple(active for active in _active_masks if active is not mask)


def masked(value: Any) -> Any:
    """Return a JSON value without the secrets of this process's active runs."""
    for mask in _active_masks:
        value = mask.json(value)
    return value


def masked_bytes(data: bytes) -> bytes:
    """Return output without the secrets of this process's active runs."""
    for mask in _active_masks:
        data = _without(data, mask.spans(data, is_end=True))
    return data


class MaskedRecords:
    """A log record factory whose records hold no secrets of this process's active runs."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        if _active_masks:
            _clean(record)
        return record


def _clean(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001  # user objects may raise; logging itself reports it
        message = f"{record.msg!r} % {record.args!r}"
    record.msg, record.args = masked(message), None
    if record.exc_info:
        # Formatters use this text if it is set.
        record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        record.exc_info = None
    record.stack_info = masked(record.stack_info)
