"""What people do to jobs: create, change, pause, resume, delete and find them.

Nothing here makes a job run at once (invariant 11): the next fire is always worked
out from the instant of the change, strictly later than it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from celery import Celery
from sqlalchemy import String, cast, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from jobs_app import audit, catalog, fires, runs
from jobs_app import schedule as schedules
from jobs_app.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    InvalidSchedule,
    NotFound,
    StaleVersion,
)
from jobs_app.models import Job, Run
from jobs_app.policy import PlannedRun
from jobs_app.retry import RetryPolicy
from jobs_app.schedule import Fire, Schedule
from jobs_app.states import CatchupPolicy, JobState, OverlapPolicy, RunState

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,48}[a-z0-9])?")
QUEUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")

_NAME_RULE = "lower-case letters, digits, '.', '_' and '-', at most 100, no sign at either end"

OnMissed = Literal["skip", "last", "all"]

_COLUMNS = tuple(column.key for column in Job.__table__.columns)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a person says of a job; the rest of its row is bookkeeping.

    `schedule` is None for a job that is only started by hand. Its `seed` and, for
    an interval, a missing anchor are filled in by `create` and `change`.
    """

    name: str
    task: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    tags: tuple[str, ...] = ()
    schedule: Schedule | None = None
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    starting_deadline_seconds: int = 60
    catchup_policy: CatchupPolicy = CatchupPolicy.LAST
    catchup_window_seconds: int = 86_400
    catchup_max_runs: int = 50
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = 3600
    kill_grace_seconds: int = 10
    queue: str = "default"
    priority: int = 5
    max_runs: int | None = None
    pause_after_failures: int | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows; None leaves a condition out."""

    state: JobState | None = None
    tag: str | None = None
    queue: str | None = None
    q: str | None = None
    last_state: RunState | None = None


def definition_of(job: Job) -> Definition:
    """Return what a person said of *job*."""
    plain = {
        name: getattr(job, name)
        for name in Definition.__slots__
        if name not in {"schedule", "tags", "retry"}
    }
    return Definition(
        **plain,
        tags=tuple(job.tags),
        schedule=fires.schedule_of(job),
        retry=RetryPolicy.from_json(job.retry),
    )


def create(session: Session, definition: Definition, *, app: Celery, by: str, at: datetime) -> Job:
    """Store a new job and return it; its first fire is later than *at*.

    Raises InvalidInput with one entry a field, Conflict (`name_taken`).
    """
    definition = _completed(definition, anchor_at=None, at=at)
    _check(definition, app=app, now=at)
    job = Job(created_at=at, updated_at=at, version=1, **_columns(definition))
    job.state, job.runs_started = JobState.ACTIVE, 0
    _follow_schedule(job, at=at)
    session.add(job)
    _flush(session, job)
    audit.note(session, "create", by=by, at=at, job_id=job.id, after=described(definition))
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
) -> Job:
    """Replace what *job* says, if its version is still *version* (None: whichever it is).

    Its next fire is worked out anew from *at* when the schedule has changed. Runs
    that are queued already keep what they were queued with. Raises InvalidInput,
    Conflict (`name_taken`), StaleVersion.
    """
    job = _lock(session, job, version)
    before = definition_of(job)
    definition = _completed(definition, anchor_at=job.anchor_at, at=at)
    _check(definition, app=app, now=at, before=before)
    has_other_fires = (definition.schedule, definition.max_runs) != (
        before.schedule,
        before.max_runs,
    )
    if has_other_fires:
        fires.settle(session, job, at=at)
    for name, value in _columns(definition).items():
        setattr(job, name, value)
    if has_other_fires:
        if job.state is JobState.ENDED:
            job.state = JobState.ACTIVE
        _follow_schedule(job, at=at)
    job.updated_at = at
    job.version += 1
    _flush(session, job)
    audit.note(
        session,
        "change",
        by=by,
        at=at,
        job_id=job.id,
        before=described(before),
        after=described(definition),
    )
    session.commit()
    return job


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a change would do; `job` belongs to no session.

    `catchup_runs` counts the fires of a pause that would be run, `starts_now` those of
    them that would not wait for another run.
    """

    job: Job
    definition: Definition
    fires_before: list[Fire]
    fires_after: list[Fire]
    warnings: list[str]
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
    _expect_version(job, version)
    definition = _completed(definition, anchor_at=None if job is None else job.anchor_at, at=at)
    _check(definition, app=app, now=at, before=before)
    if before is None or before.name != definition.name:
        _refuse_taken_name(session, definition.name)
    rehearsed = Job(created_at=at, updated_at=at, version=1, **_columns(definition))
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
    _follow_schedule(rehearsed, at=at)
    return Rehearsal(
        job=rehearsed,
        definition=definition,
        fires_before=[] if job is None else next_fires(job, after=at, count=REHEARSED_FIRES),
        fires_after=next_fires(rehearsed, after=at, count=REHEARSED_FIRES),
        warnings=_warnings(session, rehearsed, at=at),
    )


def rehearse_resume(
    session: Session, job: Job, *, on_missed: OnMissed = "skip", at: datetime
) -> Rehearsal:
    """Tell what `resume` would do; nothing is stored."""
    definition = definition_of(job)
    plain = {name: getattr(job, name) for name in _COLUMNS}
    resumed = Job(**plain)
    planned: tuple[PlannedRun, ...] = ()
    if job.state is JobState.PAUSED:
        resumed.state, resumed.version, resumed.updated_at = JobState.ACTIVE, job.version + 1, at
        resumed.paused_at = resumed.paused_by = resumed.paused_reason = None
        _follow_schedule(resumed, at=at)
        if on_missed != "skip" and job.paused_at is not None:
            policy = CatchupPolicy(on_missed)
            planned = fires.plan_catch_up(session, job, policy, since=job.paused_at, at=at).runs
    return Rehearsal(
        job=resumed,
        definition=definition,
        fires_before=next_fires(job, after=at, count=REHEARSED_FIRES),
        fires_after=next_fires(resumed, after=at, count=REHEARSED_FIRES),
        warnings=_warnings(session, resumed, at=at),
        catchup_runs=len(planned),
        starts_now=sum(row.state is RunState.QUEUED for row in planned),
    )


#: Other jobs that are due in the same minute as a rehearsed one, from which on it is warned of.
CROWD = 20


def _warnings(session: Session, job: Job, *, at: datetime) -> list[str]:
    schedule = fires.schedule_of(job)
    if schedule is None:
        return []
    warnings = schedules.warnings(schedule, now=at)
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


def next_fires(
    job: Job, *, after: datetime, count: int, until: datetime | None = None
) -> list[Fire]:
    """Return the fires that *job* will run at, in (after, until]; none while it is not active."""
    schedule = fires.schedule_of(job)
    if schedule is None or job.state is not JobState.ACTIVE:
        return []
    if job.max_runs is not None:
        count = min(count, max(job.max_runs - job.runs_started, 0))
    return schedules.preview(schedule, after=after, count=count, until=until)


def pause(session: Session, job: Job, *, reason: str | None, by: str, at: datetime) -> Job:
    """Stop following the schedule of *job*; pausing a paused job changes nothing."""
    job = _lock(session, job, None)
    if job.state is JobState.PAUSED:
        session.rollback()
        return job
    fires.settle(session, job, at=at)
    if job.state is JobState.ENDED:
        session.rollback()
        raise Conflict(f"The schedule of {job.name!r} has ended.", code="job_ended")
    job.state, job.paused_at, job.paused_by, job.paused_reason = JobState.PAUSED, at, by, reason
    job.next_fire_at = job.next_due_at = None
    job.updated_at = at
    job.version += 1
    audit.note(session, "pause", by=by, at=at, job_id=job.id, reason=reason)
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
    job = _lock(session, job, None)
    if job.state is not JobState.PAUSED:
        session.rollback()
        return job
    paused_at = job.paused_at
    job.state = JobState.ACTIVE
    job.paused_at = job.paused_by = job.paused_reason = None
    job.failures_in_a_row = 0
    _follow_schedule(job, at=at)
    job.updated_at = at
    job.version += 1
    audit.note(session, "resume", by=by, at=at, job_id=job.id, on_missed=on_missed)
    if on_missed != "skip" and paused_at is not None:
        fires.catch_up(session, job, CatchupPolicy(on_missed), since=paused_at, at=at)
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
    job = _lock(session, job, version)
    if to_purge:
        _refuse_if_running(session, job)
    fires.settle(session, job, at=at)
    job.deleted_at, job.updated_at = at, at
    job.next_fire_at = job.next_due_at = None
    job.version += 1
    session.flush()
    runs.cancel_unstarted(session, job.id, by=by, reason="job_deleted", at=at)
    audit.note(session, "delete", by=by, at=at, job_id=job.id)
    session.commit()
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
        runs.purge(session, ids)
        session.commit()
    audit.note(session, "purge", by=by, at=at, job_id=job.id, name=job.name)
    session.delete(session.merge(job))
    session.commit()


def _refuse_if_running(session: Session, job: Job) -> None:
    is_running = select(Run.id).where(Run.job_id == job.id, Run.state == RunState.RUNNING).limit(1)
    if session.scalars(is_running).first() is not None:
        name = job.name
        session.rollback()
        raise Conflict(f"A run of {name!r} has not ended yet.", code="still_running")


def get(session: Session, name: str) -> Job:
    """Return the living job called *name*; raises NotFound with the nearest name."""
    job = session.scalars(select(Job).where(Job.name == name, Job.deleted_at.is_(None))).first()
    if job is None:
        raise NotFound(f"There is no job {name!r}.", code="job_not_found")
    return job


def page(session: Session, wanted: Filter, *, after: str | None, limit: int) -> list[Job]:
    """Return living jobs by name, those later than the name *after*."""
    statement = select(Job).where(Job.deleted_at.is_(None)).order_by(Job.name).limit(limit)
    if after is not None:
        statement = statement.where(Job.name > after)
    if wanted.state is not None:
        statement = statement.where(Job.state == wanted.state)
    if wanted.queue is not None:
        statement = statement.where(Job.queue == wanted.queue)
    if wanted.tag is not None:
        quoted = f'"{wanted.tag}"'
        statement = statement.where(cast(Job.tags, String).contains(quoted, autoescape=True))
    if wanted.q:
        q = wanted.q.lower()
        statement = statement.where(
            or_(
                Job.name.contains(q, autoescape=True),
                func.lower(Job.description).contains(q, autoescape=True),
                func.lower(Job.task).contains(q, autoescape=True),
            )
        )
    if wanted.last_state is not None:
        last = select(Run.state).where(Run.job_id == Job.id).order_by(Run.id.desc()).limit(1)
        statement = statement.where(last.scalar_subquery() == wanted.last_state)
    return list(session.scalars(statement))


def last_runs(session: Session, job_ids: Iterable[int]) -> dict[int, Run]:
    """Return the newest run of each of *job_ids* that has one."""
    other = aliased(Run)
    newest = (
        select(other.id)
        .where(other.job_id == Job.id)
        .order_by(other.id.desc())
        .limit(1)
        .correlate(Job)
        .scalar_subquery()
    )
    found = session.scalars(
        select(Run).join(Job, Run.id == newest).where(Job.id.in_(list(job_ids)))
    )
    return {run.job_id: run for run in found if run.job_id is not None}


def described(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the audit keeps it: no kwargs, they may hold secrets."""
    schedule = definition.schedule
    when = None
    if schedule is not None:
        when = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name in Schedule.__slots__
            if (value := getattr(schedule, name)) is not None and name != "seed"
        }
    plain = {
        name: getattr(definition, name)
        for name in Definition.__slots__
        if name not in {"kwargs", "schedule", "retry", "tags"}
    }
    return plain | {"tags": list(definition.tags), "schedule": when}


def _completed(definition: Definition, *, anchor_at: datetime | None, at: datetime) -> Definition:
    """Fill in the seed, and the anchor of an interval: it neither drifts nor restarts on edit."""
    schedule = definition.schedule
    if schedule is None:
        return definition
    schedule = replace(schedule, seed=definition.name)
    if schedule.interval_seconds is not None and schedule.anchor_at is None:
        # On the whole second: fires are easier to read.
        schedule = replace(schedule, anchor_at=anchor_at or at.replace(microsecond=0))
    return replace(definition, schedule=schedule)


def _check(
    definition: Definition, *, app: Celery, now: datetime, before: Definition | None = None
) -> None:
    """Raise InvalidInput with everything that is wrong with *definition*."""
    errors = list(_plain_errors(definition))
    if before is None or (before.task, before.kwargs) != (definition.task, definition.kwargs):
        errors += catalog.check(app, definition.task, definition.kwargs)
    # A job whose one instant has passed can still be renamed.
    is_new_schedule = before is None or definition.schedule != before.schedule
    if definition.schedule is not None and is_new_schedule:
        try:
            schedules.check(definition.schedule, now=now)
        except InvalidSchedule as error:
            errors += error.under("/schedule").errors
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors), errors=errors)


def _plain_errors(definition: Definition) -> Iterable[FieldError]:
    if not NAME.fullmatch(definition.name):
        shown = definition.name if len(definition.name) <= 60 else definition.name[:60] + "…"
        yield FieldError("/name", "invalid_name", f"The name {shown!r} is not: {_NAME_RULE}.")
    for index, tag in enumerate(definition.tags):
        if not TAG.fullmatch(tag):
            detail = f"The tag {tag[:60]!r} must be lower-case letters, digits, '.', '_' or '-'."
            yield FieldError(f"/tags/{index}", "invalid_tag", detail)
    if not QUEUE.fullmatch(definition.queue):
        detail = f"The queue {definition.queue[:60]!r} must be letters, digits, '.', '_' or '-'."
        yield FieldError("/queue", "invalid_queue", detail)
    soft, hard = definition.soft_time_limit_seconds, definition.time_limit_seconds
    if soft is not None and hard is not None and soft >= hard:
        detail = f"The soft limit of {soft} s must be below the time limit of {hard} s."
        yield FieldError("/soft_time_limit_seconds", "above_time_limit", detail)


def _columns(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the columns of a row."""
    columns = {
        name: getattr(definition, name)
        for name in Definition.__slots__
        if name not in {"schedule", "retry", "tags"}
    }
    retry = definition.retry
    schedule = definition.schedule or Schedule()
    when = {name: getattr(schedule, name) for name in Schedule.__slots__ if name != "seed"}
    return (
        columns
        | when
        | {
            "tags": list(definition.tags),
            "retry": {name: getattr(retry, name) for name in RetryPolicy.__slots__}
            | {"on": [str(state) for state in retry.on]},
        }
    )


def _follow_schedule(job: Job, *, at: datetime) -> None:
    """Set the next fire of *job*, later than *at*; without one an active job has ended."""
    job.next_fire_at = job.next_due_at = None
    schedule = fires.schedule_of(job)
    if job.state is not JobState.ACTIVE or schedule is None:
        return
    is_used_up = job.max_runs is not None and (job.runs_started or 0) >= job.max_runs
    following = None if is_used_up else schedules.next_fire(schedule, after=at)
    if following is None:
        job.state = JobState.ENDED
        return
    job.next_fire_at = following
    job.next_due_at = schedules.due_at(schedule, following)


def _lock(session: Session, job: Job, version: int | None) -> Job:
    """Return the row of *job*, held until the commit, if its version is *version*."""
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
        _expect_version(locked, version)
    except StaleVersion:
        session.rollback()
        raise
    return locked


def _expect_version(job: Job | None, version: int | None) -> None:
    if job is not None and version is not None and job.version != version:
        raise StaleVersion(f"The job is at version {job.version}, not {version}: read it again.")


def _name_taken(name: str) -> Conflict:
    taken = FieldError("/name", "name_taken", f"There is a job {name!r} already.")
    return Conflict(taken.detail, code="name_taken", errors=[taken])


def _refuse_taken_name(session: Session, name: str) -> None:
    living = select(Job.id).where(Job.name == name, Job.deleted_at.is_(None))
    if session.scalars(living).first() is not None:
        raise _name_taken(name)


def _flush(session: Session, job: Job) -> None:
    """Write *job*; a name that somebody else took first is a Conflict."""
    name = job.name
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        if "uq_jobs_living_name" in str(error.orig) or "jobs.name" in str(error.orig):
            raise _name_taken(name) from error
        raise
