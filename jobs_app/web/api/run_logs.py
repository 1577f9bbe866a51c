"""/runs/{id}/log: the log of a run, as text, as JSON, or as a stream while it grows."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from flask import Response, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.errors import BadRequest, FieldError, InvalidInput, NotFound
from jobs_app.core.states import FINAL
from jobs_app.core.text import counted
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.runs import history
from jobs_app.runs.history import LogNews, LogPosition
from jobs_app.web import streams
from jobs_app.web.api import runs
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import EVENTS, RUNS, problems
from jobs_app.web.api.responses import as_json
from jobs_app.web.api.schemas.runs import (
    ChunkOut,
    LogPage,
    LogQuery,
    RunPath,
    StreamHeader,
    StreamQuery,
)
from jobs_app.web.session import readers, session
from jobs_app.web.streams import Stream

api = LateBlueprint("run_logs", __name__, abp_tags=[RUNS])

log = logging.getLogger(__name__)

#: The pause between two polls of a log; a worker stores output twice a second.
POLL_SECONDS = 0.25

#: The most chunks, of 16 KiB each, that one stream holds at once.
BATCH = 500

#: No attempt has so many chunks.
LAST_SEQ = 999_999_999

#: Attempt and chunk; within a chunk of both streams, also the number of its parts so far.
_EVENT_ID = re.compile(r"(\d{1,9})-(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


@api.get("/runs/<run_id>/log", responses={200: LogPage, **problems(404)})
def read_log(path: RunPath, query: LogQuery) -> Response:
    """Read the log of a run, as text; a line marks each place where output was cut out.

    With Accept: application/json, the log comes in chunks, each with its stream and its instant.
    """
    run = runs.get_run(path.run_id)
    if _wants_json():
        _refuse_byte_counts(query)
        chunks = history.log(session(), run.id, attempt=query.attempt or run.attempt)
        parts = [part for chunk in chunks for part in _parts(chunk)]
        return jsonify(items=[part for part in parts if query.stream in {None, part["stream"]}])
    text = log_text(run, query.attempt or run.attempt, stream=query.stream).encode()
    if query.offset is not None:
        text = _whole_characters(text[query.offset :])
    if query.tail is not None:
        text = _whole_characters(text[len(text) - min(query.tail, len(text)) :])
    return Response(text, mimetype="text/plain")


@api.get("/runs/<run_id>/log/stream", responses={**EVENTS, **problems(400, 404)})
def follow_log(path: RunPath, query: StreamQuery, header: StreamHeader) -> Response:
    """Follow the log of a run, as server-sent events, until the run has ended.

    `chunk` holds a piece of output, `cut` marks dropped output, `end` comes last and holds
    the run's state. The attempts of the run follow each other.
    """
    run_id = runs.get_run(path.run_id).id
    return follow(run_id, position_of(header.last_event_id or query.last_event_id))


def log_text(run: Run, attempt: int, *, stream: str | None = None) -> str:
    """Return the log of an attempt of *run*, or one stream of it, as text."""
    chunks = history.log(session(), run.id, attempt=attempt)
    written = run.log_bytes if attempt == run.attempt else None
    return _text(chunks, written=written, stream=stream)


def follow(run_id: UUID, position: LogPosition) -> Response:
    """Answer with the log of a run after *position*, as server-sent events, until its end."""
    open_session = readers()

    def poll(after: LogPosition) -> LogNews:
        # No connection is held between two polls.
        with open_session() as reading:
            return history.log_news(reading, run_id, after=after, limit=BATCH)

    return streams.current().respond(lambda stream: _events(stream, poll, position))


def _events(
    stream: Stream, poll: Callable[[LogPosition], LogNews], position: LogPosition
) -> Iterator[str]:
    """Yield the events of a log after *position*, until the run or the stream ends."""
    follower = Follower(position)
    while stream.is_open:
        try:
            news = poll(follower.position)
        except (SQLAlchemyError, NotFound) as error:
            # The client reconnects, and the answer to that request names the error.
            log.warning("log_stream_broken error=%s", type(error).__name__)
            return
        for event in follower.events(news):
            yield _event(event.name, event.data, position=event.position)
        if len(news.chunks) == BATCH:
            continue
        if news.state in FINAL:
            yield _event("end", {"state": news.state})
            return
        if stream.is_heartbeat_due():
            yield ": nothing new\n\n"
        stream.pause(POLL_SECONDS)


class LogEvent(NamedTuple):
    """A piece of output (`chunk`), or a gap in it (`cut`), and the position behind it."""

    name: str
    data: dict[str, Any]
    position: LogPosition


class Follower:
    """The position of a reader in a log, and how many bytes of the attempt it has received."""

    def __init__(self, position: LogPosition) -> None:
        self.position = position
        # None: it started in the middle, so the number is unknown.
        is_start = position.seq < 0 and not position.parts
        self._received_bytes: int | None = 0 if is_start else None

    def events(self, news: LogNews) -> Iterator[LogEvent]:
        """Yield the new chunks as events, and move the position behind them."""
        new_bytes = sum(_size(c) for c in news.chunks if c.attempt == news.attempt)
        for chunk in news.chunks:
            if chunk.attempt != self.position.attempt:
                self.position = LogPosition(chunk.attempt)
                self._received_bytes = 0
            if chunk.seq != self.position.seq + 1:
                yield self._cut(chunk, news, new_bytes)
                self.position = LogPosition(chunk.attempt, chunk.seq - 1)
            yield from self._parts(chunk)
            if self._received_bytes is not None:
                self._received_bytes += _size(chunk)
            if chunk.attempt == news.attempt:
                new_bytes -= _size(chunk)

    def _parts(self, chunk: LogChunk) -> Iterator[LogEvent]:
        """Yield the parts of *chunk* as events, without those that the reader has."""
        parts, known = _parts(chunk), self.position.parts
        for number, part in enumerate(parts[known:], known + 1):
            seq, read = (chunk.seq, 0) if number == len(parts) else (chunk.seq - 1, number)
            self.position = LogPosition(chunk.attempt, seq, read)
            yield LogEvent("chunk", part, self.position)

    def _cut(self, chunk: LogChunk, news: LogNews, left_bytes: int) -> LogEvent:
        """Return the event for the gap before *chunk*; its size is null if unknown."""
        size = None
        is_complete = chunk.attempt == news.attempt and len(news.chunks) < BATCH
        if is_complete and self._received_bytes is not None:
            size = max(0, news.log_bytes - self._received_bytes - left_bytes)
            self._received_bytes += size
        data = {"attempt": chunk.attempt, "bytes": size}
        return LogEvent("cut", data, LogPosition(chunk.attempt, chunk.seq - 1))


def _event(name: str, data: dict[str, Any], *, position: LogPosition | None = None) -> str:
    # JSON in ASCII: a character of the output can never look like a line end.
    lines = [f"event: {name}", f"data: {json.dumps(data)}"]
    if position is not None:
        lines.append(f"id: {event_id(position)}")
    return "\n".join(lines) + "\n\n"


def event_id(position: LogPosition) -> str:
    """Return the id of the event before *position*."""
    if position.parts:
        return f"{position.attempt}-{position.seq + 1}-{position.parts}"
    if position.seq < 0:
        # Behind all that the attempt before it can have written.
        return f"{max(0, position.attempt - 1)}-{LAST_SEQ}"
    return f"{position.attempt}-{position.seq}"


def position_of(text: str | None) -> LogPosition:
    """Return the position in the id of an event; raises BadRequest if it is not one of ours."""
    if not text:
        return LogPosition()
    match = _EVENT_ID.fullmatch(text)
    if match is None:
        raise BadRequest("Last-Event-ID is not one that this server sent.", code="bad_event_id")
    if match[3]:
        return LogPosition(int(match[1]), int(match[2]) - 1, int(match[3]))
    return LogPosition(int(match[1]), int(match[2]))


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/plain", "application/json"]) == "application/json"


def _refuse_byte_counts(query: LogQuery) -> None:
    names = [name for name in ("offset", "tail") if getattr(query, name) is not None]
    if names:
        detail = f"{names[0]!r} counts bytes of the text: leave it out, or accept text/plain."
        raise InvalidInput(detail, errors=[FieldError("", "text_only", detail)])


def _parts(chunk: LogChunk) -> list[dict[str, Any]]:
    """Return the parts of *chunk*, each of one stream, as JSON."""
    document = as_json(ChunkOut, chunk)
    return [{**document, "stream": stream, "text": text} for stream, text in chunk.parts()]


def _size(chunk: LogChunk) -> int:
    return len(chunk.text.encode())


def _text(chunks: list[LogChunk], *, written: int | None, stream: str | None) -> str:
    """Return the text of *chunks*, with a line at each gap in their sequence."""
    pieces: list[str] = []
    cut = None if written is None else written - sum(map(_size, chunks))
    expected = 0
    for chunk in chunks:
        if chunk.seq != expected:
            amount = counted(cut, "byte") if cut is not None and cut > 0 else "something"
            start = "" if not pieces or pieces[-1].endswith("\n") else "\n"
            pieces.append(f"{start}… {amount} cut …\n")
        pieces += [text for name, text in chunk.parts() if stream in {None, name}]
        expected = chunk.seq + 1
    return "".join(pieces)


def _whole_characters(text: bytes) -> bytes:
    """Return UTF-8 *text* without the partial character at its start."""
    # A continuation byte is 10xxxxxx: its character starts before the text.
    start = next((i for i, byte in enumerate(text[:4]) if byte & 0xC0 != 0x80), len(text[:4]))
    return text[start:]
