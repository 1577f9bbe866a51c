"""The end of a pause: who sets it, and the resume when it has come.

A job is resumed as of that end. So its next fire is the first one after it, however late the
janitor is; a late fire is treated as the policies of the job say.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import FieldError, refuse
from jobs_app.core.states import JobState
from jobs_app.core.text import rfc3339
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.definition import follow_schedule

#: The name in the audit of who resumes a job whose pause has ended.
SYSTEM = "jobs-app"


def check_end(until: datetime | None, *, at: datetime) -> None:
    """Raise InvalidInput unless *until* is later than *at*, or None."""
    if until is not None and until <= at:
        refuse([FieldError("/until", "in_the_past", "A pause must end in the future.")])


def change_end(session: Session, job: Job, until: datetime, *, by: str, at: datetime) -> Job:
    """Let the pause of the locked *job* end at *until*. Ends the lock."""
    job.paused_until = until
    job.updated_at = at
    job.version += 1
    audit.note(session, "pause", by=by, at=at, job_id=job.id, **end_detail(until))
    session.commit()
    return job


def end_detail(until: datetime | None) -> dict[str, Any]:
    """Return what the audit says of the end of a pause: nothing if it has none."""
    return {} if until is None else {"until": rfc3339(until)}


def clear_pause(job: Job) -> None:
    """Make the paused *job* active, with its failures counted anew."""
    job.state = JobState.ACTIVE
    job.paused_at = job.paused_by = job.paused_reason = job.paused_until = None
    # Counted anew for `pause_after_failures`; still there for whoever is told of a recovery.
    job.failures_carried += job.failures_in_a_row
    job.failures_in_a_row = 0


def has_ended(at: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that the pause of a job should have ended by *at*."""
    # `paused_until IS NOT NULL`, by which the partial index is chosen, follows from the second.
    return (Job.state == JobState.PAUSED, Job.paused_until <= at, Job.deleted_at.is_(None))


def ended_pauses(session: Session, *, at: datetime, limit: int = 100) -> list[int]:
    """Return the paused jobs whose pauses should have ended by *at*, the oldest end first."""
    ended = select(Job.id).where(*has_ended(at)).order_by(Job.paused_until, Job.id)
    return list(session.scalars(ended.limit(limit)))


def end_pause(session: Session, job_id: int, *, at: datetime) -> Job | None:
    """Resume a job if its pause should have ended by *at*, and return it; else None. Commits."""
    # Locked under the whole condition: somebody may have resumed it, or set a later end.
    job = session.scalars(
        select(Job)
        .where(Job.id == job_id, *has_ended(at))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    until = None if job is None else job.paused_until
    if job is None or until is None:
        session.rollback()
        return None
    clear_pause(job)
    follow_schedule(job, at=until)
    job.updated_at = at
    job.version += 1
    detail = end_detail(until)
    audit.note(session, "resume", by=SYSTEM, at=at, job_id=job.id, on_missed="skip", **detail)
    session.commit()
    return job
