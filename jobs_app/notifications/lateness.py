"""Notifications of runs that start late, or that take much longer than usual.

Written with `record`, which sends nothing either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import methodcaller
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from jobs_app.core.states import Event, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Run
from jobs_app.notifications import record, rules
from jobs_app.notifications.record import BATCH_SIZE, JobEvent
from jobs_app.notifications.rules import Subscription
from jobs_app.notifications.subscriptions import is_subscribed, subscribers

#: Runs in a queue that one search for late runs reads.
LATE_BATCH_SIZE = 500


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
    record.notify_events(session, events, at=at)


@dataclass(frozen=True, slots=True)
class LateRun:
    """A run that has waited for its start longer than a rule of its job allows."""

    run_id: UUID
    job_id: int
    notify: Sequence[Mapping[str, Any]] | None
    created_at: datetime
    state: RunState
    deadline_seconds: int


_CAN_BE_LATE = Job.late_after_seconds.is_not(None)

_UNSTARTED_STATES = (RunState.QUEUED, RunState.WAITING)

# Built once: every sender asks every few seconds. Most of the time no run waits. Of a long
# queue without any such job all runs would be read.
_MAY_ANY_BE_LATE = select(
    and_(
        exists().select_from(Job).where(_CAN_BE_LATE),
        or_(
            *(
                exists().select_from(Run).where(run_indexes.is_in(state), run_indexes.IS_UNFINISHED)
                for state in _UNSTARTED_STATES
            )
        ),
    )
)
_UNSTARTED = [
    select(
        Run.id,
        Run.job_id,
        Run.created_at,
        Run.state,
        Job.notify,
        Job.late_after_seconds,
        Job.starting_deadline_seconds,
    )
    .join(Job, Job.id == Run.job_id)
    .where(
        run_indexes.is_in(state),
        run_indexes.IS_UNFINISHED,
        Run.attempt == 1,
        _CAN_BE_LATE,
        ~is_notified_of(Event.LATE),
    )
    # Ids sort by age: of a long queue only the oldest runs are read.
    .order_by(Run.id)
    .limit(LATE_BATCH_SIZE)
    for state in _UNSTARTED_STATES
]


def find_late(session: Session, *, at: datetime) -> list[LateRun]:
    """Return runs that have waited for their first start longer than their jobs allow.

    The wait counts from the creation of the run: at its fire, its catch-up or its manual
    start. A run that has a `late` notification already is left out.
    """
    if not session.scalar(_MAY_ANY_BE_LATE):
        return []
    return [
        LateRun(
            row.id,
            row.job_id,
            row.notify,
            row.created_at,
            row.state,
            row.starting_deadline_seconds,
        )
        for statement in _UNSTARTED
        for row in session.execute(statement)
        if at - row.created_at >= timedelta(seconds=row.late_after_seconds)
    ]


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
        late_after = methodcaller("late_after", run.deadline_seconds)
        for subscription in sorted(subscribed, key=late_after):
            if Event.LATE in subscription.on:
                by_channel.setdefault(subscription.channel.id, subscription)
        for subscription in by_channel.values():
            seconds = late_after(subscription)
            detail = {"after_seconds": seconds, "state": run.state.value}
            event = JobEvent(run.job_id, run.notify, [Event.LATE], run_id=run.run_id, detail=detail)
            late_at = max(at, run.created_at + timedelta(seconds=seconds))
            row = record.row_of(event, subscription.channel, Event.LATE, at=late_at)
            rows.append(row | {"created_at": at})
    record.insert(session, rows)
    return len(rows)


@dataclass(frozen=True, slots=True)
class CaughtUpFire:
    """A run that a scheduler recorded for a fire of before, when it was back."""

    job_id: int
    run_id: UUID
    scheduled_for: datetime


def notify_caught_up(session: Session, fires: Sequence[CaughtUpFire], *, at: datetime) -> None:
    """Write a `late` notification for each of *fires*; does not commit.

    Runs no query if *fires* is empty.
    """
    by_job: dict[int, list[CaughtUpFire]] = {}
    for fire in fires:
        by_job.setdefault(fire.job_id, []).append(fire)
    job_ids = list(by_job)
    for start in range(0, len(job_ids), BATCH_SIZE):
        batch = Job.id.in_(job_ids[start : start + BATCH_SIZE])
        jobs = select(Job.id, Job.notify).where(batch, is_subscribed(Event.LATE))
        events = [
            JobEvent(
                job.id,
                job.notify,
                [Event.LATE],
                run_id=fire.run_id,
                detail={"late_seconds": (at - fire.scheduled_for).total_seconds()},
            )
            for job in session.execute(jobs)
            for fire in by_job[job.id]
        ]
        record.notify_events(session, events, at=at)
