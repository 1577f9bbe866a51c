"""A worker's claim of an attempt."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, select, update
from sqlalchemy.orm import Session

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import LIMIT_COLUMNS, Run
from jobs_app.runs.concurrency import claim_slot
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.transitions import owned


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that a worker has claimed, with all that it needs to execute it."""

    run_id: UUID
    attempt: int
    worker_id: UUID
    job_id: int | None
    job: str | None
    task: str
    kwargs: dict[str, Any]
    scheduled_for: datetime | None
    limits: RunLimits
    retry: RetryPolicy
    started_at: datetime
    queue: str
    priority: int
    concurrency_key: str | None


#: The columns of the row that a claim takes as they are.
_PLAIN = ("job_id", "task", "kwargs", "scheduled_for", "queue", "priority", "concurrency_key")


def _claimed_columns() -> tuple[Any, ...]:
    job_name = select(Job.name).where(Job.id == Run.job_id).scalar_subquery()
    plain = (getattr(Run, name) for name in _PLAIN)
    return (job_name.label("job"), *plain, *LIMIT_COLUMNS, Run.retry)


# Built once: building the statement takes longer than executing it.
CLAIM = (
    update(Run)
    .where(
        Run.id == bindparam("this_run"),
        Run.attempt == bindparam("this_attempt"),
        Run.state == RunState.QUEUED,
        Run.concurrency_key.is_(None),
    )
    .where(exists().where(Worker.id == bindparam("this_worker"), Worker.gone_at.is_(None)))
    .values(
        state=RunState.RUNNING,
        worker_id=bindparam("this_worker"),
        started_at=bindparam("now"),
        send_at=None,
    )
    .returning(Run.id.label("claimed_id"), *_claimed_columns())
    .execution_options(synchronize_session=False)
)


def claim_plain(
    connection: Connection, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> ClaimedRun | None:
    """Claim an attempt of a run without a concurrency key, by one statement.

    None means that nothing was claimed; `claim` finds out whether the run has a key.
    """
    values = claim_values(run_id, attempt, worker_id=worker_id, at=at)
    row = connection.execute(CLAIM, values).one_or_none()
    connection.commit()
    return None if row is None else claimed_of(run_id, attempt, row, worker_id=worker_id, at=at)


def claim(
    session: Session, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> ClaimedRun | None:
    """Make *worker_id* the owner of exactly this attempt; None if it cannot be claimed.

    None is normal: the message came twice, the run was cancelled, the worker was declared
    gone while it was frozen, or the run's concurrency key has no free slot.
    """
    values = claim_values(run_id, attempt, worker_id=worker_id, at=at)
    row = session.execute(CLAIM, values).one_or_none()
    if row is None:
        row = claim_slot(
            session, run_id, attempt, worker_id=worker_id, at=at, returning=_claimed_columns()
        )
    session.commit()
    return None if row is None else claimed_of(run_id, attempt, row, worker_id=worker_id, at=at)


def claim_values(run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime) -> dict[str, Any]:
    """Return the parameters of CLAIM."""
    return {"this_run": run_id, "this_attempt": attempt, "this_worker": worker_id, "now": at}


def claimed_of(
    run_id: UUID, attempt: int, row: Row[Any], *, worker_id: UUID, at: datetime
) -> ClaimedRun:
    """Return the claimed run; *row* has at least the columns of `_claimed_columns`."""
    return ClaimedRun(
        run_id=run_id,
        attempt=attempt,
        worker_id=worker_id,
        job=row.job,
        limits=RunLimits.of(row),
        retry=RetryPolicy.from_json(row.retry),
        started_at=at,
        **{name: getattr(row, name) for name in _PLAIN},
    )


def reclaim(
    session: Session, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> ClaimedRun | None:
    """Return the claim that was made at *at*, if it was committed and only the answer got lost."""
    statement = select(*_claimed_columns()).where(
        *owned(run_id, attempt), Run.worker_id == worker_id, Run.started_at == at
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else claimed_of(run_id, attempt, row, worker_id=worker_id, at=at)
