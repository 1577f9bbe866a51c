"""Runs of a job that may not overlap: which run waits, which one is stopped or promoted."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from jobs_app.core.states import ACTIVE, CancelMode, OverlapPolicy, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs import transitions
from jobs_app.runs.messages import Message

# Built once: building an alias of a wide table takes longer than its query.
_OTHER = aliased(Run, name="other")

# Literals, not bound parameters: only then does a database use its partial index.
_IS_ACTIVE = (
    f"other.is_exclusive AND other.state IN {tuple(map(str, ACTIVE))}",
    f"NOT other.is_exclusive AND other.state IN {tuple(map(str, ACTIVE))}",
)

_IS_WAITING = f"other.state = '{RunState.WAITING}'"

#: Policies under which no fire waits for another run.
NEVER_BUFFERING = (OverlapPolicy.SKIP, OverlapPolicy.ALLOW_ALL)


def _has_active_run(job_id: Any) -> ColumnElement[bool]:
    """A run of *job_id* is active; one that was started beside others counts too."""
    return or_(
        *(exists().where(_OTHER.job_id == job_id, text(condition)) for condition in _IS_ACTIVE)
    )


def may_have_waiting_run(job_id: Any) -> ColumnElement[bool]:
    """A run of *job_id* waits behind the active one, or may do so in a moment.

    A job that may buffer counts as waiting. The planner locks the job and checks whether a
    run is active; the waiting run that it then inserts may not be committed yet.
    """
    waits = exists().where(_OTHER.job_id == job_id, text(_IS_WAITING))
    not_never = (Job.overlap_policy != policy for policy in NEVER_BUFFERING)
    buffers = exists().where(Job.id == job_id, *not_never)
    return or_(waits, buffers)


def promote(session: Session, job_id: int, *, at: datetime) -> Message | None:
    """Queue the oldest waiting run of *job_id*, if no run of it is active."""
    # The planner holds the same lock while it checks for an active run.
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    oldest = (
        select(_OTHER.id)
        .where(_OTHER.job_id == job_id, text(_IS_WAITING))
        .order_by(_OTHER.id)
        .limit(1)
        .scalar_subquery()
    )
    guard = (Run.id == oldest, Run.state == RunState.WAITING, ~_has_active_run(job_id))
    try:
        messages = transitions.queue_runs(
            session, guard, at=at, state=RunState.QUEUED, queued_at=at
        )
        session.commit()
    except IntegrityError:
        # Another process promoted one at the same moment.
        session.rollback()
        return None
    return messages[0] if messages else None


def promotable_jobs(session: Session, *, limit: int = 100) -> list[int]:
    """Return jobs with a waiting run and no active one.

    The process that finished the active run died before it promoted the waiting one.
    """
    is_waiting = (run_indexes.IS_WAITING, ~_has_active_run(Run.job_id))
    statement = select(Run.job_id).where(*is_waiting).distinct().limit(limit)
    return [job_id for job_id in session.scalars(statement) if job_id is not None]


def make_room(
    session: Session, job_id: int, mode: CancelMode | None, *, drop_waiting: bool, at: datetime
) -> None:
    """Cancel a job's other runs for a newer one; does not commit.

    With *drop_waiting* the waiting runs are cancelled. With a *mode* the active ones are too,
    and a running one is asked to stop.

    However many they are, the transaction that records the newer run cancels them all. In batches
    before it, a process that dies would leave runs that were superseded by none; in batches after
    it, an older run could be promoted, or claimed, ahead of the newer one.
    """
    by, reason = "jobs-app", "superseded"
    if drop_waiting:
        waiting = (run_indexes.waiting_of_job(job_id),)
        transitions.cancel_runs(session, waiting, by=by, reason=reason, at=at)
    if mode is not None:
        active = run_indexes.active_of_job(job_id)
        unstarted = (active, Run.state.in_((RunState.QUEUED, RunState.RETRYING)))
        transitions.cancel_runs(session, unstarted, by=by, reason=reason, at=at)
        transitions.request_cancel(session, active, mode=mode, by=by, reason=reason)
