"""Writes notifications in the same transaction as the event that they are about.

Nothing is sent here. A row that is `pending` is its own outbox: the sender of a scheduler
claims it when it is due, even if the process that wrote it is gone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, NotificationState, RunState
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.notifications import rules
from jobs_app.notifications.rules import Subscriber
from jobs_app.notifications.subscriptions import any_subscribed, is_subscribed, subscribers

#: Events that often come in large numbers: equal ones share one message.
GROUPED_EVENTS = frozenset({Event.FAILED, Event.LOST, Event.LATE, Event.MISSED, Event.OVERRUN})

#: Each notification waits this long for equal ones, seconds. All wait, so that none overtakes.
GROUPING_SECONDS = 5.0

#: Jobs per statement.
BATCH_SIZE = 1000

# Parts of an error that differ between equal errors: ids, addresses, counts, times.
_VARIABLE_PARTS = re.compile(r"\b[0-9a-fA-F]{8,}\b|\d+(?:[.:,]\d+)*")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job, with the `notify` of its row.

    A channel gets the first of *events* that it subscribes to. Two are equal if *error* is.
    """

    job_id: int
    notify: Sequence[Mapping[str, Any]] | None
    events: Sequence[Event]
    run_id: UUID | None = None
    failures: int = 0
    count: int = 1
    error: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def notify_outcome(
    session: Session,
    job: Any,
    state: RunState,
    *,
    run_id: UUID,
    failures: int,
    at: datetime,
    has_output: bool = False,
    error: RunError | None = None,
    exit_code: int | None = None,
) -> None:
    """Write the notifications of a run that finished in *state*; does not commit.

    *job* has `id`, `notify`, `subscribed_events`, `failing_since` and `deleted_at`.
    *failures* are counted as `rules.outcome_events` expects them.
    """
    events = rules.outcome_events(state, failures=failures, has_output=has_output)
    if job.deleted_at is not None or not any_subscribed(job.subscribed_events, events):
        return
    detail: dict[str, Any] = {"failures": failures}
    if failures and job.failing_since is not None:
        detail["failing_since"] = job.failing_since.isoformat()
    outcome = JobEvent(
        job.id,
        job.notify,
        events,
        run_id=run_id,
        failures=failures,
        error=error_key(state, error, exit_code),
        detail=detail,
    )
    notify_events(session, [outcome], at=at)


def notify_paused(session: Session, job: Any, *, by: str, reason: str | None, at: datetime) -> None:
    """Write that *job* was paused, by whom and why; does not commit."""
    if any_subscribed(job.subscribed_events, [Event.PAUSED]):
        detail = {"by": by, "reason": reason}
        notify_events(session, [JobEvent(job.id, job.notify, [Event.PAUSED], detail=detail)], at=at)


@dataclass(frozen=True, slots=True)
class MissedFires:
    """A `missed` run: its first fire is `scheduled_for`, and it stands for `fires` of them."""

    job_id: int
    run_id: UUID
    scheduled_for: datetime | None
    reason: str | None
    fires: int


def notify_missed(session: Session, missed: Sequence[MissedFires], *, at: datetime) -> None:
    """Write one notification per job for its missed fires; does not commit.

    Runs no query if *missed* is empty.
    """
    by_job: dict[int, list[MissedFires]] = {}
    for fires in missed:
        by_job.setdefault(fires.job_id, []).append(fires)
    job_ids = list(by_job)
    for start in range(0, len(job_ids), BATCH_SIZE):
        batch = Job.id.in_(job_ids[start : start + BATCH_SIZE])
        # A fire of a job that only watches would have run nothing.
        runs = (is_subscribed(Event.MISSED), ~Job.observe)
        jobs = select(Job.id, Job.notify).where(batch, *runs)
        events = [
            _missed_event(job.id, job.notify, by_job[job.id]) for job in session.execute(jobs)
        ]
        notify_events(session, events, at=at)


def _missed_event(
    job_id: int, notify: Sequence[Mapping[str, Any]] | None, missed: Sequence[MissedFires]
) -> JobEvent:
    instants = sorted(row.scheduled_for for row in missed if row.scheduled_for is not None)
    reasons = sorted({row.reason for row in missed if row.reason is not None})
    return JobEvent(
        job_id,
        notify,
        [Event.MISSED],
        run_id=missed[0].run_id,
        count=sum(row.fires for row in missed),
        error=",".join(reasons),
        detail={
            "reasons": reasons,
            "first": instants[0].isoformat() if instants else None,
            "last": instants[-1].isoformat() if instants else None,
        },
    )


def error_key(state: RunState, error: RunError | None, exit_code: int | None = None) -> str:
    """Return a key that is the same for two errors that differ only in their numbers."""
    kind, message = ("", "") if error is None else (error.type, error.message)
    return f"{state}|{kind}|{exit_code}|{_VARIABLE_PARTS.sub('#', message)}"


def notify_events(session: Session, job_events: Sequence[JobEvent], *, at: datetime) -> None:
    """Write a notification per subscribed channel for each of *job_events*; does not commit."""
    if not job_events:
        return
    channels = subscribers(session)
    rows = [row for job_event in job_events for row in _rows(job_event, channels, at=at)]
    insert(session, rows)


def _rows(
    job_event: JobEvent, channels: Sequence[Subscriber], *, at: datetime
) -> Iterator[dict[str, Any]]:
    """Yield a row for each of *channels* that subscribes to *job_event*."""
    subscribed = rules.subscriptions(rules.rules_from_json(job_event.notify), channels)
    events = job_event.events
    with_output = rules.channels_with_output(subscribed, events)
    for channel, event in rules.match_events(subscribed, events, failures=job_event.failures):
        row = row_of(job_event, channel, event, at=at)
        if channel.id in with_output:
            row["detail"] = row["detail"] | {"with_output": True}
        yield row


def row_of(
    job_event: JobEvent, channel: Subscriber, event: Event, *, at: datetime
) -> dict[str, Any]:
    """Return the row of a notification that *channel* gets of *event*."""
    row_id = new_run_id()
    return {
        "id": row_id,
        "channel_id": channel.id,
        "channel": channel.name,
        "job_id": job_event.job_id,
        "run_id": job_event.run_id,
        "event": event,
        "count": job_event.count,
        "detail": job_event.detail,
        "group_key": _group_key(job_event, event) if event in GROUPED_EVENTS else row_id.hex,
        "state": NotificationState.PENDING,
        "tries": 0,
        "due_at": at + timedelta(seconds=GROUPING_SECONDS),
        "created_at": at,
    }


def _group_key(job_event: JobEvent, event: Event) -> str:
    text = f"{job_event.job_id}|{event}|{job_event.error}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def insert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert *rows*; skip a second `late` or `overrun` row of the same run and channel."""
    if rows:
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        session.execute(dialect.insert(Notification).on_conflict_do_nothing(), rows)
