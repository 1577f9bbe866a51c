"""The audit: who changed what, written in the same transaction as the change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.accounts import AuditEvent


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
    session.add(
        AuditEvent(at=at, actor=by, action=action, job_id=job_id, run_id=run_id, detail=detail)
    )


def page(
    session: Session, *, job_id: int | None, before: int | None, limit: int
) -> list[AuditEvent]:
    """Return events, newest first, older than the event *before*; of one job, or all of them."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if job_id is not None:
        statement = statement.where(AuditEvent.job_id == job_id)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return list(session.scalars(statement))
