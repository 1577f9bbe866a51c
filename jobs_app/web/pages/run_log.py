"""The log of a run for its page: as events, at once or as they come, and as plain text."""

from typing import Any

from flask import Blueprint, Response, jsonify, request

from jobs_app.core.errors import BadRequest, NotFound
from jobs_app.core.escape_sequences import plain
from jobs_app.core.states import FINAL
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.history import LogNews, LogPosition
from jobs_app.web.api import run_logs, runs
from jobs_app.web.api.run_logs import BATCH, Follower, LogEvent
from jobs_app.web.pages.parameters import choice
from jobs_app.web.session import session

page = Blueprint("run_log_page", __name__)

#: Unlike the JSON of the API, a log is compressed.
MEDIA_TYPE = "application/vnd.jobs-app.log+json"

#: What of a long log is shown: head and tail, or all of it.
PARTS = ("ends", "all")

#: Of a longer log only head and tail are sent at first, characters.
WHOLE_CHARS = 2 << 20
HEAD_CHARS = 512 << 10
TAIL_CHARS = 1 << 20

#: A line costs the browser as much as so many characters.
LINE_CHARS = 60

#: While a run writes, the page keeps so many of its lines.
MOST_LINES = 50_000

#: What the script says about a log; a number stands for {}.
WORDS = {
    "line": "{} line",
    "lines": "{} lines",
    "new": "{} new line ↓",
    "news": "{} new lines ↓",
    "said": "running, {} lines",
    "folded": "… {} more characters",
    "omitted": " … {} characters of this line are left out here: Download has all that is stored …",
    "cut": "… {} bytes were dropped here (JOBS_LOG_LIMIT_BYTES) …",
    "some": "… output was dropped here (JOBS_LOG_LIMIT_BYTES) …",
    "skipped": "Show the {} lines between",
}

#: What a browser without script sees of a log: characters, and chunks of output.
PLAIN_CHARS = 64 << 10
PLAIN_CHUNKS = 64


@page.get("/runs/<run_id>/log")
def read(run_id: str) -> Response:
    """Return the events of an attempt's log, or those after a position (`after`), as JSON.

    Without `part=all`, a long log comes as its head, its tail, and an event `skip` in between.
    """
    run, part = runs.get_run(run_id), choice("part", PARTS)
    if after := request.args.get("after"):
        position = run_logs.position_of(after)
        news = history.log_news(session(), run.id, after=position, limit=BATCH)
        is_over = news.state in FINAL and len(news.chunks) < BATCH
    else:
        attempt = attempt_of(run)
        position = LogPosition(attempt)
        chunks = history.log(session(), run.id, attempt=attempt)
        news = LogNews(run.state, run.attempt, run.log_bytes, chunks)
        is_over = run.state in FINAL or attempt < run.attempt
    follower = Follower(position)
    events = list(follower.events(news))
    is_whole = bool(after) or part == "all"
    answer = jsonify(
        events=[[event.name, event.data] for event in (events if is_whole else shortened(events))],
        after=run_logs.event_id(follower.position),
        is_over=is_over,
    )
    answer.mimetype = MEDIA_TYPE
    return answer


@page.get("/runs/<run_id>/log/stream")
def follow(run_id: str) -> Response:
    """Follow the log after a position, as server-sent events, until the run has ended."""
    after = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    return run_logs.follow(runs.get_run(run_id).id, run_logs.position_of(after))


@page.get("/runs/<run_id>/log.txt")
def download(run_id: str) -> Response:
    """Return the whole log of an attempt as it was written, with a line at each gap."""
    run = runs.get_run(run_id)
    return Response(run_logs.log_text(run, attempt_of(run)), mimetype="text/plain")


def attempt_of(run: Run) -> int:
    """Return the attempt that the address names, the newest one by default."""
    text = request.args.get("attempt", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise BadRequest("An attempt is a number, as in ?attempt=2.", code="bad_attempt")
    attempt = int(text) if text else run.attempt
    if not 1 <= attempt <= run.attempt:
        raise NotFound(f"The run has no attempt {attempt}.", code="attempt_not_found")
    return attempt


def plain_end(run: Run, attempt: int) -> str:
    """Return the last part of a log without colours and controls."""
    chunks = history.log_end(session(), run.id, attempt=attempt, limit=PLAIN_CHUNKS)
    return plain("".join(chunk.text for chunk in chunks)[-PLAIN_CHARS:])


def shortened(events: list[LogEvent]) -> list[LogEvent]:
    """Return the events of a log, or those of its head and its tail with `skip` in between."""
    sizes = [len(event.data.get("text", "")) + LINE_CHARS * _line_ends(event) for event in events]
    if sum(sizes) <= WHOLE_CHARS:
        return events
    head = _count(sizes, HEAD_CHARS)
    tail = len(events) - _count(sizes[::-1], TAIL_CHARS)
    middle = events[head:tail]
    skip: dict[str, Any] = {"lines": sum(map(_line_ends, middle))}
    return [*events[:head], LogEvent("skip", skip, middle[-1].position), *events[tail:]]


def _count(sizes: list[int], most: int) -> int:
    """Return how many of the first *sizes* make up *most*."""
    total = 0
    for count, size in enumerate(sizes):
        if total >= most:
            return count
        total += size
    return len(sizes)


def _line_ends(event: LogEvent) -> int:
    return event.data["text"].count("\n") if event.name == "chunk" else 1
