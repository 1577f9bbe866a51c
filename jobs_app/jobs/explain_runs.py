"""The runs that explain a fire, as they were when it was recorded. Reads only."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session, selectinload

from jobs_app.accounts.tag_limit import ALL_JOBS
from jobs_app.core.run_error import RunError
from jobs_app.core.states import ACTIVE, RunState, Trigger
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import IS_FOLDED, Run
from jobs_app.jobs.explain_context import ExplainedRun, QueueWorkers
from jobs_app.runs import status
from jobs_app.schedules import union as schedules
from jobs_app.schedules.union import AnySchedule

RUNS = select(Run).options(selectinload(Run.attempts))


def first_fired(session: Session, job: Job, begin: datetime, end: datetime) -> Run | None:
    """Return the first run of *job* that was scheduled for an instant in [begin, end)."""
    statement = (
        RUNS.where(Run.job_id == job.id, Run.scheduled_for >= begin, Run.scheduled_for < end)
        .order_by(Run.scheduled_for)
        .limit(1)
    )
    return session.scalars(statement).first()


def folded_into(session: Session, job: Job, schedule: AnySchedule, fire: datetime) -> Run | None:
    """Return the row of a long outage that stands for *fire* too; None if there is none."""
    statement = (
        RUNS.where(Run.job_id == job.id, text(f"runs.{IS_FOLDED}"), Run.scheduled_for < fire)
        .order_by(Run.scheduled_for.desc())
        .limit(1)
    )
    row = session.scalars(statement).first()
    if row is None or row.scheduled_for is None:
        return None
    later = schedules.count_fires(schedule, after=row.scheduled_for, until=fire)
    return row if later < row.fires else None


def started_by_hand(session: Session, job: Job, begin: datetime, end: datetime) -> Run | None:
    """Return the first run of *job* that a person started in [begin, end)."""
    _, line = run_indexes.of_job(job.id)
    statement = (
        RUNS.where(*line.guard, Run.trigger.in_((Trigger.MANUAL, Trigger.RETRY_OF)))
        .where(line.instant >= begin, line.instant < end)
        .order_by(*line.oldest_first)
        .limit(1)
    )
    return session.scalars(statement).first()


def newest(session: Session, job: Job) -> Run | None:
    """Return the newest run of *job*, in whatever state; None if none is on record."""
    runs: list[Run] = []
    for line in run_indexes.of_job(job.id):
        statement = RUNS.where(*line.guard).order_by(*line.newest_first).limit(1)
        runs += session.scalars(statement)
    return max(runs, key=lambda run: (run.instant, run.id), default=None)


def newest_fired(session: Session, job: Job) -> Run | None:
    """Return the newest run of *job* that was scheduled; None if none is on record."""
    fires, _ = run_indexes.of_job(job.id)
    statement = RUNS.where(*fires.guard).order_by(*fires.newest_first).limit(1)
    return session.scalars(statement).first()


def other_run(session: Session, row: Run) -> ExplainedRun | None:
    """Return the run that blocked *row*, or that ran in its place."""
    if row.state is RunState.MISSED and row.reason == "catchup_last":
        statement = (
            RUNS.where(Run.job_id == row.job_id, Run.scheduled_for > row.scheduled_for)
            .where(Run.state != RunState.MISSED)
            .order_by(Run.scheduled_for)
            .limit(1)
        )
        later = session.scalars(statement).first()
        return None if later is None else explained(later)
    if row.state is RunState.WAITING:
        return _unfinished_then(session, row, Run.state.in_(ACTIVE))
    if row.state is RunState.SKIPPED:
        # The run that was running then; or, with buffer_one, the run that already waited for it.
        running = _unfinished_then(session, row, Run.started_at <= row.created_at)
        return running or _unfinished_then(session, row)
    return None


def _unfinished_then(
    session: Session, row: Run, *conditions: ColumnElement[bool]
) -> ExplainedRun | None:
    """Return the newest other run of the job that had not ended when *row* was recorded."""
    runs: list[Run] = []
    for line in run_indexes.of_job(row.job_id):
        statement = (
            RUNS.where(*line.guard, Run.id != row.id, line.instant <= row.created_at, *conditions)
            .where(
                Run.created_at <= row.created_at,
                Run.state.not_in((RunState.SKIPPED, RunState.MISSED, RunState.OBSERVED)),
                Run.finished_at.is_(None) | (Run.finished_at > row.created_at),
            )
            .order_by(*line.newest_first)
            .limit(1)
        )
        runs += session.scalars(statement)
    return explained(max(runs, key=lambda run: (run.instant, run.id))) if runs else None


def queue_workers(session: Session, row: Run | None) -> QueueWorkers | None:
    """Return the workers of the queue of a queued run; None for any other run."""
    if row is None or row.state is not RunState.QUEUED:
        return None
    workers = [worker for worker in status.workers(session) if row.queue in worker.queues]
    ids = [worker.id for worker in workers]
    running = select(func.count()).where(Run.state == RunState.RUNNING, Run.worker_id.in_(ids))
    slots = sum(worker.concurrency for worker in workers)
    same_key = 0
    if row.concurrency_key is not None:
        with_key = select(func.count()).where(Run.concurrency_key == row.concurrency_key)
        with_key = with_key.where(Run.state == RunState.RUNNING)
        same_key = session.scalars(with_key, execution_options=ALL_JOBS).one()
    # Runs of all jobs take the slots.
    busy = session.scalars(running, execution_options=ALL_JOBS).one() if ids else 0
    return QueueWorkers(len(workers), slots, busy, same_key)


def explained(row: Run) -> ExplainedRun:
    """Return the facts of *row* that a sentence may need."""
    error = RunError.from_json(row.error)
    columns = {name: getattr(row, name) for name in ExplainedRun.__slots__}
    columns["started_at"] = row.first_started_at
    return ExplainedRun(**(columns | {"error": error and (error.message or None)}))
