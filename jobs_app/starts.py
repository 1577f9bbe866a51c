"""Runs that people start: of a job, or of a task without one."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app import audit, catalog, jobs, policy, runs, vault
from jobs_app.definitions import QUEUE, concurrency_errors
from jobs_app.dispatch import Message
from jobs_app.errors import Conflict, FieldError, InvalidInput
from jobs_app.models import Job, Run, new_run_id
from jobs_app.states import ACTIVE, OverlapPolicy, RunState, Trigger


@dataclass(frozen=True, slots=True)
class Started:
    """A run on record, and its message; None while the run waits for another one."""

    run: Run
    message: Message | None


@dataclass(frozen=True, slots=True)
class TaskStart:
    """What is said of a run without a job."""

    task: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    priority: int = 5
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = 3600
    kill_grace_seconds: int = 10
    note: str | None = None


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
) -> Started:
    """Record a run of *job* that starts as soon as a worker takes it.

    *kwargs* replace those of the job with the same names. A paused job can be
    started by hand. Raises Conflict (`overlap`) if its policy says no, InvalidInput,
    NotFound if the job was deleted meanwhile.
    """
    # The scheduler and other starts of this job wait here, or pass it by.
    job = jobs.lock(session, job)
    given = job.kwargs | (kwargs or {})
    errors = catalog.check(app, job.task, given) + vault.check(session, job.task, given)
    if errors:
        session.rollback()
    _refuse(errors)
    chosen = overlap_policy or job.overlap_policy
    decision = _decide(session, job, chosen)
    draft = runs.draft(
        job,
        run_id=new_run_id(),
        state=decision.state,
        trigger=Trigger.MANUAL,
        at=at,
        policy=chosen,
        kwargs=given,
        note=note,
        triggered_by=by,
    )
    if decision.cancel is not None:
        runs.give_way(session, job.id, decision.cancel, drop_waiting=True, at=at)
    return _record(session, draft, by=by, at=at)


def start_task(
    session: Session, start: TaskStart, *, app: Celery, by: str, at: datetime
) -> Started:
    """Record a run of a task that no job names. Raises InvalidInput.

    A concurrency key without a limit means one run at a time, as for a job.
    """
    if start.concurrency_key is not None and start.concurrency_limit is None:
        start = replace(start, concurrency_limit=1)
    errors = catalog.check(app, start.task, start.kwargs)
    errors += vault.check(session, start.task, start.kwargs)
    if not QUEUE.fullmatch(start.queue):
        detail = f"The queue {start.queue[:60]!r} must be letters, digits, '.', '_' or '-'."
        errors.append(FieldError("/queue", "invalid_queue", detail))
    errors += concurrency_errors(start.concurrency_key, start.concurrency_limit)
    _refuse(errors)
    draft = runs.Draft(
        id=new_run_id(),
        job_id=None,
        state=RunState.QUEUED,
        trigger=Trigger.MANUAL,
        triggered_by=by,
        created_at=at,
        **{name: getattr(start, name) for name in TaskStart.__slots__},
    )
    return _record(session, draft, by=by, at=at)


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors), errors=errors)


def _decide(session: Session, job: Job, chosen: OverlapPolicy) -> policy.Overlap:
    unfinished = select(Run.id, Run.state).where(
        Run.job_id == job.id, Run.state.in_((*ACTIVE, RunState.WAITING))
    )
    others = session.execute(unfinished).all()
    active = [row.id for row in others if row.state is not RunState.WAITING]
    decision = policy.overlap(chosen, bool(active), len(others) - len(active))
    if decision.state is RunState.SKIPPED:
        session.rollback()
        other = (active or [row.id for row in others])[0]
        raise Conflict(
            f"The run {other} of {job.name!r} has not ended, and the overlap policy is {chosen}.",
            code="overlap",
        )
    return decision


def _record(session: Session, draft: runs.Draft, *, by: str, at: datetime) -> Started:
    runs.insert_drafts(session, [draft])
    audit.note(session, "start", by=by, at=at, job_id=draft.job_id, run_id=draft.id)
    session.commit()
    run = session.get_one(Run, draft.id)
    return Started(run, draft.message() if draft.state is RunState.QUEUED else None)
