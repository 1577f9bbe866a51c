"""Masks the secrets of a run in everything that the run leaves behind; no IO.

A secret is looked for in three views of the output: as it is, without quoting and escapes, and
without whitespace (Base64, hexadecimal). So it is found whatever quoted it, and how often.
"""

from collections.abc import Iterable
from typing import Any

from jobs_app.secrets.redaction import MASK, MIN_MASKED_LENGTH
from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.output.located_bytes import Located, Unlocated
from jobs_app.worker.output.needles import Needles, Span
from jobs_app.worker.output.secret_forms import compact, forms, space
from jobs_app.worker.output.serial_calls import SerialCalls
from jobs_app.worker.output.unescaping import LONGEST_ESCAPE, View, fold, unescape

#: A form whose characters take more bytes than this on average may be missed between writes.
BYTES_PER_CHARACTER = 8

#: Longer output is masked in blocks of this size, bytes.
BLOCK_BYTES = 65_536

_MASK_BYTES = MASK.encode()
_LOWER = bytes(range(256)).lower()


class Mask:
    """The secrets of one run; takes them out of text, JSON and bytes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        secret_forms = forms(values)
        self._verbatim = Needles(secret_forms.verbatim, shortest=MIN_MASKED_LENGTH)
        self._plain = Needles(secret_forms.plain, shortest=MIN_MASKED_LENGTH)
        self._compact = Needles(secret_forms.compact, shortest=MIN_MASKED_LENGTH)
        self._has_non_ascii = secret_forms.has_non_ascii
        self._has_space = secret_forms.has_space
        longest = max(n.longest for n in (self._verbatim, self._plain, self._compact))
        #: Output before this many bytes does not change how later output is masked.
        self.context_bytes = longest * BYTES_PER_CHARACTER + LONGEST_ESCAPE

    def __bool__(self) -> bool:
        return bool(self._verbatim)

    def text(self, text: str) -> str:
        """Return *text* without the secrets; the text may be cut inside a secret."""
        if not self:
            return text
        data = text.encode("utf-8", "surrogatepass")
        masked = masked_data(self, data)
        return text if masked == data else masked.decode("utf-8", "replace")

    def json(self, value: Any) -> Any:
        """Return a JSON value without the secrets: in strings, keys and numbers.

        An object that JSON does not know is masked if its text holds a secret.
        """
        if not self:
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

    def find(self, data: bytes, *, is_end: bool = False) -> tuple[list[Span], int]:
        """Return the spans of the secrets in *data*, in order, and how much of its end to hold.

        The end may be the start of a secret. With *is_end* nothing follows: then a start that is
        too short to tell does not count.
        """
        verbatim = data.lower()
        view = unescape(Unlocated(data), is_open=not is_end)
        compacted = compact(Unlocated(view.data)).data
        plain = self._plain_text(view, is_open=not is_end)
        spans = self._verbatim.find(verbatim)
        if matches := self._compact.find(compacted):
            located = compact(unescape(Located(data), is_open=not is_end))
            spans += [located.place(*span) for span in matches]
        if matches := self._plain.find(plain.data):
            located = self._locate_plain(data, is_open=not is_end)
            spans += [located.place(*span) for span in matches]
        least = MIN_MASKED_LENGTH if is_end else 1
        starts = []
        if (length := self._verbatim.unfinished(verbatim)) >= least:
            starts.append(len(data) - length)
        # Never hold more than this: quotes and line breaks may go on for ever.
        end = data[-self.context_bytes :]
        before = len(data) - len(end)
        # The first characters of Base64 alone tell too little to hold back the end of a line.
        if (length := self._compact.unfinished(compacted)) >= MIN_MASKED_LENGTH:
            located = compact(unescape(Located(end), is_open=not is_end))
            starts.append(before + located.start_of_last(length))
        if (length := self._plain.unfinished(plain.data)) >= least or plain.is_cut:
            located = self._locate_plain(end, is_open=not is_end)
            starts.append(before + located.cut_at)
            if length >= least:
                starts.append(before + located.start_of_last(length))
        return joined(spans), len(data) - min(starts, default=len(data))

    def _locate_plain(self, data: bytes, *, is_open: bool) -> Located:
        return self._plain_text(unescape(Located(data), is_open=is_open), is_open=is_open)

    def _plain_text(self, view: View, *, is_open: bool = False) -> View:
        view = fold(view, is_open=is_open) if self._has_non_ascii else view
        view = space(view) if self._has_space else view
        return view.translate(_LOWER)


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # user code; storing the object reports the error
        return ""


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return *spans* in order, with overlapping ones merged."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


class MaskedStream:
    """Output without the secrets, however it is cut into pieces.

    Output that may be the start of a secret is held until the next piece or the end.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._data = b""  # The end of the output so far: a secret may begin in it.
        self._shown = 0  # So much of it was returned, masked.
        self._last: Span = (0, 0)  # The last mask; its span may reach beyond what was returned.

    def masked(self, data: bytes, *, is_end: bool = False) -> bytes:
        """Return *data*, and the output that was held, without secrets and what is held now."""
        data, shown, last = self._data + data, self._shown, self._last
        spans, held = self._mask.find(data, is_end=is_end)
        if is_end and held:
            start = len(data) - len(data[len(data) - held :].lstrip())
            spans = joined([*spans, (start, len(data))])
        end = len(data) if is_end else max(shown, len(data) - held)
        parts, at = [], shown
        for start, stop in joined([last, *spans]) if last[1] else spans:
            if stop <= shown or start >= end:
                continue
            is_new = not (start <= last[0] and last[1] <= stop and last[1])
            parts += [data[at:start], _MASK_BYTES if is_new else b""]
            at, last = min(stop, end), (start, stop)
        parts.append(data[at:end])
        # Set this first: an interrupt in between then loses output, but shows no secret.
        dropped = max(0, end - self._mask.context_bytes)
        self._data, self._shown = data[dropped:], end - dropped
        self._last = (max(0, last[0] - dropped), max(0, last[1] - dropped))
        return b"".join(parts)


def masked_data(mask: Mask, data: bytes) -> bytes:
    """Return *data* without the secrets of *mask*; it may be cut inside a secret."""
    if not mask or len(data) < MIN_MASKED_LENGTH:
        return data
    stream = MaskedStream(mask)
    blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
    masked = [stream.masked(block) for block in blocks[:-1]]
    return b"".join([*masked, stream.masked(blocks[-1], is_end=True)])


class MaskedLog:
    """A log without the secrets, however the run cuts them into pieces."""

    def __init__(self, log: LogSink, mask: Mask) -> None:
        self._log = log
        self._streams: dict[Stream, MaskedStream] = {
            "stdout": MaskedStream(mask),
            "stderr": MaskedStream(mask),
        }
        self._calls = SerialCalls()

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some output, in any encoding; it may be cut anywhere."""
        self._calls.call(self._write, stream, data)

    def close(self) -> None:
        """Write the held output; the log itself stays open."""
        self._calls.call(self._write_held)

    def _write(self, stream: Stream, data: bytes) -> None:
        self._pass_on(stream, self._streams[stream].masked(data))

    def _write_held(self) -> None:
        for name, stream in self._streams.items():
            self._pass_on(name, stream.masked(b"", is_end=True))

    def _pass_on(self, stream: Stream, data: bytes) -> None:
        if data:
            self._log.write(stream, data)


#: The mask of a run without secrets.
NO_SECRETS = Mask()
