"""Notifications on record: written with what they tell of, in the same transaction.

Nothing is sent here. A row that is `pending` is its own outbox; the sender of a scheduler
takes it when it is due, whoever wrote it and whatever became of that process.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    exists,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, NotificationState, RunState
from jobs_app.db import run_indexes
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification, NotificationChannel
from jobs_app.db.models.runs import Run
from jobs_app.notifications import rules
from jobs_app.notifications.rules import Subscriber

#: Events that come in heaps, told once for many that are the same.
GROUPED_EVENTS = frozenset(
    {
        Event.FAILED,
        Event.LOST,
        Event.LATE,
        Event.MISSED,
    }
)

#: How long a notification waits for others like it, seconds. All wait, so that none overtakes.
GROUPING_SECONDS = 5.0

#: Rows that one statement asks for, or deletes.
BATCH_SIZE = 1000

#: Runs in a queue that one look for late ones reads.
LATE_BATCH_SIZE = 500

# What differs between two errors that are the same: ids, addresses, counts, times.
_CHANGING = re.compile(r"\b[0-9a-fA-F]{8,}\b|\d+(?:[.:,]\d+)*")


@dataclass(frozen=True, slots=True)
class JobEvent:
    """What happened to a job: its row's `notify`, and the events that it may be told as.

    *error* is what makes two of them the same.
    """

    job_id: int
    notify: Sequence[Mapping[str, Any]] | None
    events: Sequence[Event]
    run_id: UUID | None = None
    failures: int = 0
    count: int = 1
    error: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def subscribers(session: Session) -> list[Subscriber]:
    """Return every channel, as far as rules go."""
    columns = (
        NotificationChannel.id,
        NotificationChannel.name,
        NotificationChannel.events,
        NotificationChannel.is_default,
    )
    return [
        Subscriber(row.id, row.name, rules.parse_events(row.events), row.is_default)
        for row in session.execute(select(*columns).order_by(NotificationChannel.name))
    ]


def is_subscribed(event: Event) -> ColumnElement[bool]:
    """The condition that some channel wants *event* of a job."""
    bits: ColumnElement[int] = Job.subscribed_events.op("&", return_type=Integer())(event.bit)
    return bits != 0


def any_subscribed(mask: int, events: Iterable[Event]) -> bool:
    """Tell whether a job's `hears` has any of *events*."""
    return any(mask & event.bit for event in events)


def tell(session: Session, news: Sequence[JobEvent], *, at: datetime) -> int:
    """Write what each channel is to be told of *news*; return how many rows. Does not commit."""
    if not news:
        return 0
    channels = subscribers(session)
    rows = [
        _row(each, channel, event, at=at)
        for each in news
        for channel, event in rules.match_events(
            rules.subscriptions(rules.rules_from_json(each.notify), channels),
            each.events,
            failures=each.failures,
        )
    ]
    _insert(session, rows)
    return len(rows)


def notify_outcome(
    session: Session,
    job: Any,
    state: RunState,
    *,
    run_id: UUID,
    failures: int,
    at: datetime,
    error: RunError | None = None,
    exit_code: int | None = None,
) -> None:
    """Write what is to be told of a run that ended in *state*; does not commit.

    *job* has the columns `id`, `notify`, `hears`, `failing_since` and `deleted_at`;
    *failures* are as `occasions.outcome_events` wants them.
    """
    events = rules.outcome_events(state, failures=failures)
    if job.deleted_at is not None or not any_subscribed(job.subscribed_events, events):
        return
    detail: dict[str, Any] = {"failures": failures}
    if failures and job.failing_since is not None:
        detail["failing_since"] = job.failing_since.isoformat()
    news = JobEvent(
        job.id,
        job.notify,
        events,
        run_id=run_id,
        failures=failures,
        error=error_key(state, error, exit_code),
        detail=detail,
    )
    tell(session, [news], at=at)


def notify_paused(session: Session, job: Any, *, by: str, reason: str | None, at: datetime) -> None:
    """Write that *job* was paused, by whom and why; does not commit."""
    if any_subscribed(job.subscribed_events, [Event.PAUSED]):
        detail = {"by": by, "reason": reason}
        tell(
            session,
            [JobEvent(job.id, job.notify, [Event.PAUSED], detail=detail)],
            at=at,
        )


@dataclass(frozen=True, slots=True)
class MissedFires:
    """A row of missed fires: the first at `scheduled_for`, and how many it stands for."""

    job_id: int
    run_id: UUID
    scheduled_for: datetime | None
    reason: str | None
    fires: int


def notify_missed(session: Session, missed: Sequence[MissedFires], *, at: datetime) -> None:
    """Write what is to be told of fires that were missed, once a job; does not commit.

    Nothing is asked of the database if there are none.
    """
    by_job: dict[int, list[MissedFires]] = {}
    for each in missed:
        by_job.setdefault(each.job_id, []).append(each)
    job_ids = list(by_job)
    for start in range(0, len(job_ids), BATCH_SIZE):
        some = Job.id.in_(job_ids[start : start + BATCH_SIZE])
        heard = select(Job.id, Job.notify).where(some, is_subscribed(Event.MISSED))
        news = [_missed_news(row.id, row.notify, by_job[row.id]) for row in session.execute(heard)]
        tell(session, news, at=at)


def _missed_news(
    job_id: int, notify: Sequence[Mapping[str, Any]] | None, missed: Sequence[MissedFires]
) -> JobEvent:
    fires = sorted(each.scheduled_for for each in missed if each.scheduled_for is not None)
    reasons = sorted({each.reason for each in missed if each.reason is not None})
    return JobEvent(
        job_id,
        notify,
        [Event.MISSED],
        run_id=missed[0].run_id,
        count=sum(each.fires for each in missed),
        error=",".join(reasons),
        detail={
            "reasons": reasons,
            "first": fires[0].isoformat() if fires else None,
            "last": fires[-1].isoformat() if fires else None,
        },
    )


@dataclass(frozen=True, slots=True)
class LateRun:
    """A run that has not started though its job wants somebody told by now."""

    run_id: UUID
    job_id: int
    notify: Sequence[Mapping[str, Any]] | None
    created_at: datetime
    state: RunState


def late(session: Session, *, at: datetime) -> list[LateRun]:
    """Return runs that have waited for their first start longer than their jobs allow.

    It counts from when a run came on record: from its fire, or from when it was caught
    up or started by hand. One that was told of is not returned again.
    """
    can_be_late = Job.late_after_seconds.is_not(None)
    if session.scalars(select(Job.id).where(can_be_late).limit(1)).first() is None:
        return []
    is_told = exists().where(Notification.run_id == Run.id, Notification.event == Event.LATE)
    found = []
    for state in (RunState.QUEUED, RunState.WAITING):
        statement = (
            select(
                Run.id, Run.job_id, Run.created_at, Run.state, Job.notify, Job.late_after_seconds
            )
            .join(Job, Job.id == Run.job_id)
            .where(*run_indexes.in_state(state).guard, Run.attempt == 1, can_be_late, ~is_told)
            # Ids sort by age: of a long queue the oldest runs are read, not all.
            .order_by(Run.id)
            .limit(LATE_BATCH_SIZE)
        )
        found += [
            LateRun(row.id, row.job_id, row.notify, row.created_at, row.state)
            for row in session.execute(statement)
            if at - row.created_at >= timedelta(seconds=row.late_after_seconds)
        ]
    return found


def notify_late(session: Session, runs: Sequence[LateRun], *, at: datetime) -> int:
    """Write what each channel is to be told of late *runs*; does not commit.

    A channel that wants to wait longer than others gets its row now and due later: the
    sender looks whether the run has started by then.
    """
    channels = subscribers(session)
    rows = []
    for run in runs:
        job_rules = rules.rules_from_json(run.notify)
        waits: dict[int, tuple[int, Subscriber]] = {}
        for each in rules.subscriptions(job_rules, channels):
            if Event.LATE in each.on:
                wait = (each.late_after_seconds, each.channel)
                waits[each.channel.id] = min(wait, waits.get(each.channel.id, wait), key=_seconds)
        for seconds, channel in waits.values():
            detail = {"after_seconds": seconds, "state": run.state.value}
            news = JobEvent(run.job_id, run.notify, [Event.LATE], run_id=run.run_id, detail=detail)
            late_at = max(at, run.created_at + timedelta(seconds=seconds))
            rows.append(_row(news, channel, Event.LATE, at=late_at) | {"created_at": at})
    _insert(session, rows)
    return len(rows)


def _seconds(wait: tuple[int, Subscriber]) -> int:
    return wait[0]


def error_key(state: RunState, error: RunError | None, exit_code: int | None = None) -> str:
    """Return what is the same for two errors that differ in numbers only."""
    kind, message = ("", "") if error is None else (error.type, error.message)
    return f"{state}|{kind}|{exit_code}|{_CHANGING.sub('#', message)}"


def _row(news: JobEvent, channel: Subscriber, event: Event, *, at: datetime) -> dict[str, Any]:
    row_id = new_run_id()
    return {
        "id": row_id,
        "channel_id": channel.id,
        "channel": channel.name,
        "job_id": news.job_id,
        "run_id": news.run_id,
        "event": event,
        "count": news.count,
        "detail": news.detail,
        "group_key": _group_key(news, event) if event in GROUPED_EVENTS else row_id.hex,
        "state": NotificationState.PENDING,
        "tries": 0,
        "due_at": at + timedelta(seconds=GROUPING_SECONDS),
        "created_at": at,
    }


def _group_key(news: JobEvent, event: Event) -> str:
    text = f"{news.job_id}|{event}|{news.error}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    """Insert *rows*; one that says again that a run is late is passed over."""
    if rows:
        dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
        session.execute(dialect.insert(Notification).on_conflict_do_nothing(), rows)


# ---- who hears what, kept on the jobs ----


def set_subscriptions(
    job: Job, job_rules: Sequence[rules.Rule] | None, channels: Sequence[Subscriber]
) -> None:
    """Set on *job* which events somebody wants, as *job_rules* say."""
    subscribed = rules.subscriptions(job_rules, channels)
    job.subscribed_events = rules.event_mask(subscribed)
    job.late_after_seconds = rules.first_late_after_seconds(subscribed)


def refresh_subscriptions(session: Session) -> int:
    """Work out anew who hears what of every job; return how many rows were wrong.

    For after a change of a channel. Does not commit.
    """
    channels = subscribers(session)
    usual = rules.subscriptions(None, channels)
    default = {
        "subscribed_events": rules.event_mask(usual),
        "late_after_seconds": rules.first_late_after_seconds(usual),
    }
    is_other = or_(
        Job.subscribed_events != default["subscribed_events"],
        Job.late_after_seconds.is_distinct_from(default["late_after_seconds"]),
    )
    changed = rowcount(
        session.execute(
            update(Job)
            .where(Job.notify.is_(null()), Job.deleted_at.is_(None), is_other)
            .values(**default)
            .execution_options(synchronize_session=False)
        )
    )
    own = select(Job.id, Job.notify, Job.subscribed_events, Job.late_after_seconds).where(
        Job.notify.is_not(null()), Job.deleted_at.is_(None)
    )
    for row in session.execute(own).all():
        subscribed = rules.subscriptions(rules.rules_from_json(row.notify), channels)
        wanted = (rules.event_mask(subscribed), rules.first_late_after_seconds(subscribed))
        if wanted != (row.subscribed_events, row.late_after_seconds):
            session.execute(
                update(Job)
                .where(Job.id == row.id)
                .values(subscribed_events=wanted[0], late_after_seconds=wanted[1])
                .execution_options(synchronize_session=False)
            )
            changed += 1
    return int(changed)
