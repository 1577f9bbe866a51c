"""Writes a message: its title, its text for people and its document for programs. Pure, no IO."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from jobs_app.core.run_error import RunError
from jobs_app.core.states import FAILURES, Event, RunState
from jobs_app.core.text import counted, rfc3339
from jobs_app.notifications.message_text import (
    duration_text,
    first_lines,
    last_lines,
    local_time,
    log_lines,
    one_line,
)

#: The most of a run's output for a channel that wants it.
OUTPUT_LINES = 500
OUTPUT_CHARACTERS = 30_000

#: Other notifications that a message lists.
OTHERS_NAMED = 10

#: Events whose message shows the error and the end of the log.
FAILURE_EVENTS = frozenset({Event.FAILED, Event.LOST})

_REASONS_MISSED = {
    "scheduler_down": "no scheduler was running",
    "deadline": "they came later than starting_deadline_seconds",
    "catchup_last": "only the last one is caught up",
    "catchup_limit": "there were more than catchup_max_runs",
    "catchup_window": "they lay further back than catchup_window_seconds",
    "outage_folded": "no scheduler was running for long",
}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The fields of a run that a message shows; `log` is the end of its last attempt's output."""

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
class OtherNotifications:
    """Notifications of another job or event that the same message includes."""

    job: str | None
    event: Event
    count: int


@dataclass(frozen=True, slots=True)
class MessageData:
    """The data of one message.

    `same` counts the later notifications that are equal, and the newest is from `last_at`.
    `fires` counts missed fires. `works_again` says that the job has succeeded since it failed.
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
    others: Sequence[OtherNotifications] = ()
    works_again: bool = False
    public_url: str | None = None


def has_log(event: Event, detail: Mapping[str, Any]) -> bool:
    """Tell whether the message shows the end of the run's log."""
    return event in FAILURE_EVENTS or shows_output(event, detail)


def shows_output(event: Event, detail: Mapping[str, Any]) -> bool:
    """Tell whether its channel wants what the run has printed, not only its last lines."""
    return event is Event.OUTPUT or bool(detail.get("with_output"))


def started_in_time(data: MessageData) -> bool:
    """Tell whether the run of a `late` notification has started before it was late."""
    run, seconds = data.run, data.detail.get("after_seconds")
    if data.event is not Event.LATE or run is None or seconds is None:
        return False
    waited_until = run.started_at or run.finished_at
    if waited_until is None:
        return False
    return waited_until < run.created_at + timedelta(seconds=seconds)


def title(data: MessageData) -> str:
    """Return one line that says what happened."""
    line = _headline(data)
    if data.same:
        line += f", {counted(data.same + 1, 'time')}"
    if data.others:
        count = sum(other.count for other in data.others)
        line += f", and {counted(count, 'more notification')}"
    return one_line(line)


#: The title of each event that depends on nothing else, after the name of the job.
_TITLES = {
    Event.RECOVERED: "works again",
    Event.LATE: "is late",
    Event.LOST: "was lost",
    Event.SUCCEEDED: "succeeded",
    Event.PAUSED: "was paused",
    Event.OVERRUN: "takes much longer than usual",
}


def _headline(data: MessageData) -> str:
    job, run = data.job or "A job", data.run
    match data.event:
        case Event.FAILED:
            return f"{job} {_failed(run)}"
        case Event.MISSED:
            fires = "a fire" if data.fires == 1 else counted(data.fires, "fire")
            return f"{job} missed {fires}"
        case Event.OUTPUT if run is not None and run.state is RunState.LOST:
            return f"{job} printed output, and was lost"
        case Event.OUTPUT if run is not None and run.state in FAILURES:
            return f"{job} printed output, and {_failed(run)}"
        case Event.OUTPUT:
            return f"{job} printed output"
        case Event.TEST:
            return f"Test of the channel {data.channel}"
        case event:
            return f"{job} {_TITLES[event]}"


def _failed(run: RunSummary | None) -> str:
    if run is not None and run.state is RunState.TIMED_OUT:
        return "timed out"
    has_code = run is not None and run.exit_code is not None
    return "failed" + (f" (exit code {run.exit_code})" if run and has_code else "")


def text(data: MessageData) -> str:
    """Return the text of the message for people."""
    parts = ["\n".join(_detail_lines(data))]
    run = data.run
    if run is not None and has_log(data.event, data.detail):
        # A success has no error.
        if run.error is not None:
            parts.append(first_lines(str(run.error)))
        if log := _log_text(data, run):
            parts.append(f"{_log_title(data, run, log)}:\n{log}")
    parts.append("\n".join(_other_lines(data)))
    return "\n\n".join(part for part in parts if part)


def _log_text(data: MessageData, run: RunSummary) -> str:
    """Return the end of the run's log, as much of it as the channel wants."""
    if shows_output(data.event, data.detail):
        return last_lines(run.log, lines=OUTPUT_LINES, characters=OUTPUT_CHARACTERS)
    return last_lines(run.log)


def _log_title(data: MessageData, run: RunSummary, log: str) -> str:
    if not shows_output(data.event, data.detail):
        return "The end of its log"
    return "Its output" if log == "\n".join(log_lines(run.log)) else "The end of its output"


def _detail_lines(data: MessageData) -> Iterator[str]:
    yield from _event_lines(data)
    run = data.run
    if run is not None:
        yield from _run_lines(data, run)
    if data.same:
        newest = data.last_at and f", the last at {local_time(data.last_at, data.timezone)}"
        yield f"And {data.same} more like this{newest or ''}."
    if data.works_again:
        yield "It has succeeded since."
    if data.public_url and (run or data.job):
        yield _page(data.public_url, run, data.job)
    if run is not None:
        yield f"jobs-app run show {run.id}"


def _run_lines(data: MessageData, run: RunSummary) -> Iterator[str]:
    zone = data.timezone
    if data.event is not Event.MISSED:
        yield (
            f"Due: {local_time(run.scheduled_for, zone)}"
            if run.scheduled_for is not None
            else f"Started by hand: {local_time(run.created_at, zone)}"
        )
    if has_log(data.event, data.detail):
        if run.finished_at is not None:
            yield f"Ended: {local_time(run.finished_at, zone)}"
        if run.max_attempts > 1:
            yield f"Attempt: {run.attempt} of {run.max_attempts}"
        if run.reason:
            yield f"Reason: {one_line(run.reason)}"
        if (failures := data.detail.get("failures", 1)) > 1:
            yield f"In a row: {counted(failures, 'failure')}"
    yield f"Run: {run.id}"


def _event_lines(data: MessageData) -> Iterator[str]:
    """Yield the lines that only this kind of event has."""
    detail = data.detail
    match data.event:
        case Event.RECOVERED:
            since = parse_instant(detail.get("failing_since"))
            failures = detail.get("failures", 1)
            times = "once" if failures == 1 else f"{counted(failures, 'time')} in a row"
            lasted = f", for {duration_text((data.at - since).total_seconds())}" if since else ""
            yield f"It had failed {times}{lasted}."
        case Event.LATE if "late_seconds" in detail:
            yield f"It starts {duration_text(detail['late_seconds'])} after it should have."
            yield "No scheduler was there in time; it is caught up with."
        case Event.LATE:
            seconds = detail.get("after_seconds")
            yield f"It has not started {duration_text(seconds)} after it should have."
            yield f"It is {detail.get('state', 'queued')}."
        case Event.OVERRUN:
            yield f"It has run for {duration_text(detail.get('seconds'))}, and goes on."
            usual = duration_text(detail.get("usual_seconds"))
            yield f"95 of 100 of its last successful runs took at most {usual}."
        case Event.MISSED:
            first, last = parse_instant(detail.get("first")), parse_instant(detail.get("last"))
            if first is not None:
                span = f" to {local_time(last, data.timezone)}" if last and last != first else ""
                yield f"Missed: {local_time(first, data.timezone)}{span}"
            reasons = [_REASONS_MISSED.get(code, code) for code in detail.get("reasons", ())]
            if reasons:
                yield f"Because {', and '.join(reasons)}."
        case Event.PAUSED:
            yield f"By {one_line(str(detail.get('by')))}, {local_time(data.at, data.timezone)}."
            if reason := detail.get("reason"):
                yield f"Reason: {one_line(reason)}"
        case Event.TEST:
            yield "This channel works: notifications of jobs will arrive like this one."
            yield f"Sent for {one_line(str(detail.get('by')))}, {local_time(data.at, 'UTC')}."
        case _:
            return


def _other_lines(data: MessageData) -> Iterator[str]:
    if not data.others:
        return
    yield "This channel is at its limit of messages a minute. This message includes:"
    for other in data.others[:OTHERS_NAMED]:
        times = f" ({other.count})" if other.count > 1 else ""
        yield f"- {one_line(other.job or 'a deleted job')}: {other.event}{times}"
    more = data.others[OTHERS_NAMED:]
    if more:
        yield f"- and {sum(other.count for other in more)} more: see jobs-app notification list"


def document(data: MessageData) -> dict[str, Any]:
    """Return the message for programs: the body of a webhook."""
    run = data.run
    return {
        "id": str(data.id),
        "event": data.event.value,
        "at": _rfc3339(data.at),
        "channel": data.channel,
        "title": title(data),
        "text": text(data),
        "job": data.job,
        "run": None if run is None else _run_document(run, data.public_url, _log_text(data, run)),
        "fires": data.fires if data.event is Event.MISSED else None,
        "failures_in_a_row": data.detail.get("failures"),
        "failing_since": _rfc3339(parse_instant(data.detail.get("failing_since"))),
        "by": data.detail.get("by"),
        "reason": data.detail.get("reason"),
        "count": data.same + 1,
        "others": [
            {"job": other.job, "event": other.event.value, "count": other.count}
            for other in data.others
        ],
    }


def _run_document(run: RunSummary, public_url: str | None, log: str) -> dict[str, Any]:
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
        "log_tail": log,
        "url": None if public_url is None else _page(public_url, run),
    }


def _page(public_url: str, run: RunSummary | None, job: str | None = None) -> str:
    """Return the address of the page of *run*, else of *job*."""
    path = f"runs/{run.id}" if run else f"jobs/{quote(job or '')}"
    return f"{public_url.rstrip('/')}/{path}"


def parse_instant(text: str | None) -> datetime | None:
    """Return the instant that a notification's `detail` holds as text."""
    return None if text is None else datetime.fromisoformat(text)


def _rfc3339(when: datetime | None) -> str | None:
    """Return an instant in RFC 3339, None for None."""
    return None if when is None else rfc3339(when)
