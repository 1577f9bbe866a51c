"""Runs that people start: of a job, of a task without one, or to repeat a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from celery import Celery
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import Conflict, FieldError, refuse
from jobs_app.core.field_spec import grouped
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import FINAL, OverlapPolicy, RunState, Trigger
from jobs_app.db import run_indexes
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import reader_of
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.definition import queue_errors
from jobs_app.jobs.document import (
    ConcurrencyKey,
    ConcurrencyLimit,
    Kwargs,
    Note,
    Priority,
    QueueName,
    TaskName,
)
from jobs_app.runs import insert, overlap, planning
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import message_of
from jobs_app.secrets import store
from jobs_app.tasks import registry


@dataclass(frozen=True, slots=True)
class Started:
    """A run on record, and its message; None while the run waits for another one."""

    run: Run
    message: Message | None


@dataclass(frozen=True, slots=True)
class TaskStart:
    """The definition of a run without a job."""

    GROUPS: ClassVar[Mapping[str, type]] = {"limits": RunLimits}

    task: TaskName
    kwargs: Kwargs = field(default_factory=dict)
    queue: QueueName = "default"
    priority: Priority = 5
    concurrency_key: ConcurrencyKey | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    note: Note | None = None


def task_start(document: Mapping[str, Any], app: Celery) -> TaskStart:
    """Return the run that *document*, of the API, describes.

    The fields that it leaves out are as the task in *app* declares them, or else the defaults.
    """
    declared = registry.declaration(app, document["task"])
    return TaskStart(**grouped(TaskStart, declared.completed(document)))


@dataclass(frozen=True, slots=True)
class RepeatRequest:
    """A request to repeat a run; *kwargs* replace those of the run with the same names."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    overlap_policy: OverlapPolicy | None = None


def start_job(
    session: Session,
    job: Job,
    *,
    app: Celery,
    by: str,
    at: datetime,
    kwargs: dict[str, Any] | None = None,
    note: str | None = None,
    overlap_policy: OverlapPolicy | None = None,
    guard: Callable[[Job], None] = lambda job: None,
) -> Started:
    """Record a run of *job* that starts as soon as a worker takes it.

    *kwargs* replace those of the job with the same names. A paused job can be
    started by hand. *guard* raises if the caller may not start it like this. Raises Conflict
    (`overlap`) if its policy says no, InvalidInput, NotFound if the job was deleted meanwhile.
    """
    while True:
        # Checked before the lock: validators of users take their time, and others write.
        guard(job)
        arguments, checked_version = job.kwargs | (kwargs or {}), job.version
        _check(session, app, job.task, arguments)
        # The scheduler and other starts of this job wait here, or pass it by.
        job = service.lock(session, job)
        if job.version == checked_version:
            break
        service.unlock(session, job)
    origin = {"trigger": Trigger.MANUAL, "triggered_by": by, "kwargs": arguments, "note": note}
    new_run = _placed(session, job, overlap_policy, at=at, **origin)
    return _record(session, new_run, by=by, at=at)


def repeat(
    session: Session,
    run: Run,
    request: RepeatRequest,
    *,
    app: Celery,
    by: str,
    at: datetime,
    guard: Callable[[Job | None], None] = lambda job: None,
) -> Started:
    """Record a new run that does what *run* did, or was to do, and names it.

    The task and the arguments are those of *run*; its job says how it is run, as it
    is now: queue, limits, retries, overlap policy. Without a job, or if it was deleted,
    these too are as *run* had them. *guard* gets that job, and raises if the caller may not
    repeat the run like this. Raises Conflict (`run_not_over`, `overlap`), InvalidInput.
    """
    if run.state not in FINAL:
        raise Conflict(
            f"The run has not ended: it is {run.state}. Cancel it first, or wait for its end.",
            code="run_not_over",
        )
    job = run.job if run.job is not None and run.job.deleted_at is None else None
    arguments = run.kwargs | request.kwargs
    while True:
        guard(job)
        _check(session, app, run.task, arguments)
        if job is None:
            break
        checked_version = job.version
        job = service.lock(session, job)
        if job.version == checked_version:
            break
        service.unlock(session, job)
    origin = {
        "trigger": Trigger.RETRY_OF,
        "triggered_by": by,
        "kwargs": arguments,
        "note": request.note,
        "retry_of": run.id,
    }
    if job is None:
        _refuse_overlap_policy(session, request)
        new_run = _like(run, at=at, **origin)
    else:
        new_run = _placed(session, job, request.overlap_policy, at=at, **origin)
        new_run = replace(new_run, task=run.task)
    return _record(session, new_run, by=by, at=at, retry_of=str(run.id))


def _refuse_overlap_policy(session: Session, request: RepeatRequest) -> None:
    if request.overlap_policy is None:
        return
    session.rollback()
    detail = "overlap_policy is for runs of a job; the job of this run is gone, or it had none."
    refuse([FieldError("/overlap_policy", "no_job", detail)])


def _like(run: Run, *, at: datetime, **origin: Any) -> insert.NewRun:
    """Return a run without a job that is run as *run* was."""
    return insert.NewRun(
        id=new_run_id(),
        job_id=None,
        state=RunState.QUEUED,
        created_at=at,
        max_attempts=run.max_attempts,
        **(insert.work_of(run) | origin),
    )


def _placed(
    session: Session, job: Job, overlap_policy: OverlapPolicy | None, *, at: datetime, **origin: Any
) -> insert.NewRun:
    """Return a run of *job*, which is locked, in the place that its policy gives it.

    Others give way to it if the policy says so. Raises Conflict (`overlap`).
    """
    chosen = overlap_policy or job.overlap_policy
    decision = _decide(session, job, chosen)
    new_run = insert.new_run(
        job, run_id=new_run_id(), state=decision.state, at=at, policy=chosen, **origin
    )
    if decision.cancel is not None:
        overlap.make_room(session, job.id, decision.cancel, drop_waiting=True, at=at)
    return new_run


def start_task(
    session: Session, start: TaskStart, *, app: Celery, by: str, at: datetime
) -> Started:
    """Record a run of a task that no job names. Raises InvalidInput.

    A concurrency key without a limit means one run at a time, as for a job.
    """
    if start.concurrency_key is not None and start.concurrency_limit is None:
        start = replace(start, concurrency_limit=1)
    errors = _argument_errors(session, app, start.task, start.kwargs)
    errors += queue_errors(start.queue, start.concurrency_key, start.concurrency_limit)
    refuse(errors)
    new_run = insert.NewRun(
        id=new_run_id(),
        job_id=None,
        state=RunState.QUEUED,
        trigger=Trigger.MANUAL,
        triggered_by=by,
        created_at=at,
        **{item.name: getattr(start, item.name) for item in fields(start)},
    )
    return _record(session, new_run, by=by, at=at)


def _check(session: Session, app: Celery, task: str, kwargs: dict[str, Any]) -> None:
    errors = _argument_errors(session, app, task, kwargs)
    if errors:
        session.rollback()
    refuse(errors)


def _argument_errors(
    session: Session, app: Celery, task: str, kwargs: dict[str, Any]
) -> list[FieldError]:
    """Return the errors of arguments; *session* is not used, so that nothing is locked."""
    with reader_of(session) as reader:
        return registry.check(app, task, kwargs) + store.check(reader, task, kwargs)


def _decide(session: Session, job: Job, chosen: OverlapPolicy) -> planning.Overlap:
    active = _first(session, run_indexes.active_of_job(job.id))
    waiting = _first(session, run_indexes.waiting_of_job(job.id))
    decision = planning.overlap(chosen, active is not None, 0 if waiting is None else 1)
    if decision.state is RunState.SKIPPED:
        session.rollback()
        raise Conflict(
            f"The run {active or waiting} of {job.name!r} has not ended,"
            f" and the overlap policy is {chosen}.",
            code="overlap",
        )
    return decision


def _first(session: Session, condition: ColumnElement[bool]) -> UUID | None:
    """Return some run that is so: the policy only asks whether there is one."""
    return session.scalars(select(Run.id).where(condition).limit(1)).first()


def _record(
    session: Session, new_run: insert.NewRun, *, by: str, at: datetime, **detail: str
) -> Started:
    insert.insert_runs(session, [new_run])
    audit.note(session, "start", by=by, at=at, job_id=new_run.job_id, run_id=new_run.id, **detail)
    session.commit()
    # Not by the session that wrote: it would lock the database again while the answer is made.
    with reader_of(session) as reader:
        run = reader.get_one(Run, new_run.id)
    return Started(run, message_of(run) if run.state is RunState.QUEUED else None)
