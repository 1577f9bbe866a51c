"""Writes notifications in the same transaction as the event that they are about.

Nothing is sent here. A row that is `pending` is its own outbox: the sender of a scheduler
claims it when it is due, even if the process that wrote it is gone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, NotificationState, RunState
from jobs_app.db import run_indexes
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Run
from jobs_app.notifications import rules
from jobs_app.notifications.rules import Subscriber, Subscription
from jobs_app.notifications.subscriptions import any_subscribed, is_subscribed, subscribers

#: Events that often come in large numbers: equal ones share one message.
GROUPED_EVENTS = frozenset({Event.FAILED, Event.LOST, Event.LATE, Event.MISSED, Event.OVERRUN})

#: Each notification waits this long for equal ones, seconds. All wait, so that none overtakes.
GROUPING_SECONDS = 5.0

#: Jobs per statement.
BATCH_SIZE = 1000

#: Runs in a queue that one search for late runs reads.
LATE_BATCH_SIZE = 500

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
    _notify(session, [outcome], at=at)


def notify_paused(session: Session, job: Any, *, by: str, reason: str | None, at: datetime) -> None:
    """Write that *job* was paused, by whom and why; does not commit."""
    if any_subscribed(job.subscribed_events, [Event.PAUSED]):
        detail = {"by": by, "reason": reason}
        _notify(session, [JobEvent(job.id, job.notify, [Event.PAUSED], detail=detail)], at=at)


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
        jobs = select(Job.id, Job.notify).where(batch, is_subscribed(Event.MISSED))
        events = [
            _missed_event(job.id, job.notify, by_job[job.id]) for job in session.execute(jobs)
        ]
        _notify(session, events, at=at)


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


def is_notified_of(event: Event) -> ColumnElement[bool]:
    """Return the condition that a run has a notification of *event*."""
    return exists().where(Notification.run_id == Run.id, Notification.event == event)


@dataclass(frozen=True, slots=True)
class Overrun:
    """A run that has worked for `seconds`; 95 of 100 runs before it took `usual_seconds`."""

    run_id: UUID
    seconds: float
    usual_seconds: float


def notify_overruns(session: Session, overruns: Sequence[Overrun], *, at: datetime) -> None:
    """Write the notifications of *overruns*; does not commit.

    A unique index keeps one row per run and channel.
    """
    by_run = {overrun.run_id: overrun for overrun in overruns}
    jobs = (
        select(Run.id.label("run_id"), Job.id, Job.notify)
        .join(Job, Job.id == Run.job_id)
        .where(Run.id.in_(by_run))
    )
    events = [
        JobEvent(
            row.id,
            row.notify,
            [Event.OVERRUN],
            run_id=row.run_id,
            detail={
                "seconds": by_run[row.run_id].seconds,
                "usual_seconds": by_run[row.run_id].usual_seconds,
            },
        )
        for row in session.execute(jobs)
    ]
    _notify(session, events, at=at)


@dataclass(frozen=True, slots=True)
class LateRun:
    """A run that has waited for its start longer than a rule of its job allows."""

    run_id: UUID
    job_id: int
    notify: Sequence[Mapping[str, Any]] | None
    created_at: datetime
    state: RunState


def find_late(session: Session, *, at: datetime) -> list[LateRun]:
    """Return runs that have waited for their first start longer than their jobs allow.

    The wait counts from the creation of the run: at its fire, its catch-up or its manual
    start. A run that has a `late` notification already is left out.
    """
    can_be_late = Job.late_after_seconds.is_not(None)
    if session.scalars(select(Job.id).where(can_be_late).limit(1)).first() is None:
        return []
    is_notified = is_notified_of(Event.LATE)
    late = []
    for state in (RunState.QUEUED, RunState.WAITING):
        statement = (
            select(
                Run.id, Run.job_id, Run.created_at, Run.state, Job.notify, Job.late_after_seconds
            )
            .join(Job, Job.id == Run.job_id)
            .where(*run_indexes.in_state(state).guard, Run.attempt == 1, can_be_late, ~is_notified)
            # Ids sort by age: of a long queue only the oldest runs are read.
            .order_by(Run.id)
            .limit(LATE_BATCH_SIZE)
        )
        late += [
            LateRun(row.id, row.job_id, row.notify, row.created_at, row.state)
            for row in session.execute(statement)
            if at - row.created_at >= timedelta(seconds=row.late_after_seconds)
        ]
    return late


def notify_late(session: Session, runs: Sequence[LateRun], *, at: datetime) -> int:
    """Write the notifications of late *runs*; return how many rows. Does not commit.

    A channel with a longer `late_after_seconds` gets its row now and due later: the
    sender checks then whether the run has started in time.
    """
    channels = subscribers(session)
    rows = []
    for run in runs:
        subscribed = rules.subscriptions(rules.rules_from_json(run.notify), channels)
        by_channel: dict[int, Subscription] = {}
        for subscription in sorted(subscribed, key=attrgetter("late_after_seconds")):
            if Event.LATE in subscription.on:
                by_channel.setdefault(subscription.channel.id, subscription)
        for subscription in by_channel.values():
            seconds = subscription.late_after_seconds
            detail = {"after_seconds": seconds, "state": run.state.value}
            event = JobEvent(run.job_id, run.notify, [Event.LATE], run_id=run.run_id, detail=detail)
            late_at = max(at, run.created_at + timedelta(seconds=seconds))
            row = _row(event, subscription.channel, Event.LATE, at=late_at)
            rows.append(row | {"created_at": at})
    _insert(session, rows)
    return len(rows)


def error_key(state: RunState, error: RunError | None, exit_code: int | None = None) -> str:
    """Return a key that is the same for two errors that differ only in their numbers."""
    kind, message = ("", "") if error is None else (error.type, error.message)
    return f"{state}|{kind}|{exit_code}|{_VARIABLE_PARTS.sub('#', message)}"


def _notify(session: Session, job_events: Sequence[JobEvent], *, at: datetime) -> None:
    """Write a notification per subscribed channel for each of *job_events*."""
    if not job_events:
        return
    channels = subscribers(session)
    rows = [row for job_event in job_events for row in _rows(job_event, channels, at=at)]
    _insert(session, rows)


def _rows(
    job_event: JobEvent, channels: Sequence[Subscriber], *, at: datetime
) -> Iterator[dict[str, Any]]:
    """Yield a row for each of *channels* that subscribes to *job_event*."""
    subscribed = rules.subscriptions(rules.rules_from_json(job_event.notify), channels)
    events = job_event.events
    with_output = rules.channels_with_output(subscribed, events)
    for channel, event in rules.match_events(subscribed, events, failures=job_event.failures):
        row = _row(job_event, channel, event, at=at)
        if channel.id in with_output:
            row["detail"] = row["detail"] | {"with_output": True}
        yield row


def _row(job_event: JobEvent, channel: Subscriber, event: Event, *, at: datetime) -> dict[str, Any]:
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


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert *rows*; skip a second `late` or `overrun` row of the same run and channel."""
    if rows:
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        session.execute(dialect.insert(Notification).on_conflict_do_nothing(), rows)
