"""Shows the effect of a change before it is made: nothing here is stored."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from celery import Celery
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from jobs_app.core.states import CatchupPolicy, JobState, RunState, Trigger
from jobs_app.core.text import counted
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.jobs.definition import (
    check,
    columns,
    completed,
    definition_of,
    follow_schedule,
    records_due_fires,
    redefine,
    watch,
)
from jobs_app.jobs.document import Definition
from jobs_app.jobs.service import (
    OnMissed,
    expect_version,
    next_fires,
    refuse_taken_name,
)
from jobs_app.jobs.warnings import warnings_for
from jobs_app.runs import fires, job_groups
from jobs_app.runs.job_groups import GroupPlan
from jobs_app.schedules import union as schedules
from jobs_app.schedules import warnings
from jobs_app.schedules.schedule import Fire

_COLUMNS = tuple(attribute.key for attribute in inspect(Job).column_attrs)


@dataclass(frozen=True, slots=True)
class DryRun:
    """The effect of a change; `job` belongs to no session.

    `schedule_warnings` are about the schedule, `job_warnings` about all else. `recorded_runs`
    counts the rows of fires that the change would record, by state: before an edit those that
    are due, at a resume the missed fires of the pause. `catchup_runs` counts those of them that
    would run although they are late, `cancelled_runs` the runs that would give way to them.
    """

    job: Job
    definition: Definition
    fires_before: list[Fire]
    fires_after: list[Fire]
    schedule_warnings: list[str]
    job_warnings: list[str]
    recorded_runs: dict[RunState, int]
    catchup_runs: int
    cancelled_runs: int

    @property
    def would_run_now(self) -> bool:
        """Whether a run would start as soon as a worker takes it."""
        return RunState.QUEUED in self.recorded_runs


#: Fires that a dry run lists, before and after the change.
MOST_FIRES = 10


def dry_run_change(
    session: Session,
    definition: Definition,
    *,
    job: Job | None,
    version: int | None,
    app: Celery,
    at: datetime,
) -> DryRun:
    """Return the effect of `create` (*job* is None) or of `change`; store nothing.

    Raises the errors of the change itself.
    """
    before = None if job is None else definition_of(job)
    expect_version(job, version)
    definition = completed(definition, before=before, at=at)
    check(session, definition, app=app, now=at, before=before)
    if before is None or before.name != definition.name:
        refuse_taken_name(session, definition.name)
    return effect_of_save(session, definition, job=job, app=app, at=at)


def effect_of_save(
    session: Session, definition: Definition, *, job: Job | None, app: Celery, at: datetime
) -> DryRun:
    """Return the effect of saving *definition*, which is complete and checked, over *job*."""
    before = None if job is None else definition_of(job)
    if job is None or before is None:
        preview = Job(created_at=at, updated_at=at, version=1, **columns(definition))
        preview.state, preview.runs_started = JobState.ACTIVE, 0
        watch(preview, at=at)
        follow_schedule(preview, at=at)
        return _effect(session, job, preview, definition, app=app, at=at)
    preview, planned = _copy(job), None
    if records_due_fires(before, definition):
        planned = fires.plan_before_change(session, job, at=at)
    if planned is not None:
        job_groups.move(preview, planned)
    redefine(preview, definition, before=before, at=at)
    return _effect(session, job, preview, definition, planned, app=app, at=at)


def dry_run_resume(
    session: Session,
    job: Job,
    *,
    on_missed: OnMissed = "skip",
    with_arguments: bool = True,
    app: Celery,
    at: datetime,
) -> DryRun:
    """Return the effect of `resume`; store nothing.

    Without *with_arguments* no warning quotes the arguments of the job.
    """
    resumed, planned = _copy(job), None
    if job.state is JobState.PAUSED:
        resumed.state, resumed.version, resumed.updated_at = JobState.ACTIVE, job.version + 1, at
        resumed.paused_at = resumed.paused_by = None
        resumed.paused_reason = resumed.paused_until = None
        if on_missed != "skip" and job.paused_at is not None:
            policy = CatchupPolicy(on_missed)
            planned = fires.plan_catch_up(session, job, policy, since=job.paused_at, at=at)
            resumed.runs_started += len(fires.new_rows(session, planned))
        follow_schedule(resumed, at=at)
    effect = _effect(session, job, resumed, definition_of(job), planned, app=app, at=at)
    if with_arguments:
        return effect
    (shown,) = warnings_for(session, [effect.definition], app=app, with_arguments=False)
    return replace(effect, job_warnings=shown)


def _copy(job: Job) -> Job:
    """Return a copy of *job* that belongs to no session."""
    return Job(**{name: getattr(job, name) for name in _COLUMNS})


def _effect(
    session: Session,
    before: Job | None,
    after: Job,
    definition: Definition,
    planned: GroupPlan | None = None,
    *,
    app: Celery,
    at: datetime,
) -> DryRun:
    """Compare a job with what it would become; *planned* are the fires to record before."""
    rows = [] if planned is None else fires.new_rows(session, planned)
    return DryRun(
        job=after,
        definition=definition,
        fires_before=[] if before is None else next_fires(before, after=at, count=MOST_FIRES),
        fires_after=next_fires(after, after=at, count=MOST_FIRES),
        schedule_warnings=_schedule_warnings(session, after, at=at),
        job_warnings=warnings_for(session, [definition], app=app)[0],
        recorded_runs=dict(Counter(row.state for row in rows)),
        catchup_runs=sum(row.is_start and row.trigger is Trigger.CATCHUP for row in rows),
        cancelled_runs=0 if planned is None else planned.cancelled_runs,
    )


#: Warn when at least this many other jobs are due in the same minute.
MANY_JOBS = 20


def _schedule_warnings(session: Session, job: Job, *, at: datetime) -> list[str]:
    schedule = schedule_of(job)
    if schedule is None:
        return []
    messages = warnings.warnings(schedule, now=at)
    if job.next_due_at is None or job.next_fire_at is None:
        return messages
    minute = job.next_due_at.replace(second=0, microsecond=0)
    same_minute = select(func.count()).where(
        Job.next_due_at >= minute, Job.next_due_at < minute + timedelta(minutes=1)
    )
    if job.id is not None:  # a new job has no id yet
        same_minute = same_minute.where(Job.id != job.id)
    others = session.scalars(same_minute).one()
    if others >= MANY_JOBS:
        (fire,) = schedules.preview(
            schedule, after=job.next_fire_at - timedelta(microseconds=1), count=1
        )
        messages.append(
            f"{counted(others, 'other job')} are due in the same minute, {fire.local:%H:%M}:"
            " H in place of the minute, or jitter_seconds, would spread them."
        )
    return messages
