"""Cancels runs, and deletes them with their attempts and logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Delete, delete, exists, or_, select, text
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CANCELLABLE_AT_ONCE, CancelMode, RunState
from jobs_app.db import run_indexes
from jobs_app.db.bulk_sql import in_values, rowcount
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import LIMIT_COLUMNS, Attempt, LogChunk, Run
from jobs_app.runs import transitions

#: The reason of a run that somebody cancels without one.
NO_REASON = str(RunState.CANCELLED)


def cancel(
    session: Session, run_id: UUID, *, mode: CancelMode, by: str, reason: str, at: datetime
) -> RunState | None:
    """Cancel a run, or ask its worker to; return CANCELLED or RUNNING accordingly.

    A waiting, queued or retrying run is cancelled at once. The row of a running run keeps
    the request, and its worker reads it within a second. None means that there was
    nothing to cancel: the run does not exist, or it has finished.
    """
    is_it = Run.id == run_id
    is_cancelled = transitions.cancel_runs(
        session, (is_it, Run.state.in_(CANCELLABLE_AT_ONCE)), by=by, reason=reason, at=at
    )
    is_requested = not is_cancelled and transitions.request_cancel(
        session, is_it, mode=mode, by=by, reason=reason
    )
    if is_cancelled or is_requested:
        audit.note(session, "cancel", by=by, at=at, run_id=run_id, reason=reason)
    session.commit()
    if is_cancelled:
        return RunState.CANCELLED
    return RunState.RUNNING if is_requested else None


#: The reason of a run whose job was deleted before it started.
JOB_DELETED = "job_deleted"


def cancel_unstarted(session: Session, job_id: int, *, by: str, at: datetime) -> int:
    """Cancel the runs of a deleted job that have not started; return how many; commits.

    They are cancelled in batches. If that is interrupted, the janitor cancels the others.
    """
    unfinished = or_(run_indexes.waiting_of_job(job_id), run_indexes.active_of_job(job_id))
    return transitions.cancel_all(session, unfinished, by=by, reason=JOB_DELETED, at=at)


def deleted_with_unstarted(session: Session, *, limit: int = 100) -> list[int]:
    """Return the ids of deleted jobs with runs that have not started."""
    states = tuple(map(str, CANCELLABLE_AT_ONCE))
    unstarted = (
        exists().where(Run.job_id == Job.id, condition, text(f"runs.state IN {states}"))
        for condition in run_indexes.UNFINISHED_OF_JOB
    )
    jobs = select(Job.id).where(Job.deleted_at.is_not(None), or_(*unstarted))
    return list(session.scalars(jobs.limit(limit)))


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The request to stop a running attempt."""

    run_id: UUID
    attempt: int
    task: str
    mode: CancelMode
    limits: RunLimits


def cancel_requests(session: Session, worker_id: UUID) -> list[CancelRequest]:
    """Return the cancel requests for the running runs of a worker."""
    statement = select(Run.id, Run.attempt, Run.task, Run.cancel_mode, *LIMIT_COLUMNS).where(
        Run.worker_id == worker_id, Run.state == RunState.RUNNING, Run.cancel_mode.is_not(None)
    )
    return [
        CancelRequest(row.id, row.attempt, row.task, row.cancel_mode, RunLimits.of(row))
        for row in session.execute(statement)
    ]


def running_on(session: Session, worker_id: UUID) -> list[tuple[UUID, int]]:
    """Return the running runs of a worker, each with its attempt."""
    statement = select(Run.id, Run.attempt).where(
        Run.worker_id == worker_id, Run.state == RunState.RUNNING
    )
    return [(row.id, row.attempt) for row in session.execute(statement)]


def purge(session: Session, run_ids: Sequence[UUID]) -> int:
    """Delete runs with their attempts and logs, and return how many; does not commit."""
    session.execute(_deletion(delete(LogChunk).where(in_values(session, LogChunk.run_id, run_ids))))
    session.execute(_deletion(delete(Attempt).where(in_values(session, Attempt.run_id, run_ids))))
    deleted = session.execute(_deletion(delete(Run).where(in_values(session, Run.id, run_ids))))
    return rowcount(deleted)


def _deletion(statement: Delete) -> Delete:
    # The session holds none of these rows, so there is nothing to synchronize.
    return statement.execution_options(synchronize_session=False)
