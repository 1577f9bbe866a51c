"""What a change would do, before it is made: nothing here is stored."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from celery import Celery
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.core.states import CatchupPolicy, JobState, RunState
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.jobs.definition import Definition, check, columns, completed, definition_of
from jobs_app.jobs.service import (
    OnMissed,
    expect_version,
    follow_schedule,
    next_fires,
    refuse_taken_name,
)
from jobs_app.jobs.warnings import of
from jobs_app.runs import fires
from jobs_app.runs.planning import PlannedRun
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules import warnings as schedule_warnings
from jobs_app.schedules.schedule import Fire

_COLUMNS = tuple(column.key for column in Job.__table__.columns)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a change would do; `job` belongs to no session.

    `warnings` are about the schedule, `caveats` about who would run it. `catchup_runs`
    counts the fires of a pause that would be run, `starts_now` those of them that would
    not wait for another run.
    """

    job: Job
    definition: Definition
    fires_before: list[Fire]
    fires_after: list[Fire]
    warnings: list[str]
    caveats: list[str]
    catchup_runs: int = 0
    starts_now: int = 0


#: Fires that a rehearsal shows, before and after.
REHEARSED_FIRES = 10


def rehearse(
    session: Session,
    definition: Definition,
    *,
    job: Job | None,
    version: int | None,
    app: Celery,
    at: datetime,
) -> Rehearsal:
    """Tell what `create` (job is None) or `change` would do; nothing is stored.

    Raises what they raise.
    """
    before = None if job is None else definition_of(job)
    expect_version(job, version)
    definition = completed(definition, anchor_at=None if job is None else job.anchor_at, at=at)
    check(session, definition, app=app, now=at, before=before)
    if before is None or before.name != definition.name:
        refuse_taken_name(session, definition.name)
    rehearsed = Job(created_at=at, updated_at=at, version=1, **columns(definition))
    rehearsed.state, rehearsed.runs_started = JobState.ACTIVE, 0
    if job is not None:
        rehearsed.id, rehearsed.version, rehearsed.created_at = (
            job.id,
            job.version + 1,
            job.created_at,
        )
        rehearsed.runs_started = job.runs_started
        if job.state is JobState.PAUSED:
            rehearsed.state = JobState.PAUSED
            rehearsed.paused_at, rehearsed.paused_by = job.paused_at, job.paused_by
            rehearsed.paused_reason = job.paused_reason
    follow_schedule(rehearsed, at=at)
    return Rehearsal(
        job=rehearsed,
        definition=definition,
        fires_before=[] if job is None else next_fires(job, after=at, count=REHEARSED_FIRES),
        fires_after=next_fires(rehearsed, after=at, count=REHEARSED_FIRES),
        warnings=_warnings(session, rehearsed, at=at),
        caveats=of(session, [definition], app=app)[0],
    )


def rehearse_resume(
    session: Session, job: Job, *, on_missed: OnMissed = "skip", app: Celery, at: datetime
) -> Rehearsal:
    """Tell what `resume` would do; nothing is stored."""
    definition = definition_of(job)
    plain = {name: getattr(job, name) for name in _COLUMNS}
    resumed = Job(**plain)
    planned: tuple[PlannedRun, ...] = ()
    if job.state is JobState.PAUSED:
        resumed.state, resumed.version, resumed.updated_at = JobState.ACTIVE, job.version + 1, at
        resumed.paused_at = resumed.paused_by = resumed.paused_reason = None
        follow_schedule(resumed, at=at)
        if on_missed != "skip" and job.paused_at is not None:
            policy = CatchupPolicy(on_missed)
            planned = fires.plan_catch_up(session, job, policy, since=job.paused_at, at=at).runs
    return Rehearsal(
        job=resumed,
        definition=definition,
        fires_before=next_fires(job, after=at, count=REHEARSED_FIRES),
        fires_after=next_fires(resumed, after=at, count=REHEARSED_FIRES),
        warnings=_warnings(session, resumed, at=at),
        caveats=of(session, [definition], app=app)[0],
        catchup_runs=len(planned),
        starts_now=sum(row.state is RunState.QUEUED for row in planned),
    )


#: Other jobs that are due in the same minute as a rehearsed one, from which on it is warned of.
CROWD = 20


def _warnings(session: Session, job: Job, *, at: datetime) -> list[str]:
    schedule = schedule_of(job)
    if schedule is None:
        return []
    warnings = schedule_warnings.warnings(schedule, now=at)
    if job.next_due_at is None or job.next_fire_at is None:
        return warnings
    minute = job.next_due_at.replace(second=0, microsecond=0)
    crowd = select(func.count()).where(
        Job.next_due_at >= minute, Job.next_due_at < minute + timedelta(minutes=1)
    )
    if job.id is not None:  # a job that is still to be created has none
        crowd = crowd.where(Job.id != job.id)
    others = session.scalars(crowd).one()
    if others >= CROWD:
        (fire,) = schedules.preview(
            schedule, after=job.next_fire_at - timedelta(microseconds=1), count=1
        )
        warnings.append(
            f"{others} other jobs are due in the same minute, {fire.local:%H:%M}: H in place of"
            " the minute, or jitter_seconds, would spread them."
        )
    return warnings
