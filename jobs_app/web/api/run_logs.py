"""/runs/{id}/log: what a run wrote, as text or JSON, and followed while it writes."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, jsonify, request
from flask_openapi3 import APIBlueprint, Tag
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.errors import BadRequest, FieldError, InvalidInput, NotFound
from jobs_app.core.states import FINAL
from jobs_app.db.models.runs import LogChunk
from jobs_app.runs import history
from jobs_app.runs.history import LogNews, LogPosition
from jobs_app.web import streams
from jobs_app.web.api import runs
from jobs_app.web.api.openapi import EVENTS, problems
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

api = APIBlueprint("run_logs", __name__, abp_tags=[Tag(name="runs", description="What happened.")])

log = logging.getLogger(__name__)

#: How long a follower waits between two looks; a worker stores output twice a second.
LOOK_SECONDS = 0.25

#: Most chunks, of 16 KiB each, that a follower holds at once.
BATCH = 500

_EVENT_ID = re.compile(r"(\d{1,9})-(\d{1,9})", re.ASCII)


@api.get("/runs/<run_id>/log", responses={200: LogPage, **problems(404)})
def read_log(path: RunPath, query: LogQuery) -> Response:
    """Read what a run wrote, as text; what was cut out is shown as a line that says so.

    With Accept: application/json it comes in pieces, each with its stream and its instant.
    """
    run = runs.named(path.run_id)
    attempt = run.attempt if query.attempt is None else query.attempt
    chunks = history.log(session(), run.id, attempt=attempt)
    written = run.log_bytes if attempt == run.attempt else None
    if _wants_json():
        _refuse_byte_counts(query)
        shown = [chunk for chunk in chunks if query.stream in {None, chunk.stream}]
        return jsonify(items=[_show(chunk) for chunk in shown])
    text = _text(chunks, written=written, stream=query.stream).encode()
    if query.offset is not None:
        text = _whole_characters(text[query.offset :])
    if query.tail is not None:
        text = _whole_characters(text[len(text) - min(query.tail, len(text)) :])
    return Response(text, mimetype="text/plain")


@api.get("/runs/<run_id>/log/stream", responses={**EVENTS, **problems(400, 404)})
def follow_log(path: RunPath, query: StreamQuery, header: StreamHeader) -> Response:
    """Follow what a run writes, as server-sent events, until it has ended.

    `chunk` has a piece of output, `cut` says that some was dropped, `end` has the run's
    state and is the last; all attempts of the run follow each other.
    """
    run_id = runs.named(path.run_id).id
    place = _place(header.last_event_id or query.last_event_id)
    reader = readers()

    def look(after: LogPosition) -> LogNews:
        # Nothing of the database is held between two looks.
        with reader() as reading:
            return history.log_news(reading, run_id, after=after, limit=BATCH)

    return streams.current().respond(lambda stream: _events(stream, look, place))


def _events(
    stream: Stream, look: Callable[[LogPosition], LogNews], place: LogPosition
) -> Iterator[str]:
    """Yield the events of a log after *place*, until the run, the stream or the database ends."""
    follower = _Follower(place)
    while stream.is_open:
        try:
            news = look(follower.place)
        except (SQLAlchemyError, NotFound) as error:
            # The client comes back, and is told then what is the matter.
            log.warning("log_stream_broken error=%s", type(error).__name__)
            return
        yield from follower.events(news)
        if len(news.chunks) == BATCH:
            continue
        if news.state in FINAL:
            yield _event("end", {"state": news.state})
            return
        if stream.is_heartbeat_due():
            yield ": nothing new\n\n"
        stream.pause(LOOK_SECONDS)


class _Follower:
    """Where a reader of a log is, and what it has had of the attempt it is in."""

    def __init__(self, place: LogPosition) -> None:
        self.place = place
        # None: it came in the middle, so nobody knows what it has had.
        self._had_bytes: int | None = 0 if place == LogPosition() else None

    def events(self, news: LogNews) -> Iterator[str]:
        """Yield what is new as events, and go on behind it."""
        new_bytes = sum(_size(c) for c in news.chunks if c.attempt == news.attempt)
        for chunk in news.chunks:
            if chunk.attempt != self.place.attempt:
                self.place = LogPosition(chunk.attempt)
                self._had_bytes = 0
            if chunk.seq != self.place.seq + 1:
                yield self._cut(chunk, news, new_bytes)
            yield _event("chunk", _show(chunk), place=LogPosition(chunk.attempt, chunk.seq))
            self.place = LogPosition(chunk.attempt, chunk.seq)
            if self._had_bytes is not None:
                self._had_bytes += _size(chunk)
            if chunk.attempt == news.attempt:
                new_bytes -= _size(chunk)

    def _cut(self, chunk: LogChunk, news: LogNews, left_bytes: int) -> str:
        """Return the event for what is missing before *chunk*; its size is null if unknown."""
        size = None
        is_all_here = chunk.attempt == news.attempt and len(news.chunks) < BATCH
        if is_all_here and self._had_bytes is not None:
            size = max(0, news.log_bytes - self._had_bytes - left_bytes)
            self._had_bytes += size
        data = {"attempt": chunk.attempt, "bytes": size}
        return _event("cut", data, place=LogPosition(chunk.attempt, chunk.seq - 1))


def _event(name: str, data: dict[str, Any], *, place: LogPosition | None = None) -> str:
    # JSON in ASCII: no reader takes a character of the output for the end of a line.
    lines = [f"event: {name}", f"data: {json.dumps(data)}"]
    if place is not None:
        lines.append(f"id: {place.attempt}-{place.seq}")
    return "\n".join(lines) + "\n\n"


def _place(event_id: str | None) -> LogPosition:
    """Return the place that the id of an event names; raises BadRequest if it is none."""
    if not event_id:
        return LogPosition()
    found = _EVENT_ID.fullmatch(event_id)
    if found is None:
        raise BadRequest("Last-Event-ID is none that this server has sent.", code="bad_event_id")
    return LogPosition(int(found[1]), int(found[2]))


def _wants_json() -> bool:
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/plain", "application/json"]) == "application/json"


def _refuse_byte_counts(query: LogQuery) -> None:
    given = [name for name in ("offset", "tail") if getattr(query, name) is not None]
    if given:
        detail = f"{given[0]!r} counts bytes of the text: leave it out, or accept text/plain."
        raise InvalidInput(detail, errors=[FieldError("", "text_only", detail)])


def _show(chunk: LogChunk) -> dict[str, Any]:
    return ChunkOut.model_validate(chunk, from_attributes=True).model_dump(mode="json")


def _size(chunk: LogChunk) -> int:
    return len(chunk.text.encode())


def _text(chunks: list[LogChunk], *, written: int | None, stream: str | None) -> str:
    """Return the text of *chunks*, with a line wherever a number is missing in their sequence."""
    pieces: list[str] = []
    cut = None if written is None else written - sum(map(_size, chunks))
    expected = 0
    for chunk in chunks:
        if chunk.seq != expected:
            amount = f"{cut} bytes" if cut is not None and cut > 0 else "something"
            start = "" if not pieces or pieces[-1].endswith("\n") else "\n"
            pieces.append(f"{start}… {amount} cut …\n")
        if stream in {None, chunk.stream}:
            pieces.append(chunk.text)
        expected = chunk.seq + 1
    return "".join(pieces)


def _whole_characters(text: bytes) -> bytes:
    """Return UTF-8 *text* without the rest of a character that it begins with."""
    # A continuation byte is 10xxxxxx: its character began before.
    start = next((i for i, byte in enumerate(text[:4]) if byte & 0xC0 != 0x80), len(text[:4]))
    return text[start:]
