"""What people do to jobs: create, change, pause, resume and delete them.

Nothing here makes a job run at once (invariant 11): the next fire is always worked
out from the instant of the change, strictly later than it.
"""

from datetime import datetime
from typing import Literal

from celery import Celery
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, tag_limit
from jobs_app.core.errors import Conflict, NotFound, StaleVersion
from jobs_app.core.states import CatchupPolicy, JobState, RunState
from jobs_app.db import run_indexes
from jobs_app.db.engine import reader_of
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.runs import PrunedRuns, Run
from jobs_app.jobs import pause_end, revisions
from jobs_app.jobs.definition import follow_schedule
from jobs_app.jobs.document import Definition
from jobs_app.jobs.write import NewJob, Replacement, mark_deleted, name_taken
from jobs_app.notifications import history, record
from jobs_app.runs import cancel, fires
from jobs_app.schedules import union as schedules
from jobs_app.schedules.schedule import Fire

OnMissed = Literal["skip", "last", "all"]


def create(
    session: Session,
    definition: Definition,
    *,
    app: Celery,
    by: str,
    at: datetime,
    is_paused: bool = False,
    note: str | None = None,
) -> Job:
    """Store a new job and return it; its first fire is later than *at*.

    With *is_paused* it has none until somebody resumes it. *note* is for its history.
    Raises InvalidInput with one entry a field, Conflict (`name_taken`).
    """
    with reader_of(session) as reader:
        new = NewJob.checked(reader, definition, app=app, at=at)
    job = new.write(session, by=by, at=at, is_paused=is_paused, note=note)
    session.commit()
    return job


def change(
    session: Session,
    job: Job,
    definition: Definition,
    *,
    version: int | None,
    app: Celery,
    by: str,
    at: datetime,
    restored: int | None = None,
    note: str | None = None,
) -> Job:
    """Replace what *job* says, if its version is still *version* (None: whichever it is).

    Its next fire is worked out anew from *at* when the schedule has changed. Runs
    that are queued already keep what they were queued with. *restored* is the revision that
    it restores, *note* is for its history. Raises InvalidInput, Conflict (`name_taken`),
    StaleVersion.
    """
    expect_version(job, version)
    while True:
        # Checked before the lock: validators of users take their time, and others write.
        with reader_of(session) as reader:
            new = Replacement.checked(reader, job, definition, app=app, at=at)
        job = lock(session, job, version)
        if job.version == new.version:
            break
        unlock(session, job)
    new.write(session, job, by=by, at=at, restored=restored, note=note)
    session.commit()
    return job


def next_fires(
    job: Job, *, after: datetime, count: int, until: datetime | None = None
) -> list[Fire]:
    """Return the fires that *job* will run at, in (after, until].

    None while it is not active; those after the end of its pause, if that has an end.
    """
    schedule = schedule_of(job)
    if job.state is JobState.PAUSED and job.paused_until is not None:
        after = max(after, job.paused_until)
    elif job.state is not JobState.ACTIVE:
        return []
    if schedule is None:
        return []
    if job.max_runs is not None:
        count = min(count, max(job.max_runs - job.runs_started, 0))
    return schedules.preview(schedule, after=after, count=count, until=until)


def pause(
    session: Session,
    job: Job,
    *,
    reason: str | None,
    by: str,
    at: datetime,
    until: datetime | None = None,
) -> Job:
    """Stop following the schedule of *job*, up to *until* (None: until somebody resumes it).

    Pausing a paused job changes nothing, but for another end if *until* names one.
    Raises InvalidInput if *until* has passed, Conflict (`job_ended`).
    """
    pause_end.check_end(until, at=at)
    job = lock(session, job, None)
    if job.state is JobState.PAUSED:
        if until is not None and until != job.paused_until:
            return pause_end.change_end(session, job, until, by=by, at=at)
        unlock(session, job)
        return job
    fires.record_before_change(session, job, at=at)
    if job.state is JobState.ENDED:
        session.rollback()
        raise Conflict(f"The schedule of {job.name!r} has ended.", code="job_ended")
    job.state, job.paused_at, job.paused_by, job.paused_reason = JobState.PAUSED, at, by, reason
    job.paused_until = until
    job.next_fire_at = job.next_due_at = None
    job.updated_at = at
    job.version += 1
    detail = pause_end.end_detail(until)
    audit.note(session, "pause", by=by, at=at, job_id=job.id, reason=reason, **detail)
    record.notify_paused(session, job, by=by, reason=reason, at=at)
    session.commit()
    return job


def resume(
    session: Session, job: Job, *, on_missed: OnMissed = "skip", by: str, at: datetime
) -> Job:
    """Follow the schedule of *job* again; what came due meanwhile is left out.

    With `on_missed` "last" or "all" the fires of the pause are caught up: they
    become due now, and the next tick treats them by that policy, whatever the
    job's own says. Resuming an active job changes nothing.
    """
    job = lock(session, job, None)
    if job.state is not JobState.PAUSED:
        unlock(session, job)
        return job
    paused_at = job.paused_at
    pause_end.clear_pause(job)
    if on_missed != "skip" and paused_at is not None:
        fires.catch_up(session, job, CatchupPolicy(on_missed), since=paused_at, at=at)
    # After the catch-up: it may use up `max_runs`.
    follow_schedule(job, at=at)
    job.updated_at = at
    job.version += 1
    audit.note(session, "resume", by=by, at=at, job_id=job.id, on_missed=on_missed)
    session.commit()
    return job


def remove(
    session: Session,
    job: Job,
    *,
    version: int | None,
    by: str,
    at: datetime,
    to_purge: bool = False,
) -> Job:
    """Delete *job*: its name is free again, its history stays, what was queued is cancelled.

    With `to_purge`, raises Conflict (`still_running`) while a run of it has not ended,
    and deletes nothing. Raises StaleVersion, NotFound.
    """
    job = lock(session, job, version)
    if to_purge:
        _refuse_if_running(session, job)
    mark_deleted(session, job, by=by, at=at)
    cancel.cancel_unstarted(session, job.id, by=by, at=at)
    return job


#: Runs that one transaction of a purge deletes.
PURGE_BATCH = 1000


def purge(session: Session, job: Job, *, by: str, at: datetime) -> None:
    """Delete a removed job's history and its row; what still runs keeps the row until it ends.

    Raises Conflict (`still_running`) if a run of it has not ended.
    """
    _refuse_if_running(session, job)
    batch = select(Run.id).where(Run.job_id == job.id).limit(PURGE_BATCH)
    while ids := list(session.scalars(batch)):
        cancel.purge(session, ids)
        session.commit()
    session.execute(delete(PrunedRuns).where(PrunedRuns.job_id == job.id))
    history.delete_for_job(session, job.id)
    revisions.delete_for_job(session, job.id)
    audit.note(session, "purge", by=by, at=at, job_id=job.id, name=job.name)
    session.delete(session.merge(job))
    session.commit()


def _refuse_if_running(session: Session, job: Job) -> None:
    is_running = (run_indexes.active_of_job(job.id), Run.state == RunState.RUNNING)
    if session.scalars(select(Run.id).where(*is_running).limit(1)).first() is not None:
        name = job.name
        session.rollback()
        raise Conflict(f"A run of {name!r} has not ended yet.", code="still_running")


def get(session: Session, name: str) -> Job:
    """Return the living job called *name*; raises NotFound with the nearest name."""
    job = session.scalars(select(Job).where(Job.name == name, Job.deleted_at.is_(None))).first()
    if job is None:
        raise NotFound(f"There is no job {name!r}.", code="job_not_found")
    return job


def lock(session: Session, job: Job, version: int | None = None) -> Job:
    """Return the row of *job*, held until the commit, if its version is *version* (None: any).

    Raises NotFound if it was deleted, StaleVersion.
    """
    locked = session.scalars(
        select(Job)
        .where(Job.id == job.id, Job.deleted_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if locked is None:
        session.rollback()
        raise NotFound(f"There is no job {job.name!r}.", code="job_not_found")
    try:
        expect_version(locked, version)
    except StaleVersion:
        session.rollback()
        raise
    return locked


def unlock(session: Session, job: Job) -> None:
    """End the transaction that locked *job*, which stays readable, and write nothing."""
    # Else the rollback would forget its columns, and reading them would lock again.
    session.expunge(job)
    session.rollback()


def expect_version(job: Job | None, version: int | None) -> None:
    if job is not None and version is not None and job.version != version:
        raise StaleVersion(f"The job is at version {job.version}, not {version}: read it again.")


def refuse_taken_name(session: Session, name: str) -> None:
    living = select(Job.id).where(Job.name == name, Job.deleted_at.is_(None))
    # Of all jobs: a name is taken by jobs that the caller does not see, too.
    if session.scalars(living, execution_options=tag_limit.ALL_JOBS).first() is not None:
        raise name_taken(name)
