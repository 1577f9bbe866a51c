"""The starts of jobs-app, at which the jobs with `on: start` fire.

`up` gives its start an id, which its scheduler marks. A scheduler that is started anew, by its
supervisor or by `--reload`, has the same id, and marks nothing. A scheduler without `up` marks a
start if no other scheduler is alive, nor has marked one just now. So several that start together,
on one machine or on many, are one start.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.states import JobState
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job, has_start, schedule_of
from jobs_app.db.models.processes import Installation, SchedulerProcess, Start
from jobs_app.schedules import union as schedules

#: A scheduler that ticked so long ago is taken for alive, and a start so long ago for this one.
ALIVE = timedelta(seconds=30)

#: Starts that are kept, the newest ones: that of an `up` which runs must be among them.
MOST_STARTS = 1000


def mark(session: Session, start_id: UUID | None, *, at: datetime) -> list[Job]:
    """Mark the start *start_id* of `up` (None: of a scheduler without it), and commit.

    Return the jobs that fire on it; they are due at *at*, and the next tick records their fires.
    A start that is marked already, or is none, changes nothing.
    """
    # One process at a time: it sees what the one before has marked.
    session.execute(select(Installation.number).with_for_update()).all()
    if start_id is None and _is_running(session, at=at):
        session.rollback()
        return []
    if not _insert(session, start_id or new_run_id(), at=at):
        session.rollback()
        return []
    fires = (has_start(), Job.state == JobState.ACTIVE, Job.deleted_at.is_(None))
    # Locked whatever their next fires are: a tick that plans without this start ends before it.
    jobs = session.scalars(
        select(Job)
        .where(*fires)
        .order_by(Job.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    due = [job for job in jobs if job.next_fire_at is None or job.next_fire_at > at]
    for job in due:
        _fire(job, at=at)
    session.commit()
    return due


def _is_running(session: Session, *, at: datetime) -> bool:
    """Tell whether jobs-app has started before: a scheduler is alive, or has just marked it."""
    alive = select(SchedulerProcess.id).where(SchedulerProcess.ticked_at > at - ALIVE).limit(1)
    marked = select(Start.id).where(Start.at > at - ALIVE).limit(1)
    return any(session.scalars(one).first() is not None for one in (alive, marked))


def _insert(session: Session, start_id: UUID, *, at: datetime) -> bool:
    """Insert a start; return False if it is marked already."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    row = dialect.insert(Start).values(id=start_id, at=at).on_conflict_do_nothing()
    is_new = session.scalars(row.returning(Start.id)).first() is not None
    if is_new:
        oldest = select(Start.at).order_by(Start.at.desc()).offset(MOST_STARTS).limit(1)
        session.execute(delete(Start).where(Start.at <= oldest.scalar_subquery()))
    return is_new


def _fire(job: Job, *, at: datetime) -> None:
    """Make a start at *at* the next fire of the locked *job*."""
    schedule = schedule_of(job)
    if schedule is None:
        return
    job.next_fire_at = at
    job.next_due_at = schedules.due_at(schedules.with_starts(schedule, [at]), at)
