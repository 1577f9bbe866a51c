"""The audit: who changed what, written in the same transaction as the change."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from jobs_app.accounts.tag_limit import ALL_JOBS
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job

#: The key of the Origin in `info` of a session.
_ORIGIN = "audit_origin"

#: Events that may be written before an older one is committed.
OPEN_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Origin:
    """The request behind a change: its account, token, address and id, and the way it came."""

    token_id: int | None
    remote_address: str | None
    person_id: int | None = None
    request_id: str | None = None
    via: str = "system"


def set_origin(session: Session, origin: Origin) -> None:
    """Let all further events of *session* have this origin."""
    session.info[_ORIGIN] = origin


def origin(session: Session) -> Origin:
    """Return the origin of the events of *session*."""
    known: Origin = session.info.get(_ORIGIN, Origin(None, None))
    return known


def note(
    session: Session,
    action: str,
    *,
    by: str,
    at: datetime,
    job_id: int | None = None,
    run_id: UUID | None = None,
    **detail: Any,
) -> None:
    """Add an event to the running transaction; it is committed with the change."""
    cause = origin(session)
    session.add(
        AuditEvent(
            at=at,
            actor=by,
            person_id=cause.person_id,
            request_id=cause.request_id,
            via=cause.via,
            token_id=cause.token_id,
            remote_address=cause.remote_address,
            action=action,
            job_id=job_id,
            run_id=run_id,
            detail=detail,
        )
    )


def job_names(session: Session, events: Iterable[AuditEvent]) -> dict[int, str]:
    """Return the names of the jobs that *events* are about, by their ids; purged jobs have none."""
    ids = {event.job_id for event in events if event.job_id is not None}
    rows = session.execute(select(Job.id, Job.name).where(Job.id.in_(ids)))
    return {row.id: row.name for row in rows}


def newest_event(session: Session) -> int:
    """Return the number of the newest event of all jobs; 0 if there is none."""
    newest = select(func.max(AuditEvent.id))
    return session.scalar(newest, execution_options=ALL_JOBS) or 0


def jobs_saved_after(event: int) -> Select[int | None]:
    """Return a subquery for the ids of the jobs that events later than *event* are about.

    To find every job that was saved since `newest_event`, pass that number less OPEN_EVENTS.
    """
    return select(AuditEvent.job_id).where(AuditEvent.id > event)


def page(
    session: Session,
    *,
    job_id: int | None,
    before: int | None,
    limit: int,
    actions: Collection[str] | None = None,
) -> list[AuditEvent]:
    """Return events, newest first, older than the event *before*.

    Only those of one job, and with one of *actions*; None leaves a condition out.
    """
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if job_id is not None:
        statement = statement.where(AuditEvent.job_id == job_id)
    if actions is not None:
        statement = statement.where(AuditEvent.action.in_(actions))
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return list(session.scalars(statement))
