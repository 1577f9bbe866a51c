"""What a notification says: a title, a text for people and a document for programs. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, RunState
from jobs_app.core.text import rfc3339

#: Of the end of a run's log.
LOG_LINES = 20
LOG_CHARACTERS = 4000
ERROR_LINES = 10
ERROR_CHARACTERS = 2000

#: OtherEvents jobs that a message names.
OTHERS_NAMED = 10

# Colours, titles and links of terminals, then what is left of control characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

_WHY_MISSED = {
    "scheduler_down": "no scheduler was running",
    "deadline": "they came later than starting_deadline_seconds",
    "catchup_last": "only the last one is caught up",
    "catchup_limit": "there were more than catchup_max_runs",
    "catchup_window": "they lay further back than catchup_window_seconds",
    "outage_folded": "no scheduler was running for long",
}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run, as far as a message tells of it; `log` is the end of its last attempt's output."""

    id: UUID
    state: RunState
    trigger: str
    scheduled_for: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    max_attempts: int
    exit_code: int | None
    reason: str | None
    error: RunError | None
    log: str = ""


@dataclass(frozen=True, slots=True)
class OtherEvents:
    """Notifications of another kind that the same message tells of."""

    job: str | None
    event: Event
    count: int


@dataclass(frozen=True, slots=True)
class MessageData:
    """All that one message is made of.

    `same` counts the notifications like it that came after it, `last_at` is when the
    newest of them did, `fires` how many fires were missed. `works_again` says that a job
    has succeeded since it failed.
    """

    id: UUID
    event: Event
    channel: str
    at: datetime
    job: str | None = None
    timezone: str = "UTC"
    run: RunSummary | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    fires: int = 1
    same: int = 0
    last_at: datetime | None = None
    others: Sequence[OtherEvents] = ()
    works_again: bool = False
    public_url: str | None = None


def started_in_time(notice: MessageData) -> bool:
    """Tell whether a run that was to be told as late has started before that."""
    run, seconds = notice.run, notice.detail.get("after_seconds")
    if notice.event is not Event.LATE or run is None or seconds is None:
        return False
    ended_at = run.started_at or run.finished_at
    return ended_at is not None and ended_at < run.created_at + timedelta(seconds=seconds)


def title(notice: MessageData) -> str:
    """Return one line that says what happened."""
    line = _headline(notice)
    if notice.same:
        line += f", {notice.same + 1} times"
    if notice.others:
        count = sum(other.count for other in notice.others)
        line += f", and {count} more notification{'s' * (count > 1)}"
    return one_line(line)


def _headline(notice: MessageData) -> str:
    job, run = notice.job or "A job", notice.run
    match notice.event:
        case Event.FAILED if run is not None and run.state is RunState.TIMED_OUT:
            return f"{job} timed out"
        case Event.FAILED:
            has_code = run is not None and run.exit_code is not None
            return f"{job} failed" + (f" (exit code {run.exit_code})" if run and has_code else "")
        case Event.RECOVERED:
            return f"{job} works again"
        case Event.LATE:
            return f"{job} is late"
        case Event.MISSED:
            fires = notice.fires
            return f"{job} missed a fire" if fires == 1 else f"{job} missed {fires:,} fires"
        case Event.LOST:
            return f"{job} was lost"
        case Event.SUCCEEDED:
            return f"{job} succeeded"
        case Event.PAUSED:
            return f"{job} was paused"
        case Event.TEST:
            return f"Test of the channel {notice.channel}"


def text(notice: MessageData) -> str:
    """Return what a colleague needs to know, as plain text."""
    parts = ["\n".join(_facts(notice))]
    run = notice.run
    tells_why = notice.event in {Event.FAILED, Event.LOST} and run is not None
    if tells_why and run is not None and (error := _error_text(run.error)):
        parts.append(error)
    if tells_why and run is not None and (log := last_lines(run.log)):
        parts.append(f"The end of its log:\n{log}")
    if others := "\n".join(_others(notice)):
        parts.append(others)
    return "\n\n".join(part for part in parts if part)


def _facts(notice: MessageData) -> Iterator[str]:
    yield from _what(notice)
    run, detail = notice.run, notice.detail
    if run is not None:
        zone = notice.timezone
        if notice.event is not Event.MISSED:
            yield (
                f"Due: {local_time(run.scheduled_for, zone)}"
                if run.scheduled_for is not None
                else f"Started by hand: {local_time(run.created_at, zone)}"
            )
        if run.finished_at is not None and notice.event in {
            Event.FAILED,
            Event.LOST,
        }:
            yield f"Ended: {local_time(run.finished_at, zone)}"
        if notice.event in {Event.FAILED, Event.LOST}:
            if run.max_attempts > 1:
                yield f"Attempt: {run.attempt} of {run.max_attempts}"
            if run.reason:
                yield f"Reason: {one_line(run.reason)}"
            if (failures := detail.get("failures", 1)) > 1:
                yield f"In a row: {failures} failures"
        yield f"Run: {run.id}"
    if notice.same:
        newest = f", the last at {local_time(notice.last_at, notice.timezone)}" * bool(
            notice.last_at
        )
        yield f"And {notice.same} more like this{newest}."
    if notice.works_again:
        yield "It has succeeded since."
    if run is not None:
        if notice.public_url:
            yield f"{notice.public_url.rstrip('/')}/api/v1/runs/{run.id}"
        yield f"jobs-app run show {run.id}"


def _what(notice: MessageData) -> Iterator[str]:
    """Yield what only this kind of event says."""
    detail = notice.detail
    match notice.event:
        case Event.RECOVERED:
            since = parse_instant(detail.get("failing_since"))
            failures = detail.get("failures", 1)
            times = "once" if failures == 1 else f"{failures} times in a row"
            lasted = f", for {duration_text((notice.at - since).total_seconds())}" if since else ""
            yield f"It had failed {times}{lasted}."
        case Event.LATE:
            seconds = detail.get("after_seconds")
            yield f"It has not started {duration_text(seconds)} after it should have."
            yield f"It is {detail.get('state', 'queued')}."
        case Event.MISSED:
            first, last = parse_instant(detail.get("first")), parse_instant(detail.get("last"))
            if first is not None:
                span = f" to {local_time(last, notice.timezone)}" if last and last != first else ""
                yield f"Missed: {local_time(first, notice.timezone)}{span}"
            reasons = [_WHY_MISSED.get(each, each) for each in detail.get("reasons", ())]
            if reasons:
                yield f"Because {', and '.join(reasons)}."
        case Event.PAUSED:
            yield f"By {one_line(str(detail.get('by')))}, {local_time(notice.at, notice.timezone)}."
            if reason := detail.get("reason"):
                yield f"Reason: {one_line(reason)}"
        case Event.TEST:
            yield "This channel works: notifications of jobs will arrive like this one."
            yield f"Sent for {one_line(str(detail.get('by')))}, {local_time(notice.at, 'UTC')}."
        case _:
            return


def _others(notice: MessageData) -> Iterator[str]:
    if not notice.others:
        return
    yield "So many came at once that these are told here only:"
    for other in notice.others[:OTHERS_NAMED]:
        times = f" ({other.count})" if other.count > 1 else ""
        yield f"- {one_line(other.job or 'a deleted job')}: {other.event}{times}"
    more = notice.others[OTHERS_NAMED:]
    if more:
        yield f"- and {sum(other.count for other in more)} more: see jobs-app notification list"


def document(notice: MessageData) -> dict[str, Any]:
    """Return the notice for programs: the body of a webhook."""
    run = notice.run
    return {
        "id": str(notice.id),
        "event": notice.event.value,
        "at": _rfc3339(notice.at),
        "channel": notice.channel,
        "title": title(notice),
        "text": text(notice),
        "job": notice.job,
        "run": None if run is None else _run_document(run, notice.public_url),
        "fires": notice.fires if notice.event is Event.MISSED else None,
        "failures_in_a_row": notice.detail.get("failures"),
        "failing_since": _rfc3339(parse_instant(notice.detail.get("failing_since"))),
        "by": notice.detail.get("by"),
        "reason": notice.detail.get("reason"),
        "count": notice.same + 1,
        "others": [
            {"job": other.job, "event": other.event.value, "count": other.count}
            for other in notice.others
        ],
    }


def _run_document(run: RunSummary, public_url: str | None) -> dict[str, Any]:
    error = run.error
    return {
        "id": str(run.id),
        "state": run.state.value,
        "trigger": run.trigger,
        "scheduled_for": _rfc3339(run.scheduled_for),
        "started_at": _rfc3339(run.started_at),
        "finished_at": _rfc3339(run.finished_at),
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "exit_code": run.exit_code,
        "reason": run.reason,
        "error": None
        if error is None
        else {"type": error.type, "message": first_lines(error.message)},
        "log_tail": last_lines(run.log),
        "url": None if public_url is None else f"{public_url.rstrip('/')}/api/v1/runs/{run.id}",
    }


def _error_text(error: RunError | None) -> str:
    return "" if error is None else first_lines(str(error))


def first_lines(message: str) -> str:
    """Return the first lines of *message*, harmless on any screen."""
    lines = without_control_characters(message).strip().splitlines()
    kept = "\n".join(lines[:ERROR_LINES])
    is_cut = len(lines) > ERROR_LINES or len(kept) > ERROR_CHARACTERS
    return kept[:ERROR_CHARACTERS] + ("\n…" if is_cut else "")


def last_lines(log: str) -> str:
    """Return the last lines of *log*, harmless on any screen."""
    lines = without_control_characters(log).rstrip().splitlines()
    kept = "\n".join(line.rstrip() for line in lines[-LOG_LINES:])
    return kept if len(kept) <= LOG_CHARACTERS else "…" + kept[-LOG_CHARACTERS:]


def without_control_characters(dirty: str) -> str:
    """Return *dirty* without what could move a cursor, colour or reorder text."""
    # A progress bar writes its line over and over: the last state of it counts.
    unescaped = _ESCAPES.sub("", dirty).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in unescaped.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))


def one_line(dirty: str) -> str:
    """Return *dirty* as a single line: no header of a mail can be added by it."""
    return " ".join(without_control_characters(dirty).split())


def local_time(when: datetime | None, zone: str) -> str:
    """Return an instant in *zone*, with UTC beside it where that is another."""
    if when is None:
        return "unknown"
    in_utc = f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if zone == "UTC":
        return in_utc
    try:
        there = when.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        return in_utc
    return f"{there:%Y-%m-%d %H:%M:%S} {zone} ({in_utc})"


def duration_text(seconds: float | None) -> str:
    """Return a duration in words, its two largest units."""
    left = round(seconds or 0)
    parts = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def parse_instant(written: str | None) -> datetime | None:
    """Return the instant that a notification's `detail` holds as text."""
    return None if written is None else datetime.fromisoformat(written)


def _rfc3339(when: datetime | None) -> str | None:
    """Return an instant for programs."""
    return None if when is None else rfc3339(when)
