"""Notifications, sent and pending: read for lists, and pruned when they are old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import Row, Select, delete, select
from sqlalchemy.orm import Session

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.columns import first_id_at
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.processes import SchedulerProcess

#: How long notifications are kept.
RETENTION = timedelta(days=30)

#: Rows that one statement deletes.
PRUNE_BATCH_SIZE = 1000

#: A scheduler that has not ticked for this long sends nothing, seconds.
SENDER_SILENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class NotificationFilter:
    """Conditions of a list; None, or (), leaves one out.

    `job` also finds those of deleted jobs of that name.
    """

    job: str | None = None
    channel: str | None = None
    run_id: UUID | None = None
    state: tuple[NotificationState, ...] = ()
    event: tuple[Event, ...] = ()


#: A notification with the name of its job, as `Notification` and `job_name`.
NotificationWithJob: TypeAlias = "Row[Notification, str]"


def page(
    session: Session, conditions: NotificationFilter, *, before: UUID | None, limit: int
) -> Sequence[NotificationWithJob]:
    """Return notifications, newest first, older than *before*."""
    statement = _select().order_by(Notification.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Notification.id < before)
    if conditions.job is not None:
        jobs = select(Job.id).where(Job.name == conditions.job)
        statement = statement.where(Notification.job_id.in_(jobs))
    for column, value in (
        (Notification.channel, conditions.channel),
        (Notification.run_id, conditions.run_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if conditions.state:
        statement = statement.where(Notification.state.in_(conditions.state))
    if conditions.event:
        statement = statement.where(Notification.event.in_(conditions.event))
    return session.execute(statement).all()


def get(session: Session, notification_id: UUID) -> "NotificationWithJob | None":
    """Return one notification; None if there is none."""
    return session.execute(_select().where(Notification.id == notification_id)).one_or_none()


def _select() -> "Select[Notification, str]":
    return select(Notification, Job.name.label("job_name")).outerjoin(
        Job, Job.id == Notification.job_id
    )


def has_sender(session: Session, *, at: datetime) -> bool:
    """Tell whether a scheduler has ticked lately: only schedulers send."""
    is_alive = SchedulerProcess.ticked_at > at - timedelta(seconds=SENDER_SILENCE_SECONDS)
    return session.scalars(select(SchedulerProcess.id).where(is_alive).limit(1)).first() is not None


def delete_for_job(session: Session, job_id: int) -> None:
    """Delete the notifications of a job, for a purge; does not commit."""
    session.execute(delete(Notification).where(Notification.job_id == job_id))


def prune(session: Session, *, at: datetime) -> int:
    """Delete a batch of notifications older than `RETENTION`; return how many. Does not commit."""
    old = (
        select(Notification.id)
        .where(
            Notification.id < first_id_at(at - RETENTION),
            Notification.state != NotificationState.PENDING,
        )
        .limit(PRUNE_BATCH_SIZE)
    )
    ids = list(session.scalars(old))
    if ids:
        session.execute(delete(Notification).where(Notification.id.in_(ids)))
    return len(ids)
