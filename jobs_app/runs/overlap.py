"""A job's one place: who waits for it, who gives way, who is let in."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from jobs_app.core.states import ACTIVE, CancelMode, OverlapPolicy, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import MESSAGE_COLUMNS, RESEND_SECONDS, message_of
from jobs_app.runs.transitions import move

# Made once: an alias of a wide table takes longer to build than its query takes to run.
_OTHER = aliased(Run, name="other")

# Written out, not bound: only then does a database know its partial index to fit.
_HOLDS_THE_PLACE = (
    f"other.is_exclusive AND other.state IN {tuple(map(str, ACTIVE))}",
    f"NOT other.is_exclusive AND other.state IN {tuple(map(str, ACTIVE))}",
)

_WAITS = f"other.state = '{RunState.WAITING}'"

#: Policies under which no fire waits for another run.
NEVER_BUFFERING = (OverlapPolicy.SKIP, OverlapPolicy.ALLOW_ALL)


def _is_taken(job_id: Any) -> ColumnElement[bool]:
    """The place of *job_id* is taken: also by a run that was started beside others."""
    return or_(
        *(
            exists().where(_OTHER.job_id == job_id, text(condition))
            for condition in _HOLDS_THE_PLACE
        )
    )


def may_have_waiting_run(job_id: Any) -> ColumnElement[bool]:
    """Somebody waits for the place of *job_id*, or may be about to.

    Who buffers counts as such: the planner, which holds the job while it looks whether
    the place is taken, may have put a run behind this one that nobody sees yet.
    """
    waits = exists().where(_OTHER.job_id == job_id, text(_WAITS))
    never = (Job.overlap_policy != policy for policy in NEVER_BUFFERING)
    buffers = exists().where(Job.id == job_id, *never)
    return or_(waits, buffers)


def promote(session: Session, job_id: int, *, at: datetime) -> Message | None:
    """Queue the oldest run that waits for *job_id*'s place, if the place is free."""
    # The planner holds the same lock while it looks whether the place is taken.
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    oldest = (
        select(_OTHER.id)
        .where(_OTHER.job_id == job_id, text(_WAITS))
        .order_by(_OTHER.id)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        update(Run)
        .where(Run.id == oldest, Run.state == RunState.WAITING, ~_is_taken(job_id))
        .values(
            state=RunState.QUEUED,
            queued_at=at,
            send_at=at + timedelta(seconds=RESEND_SECONDS),
        )
        .returning(*MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    try:
        row = session.execute(statement).one_or_none()
        session.commit()
    except IntegrityError:
        # Another finish promoted one in the same moment.
        session.rollback()
        return None
    return None if row is None else message_of(row.id, row.attempt, row)


def promotable_jobs(session: Session, *, limit: int = 100) -> list[int]:
    """Return jobs with a run that waits for nobody: its promoter died before it could."""
    waits = text(f"runs.state = '{RunState.WAITING}'")
    statement = select(Run.job_id).where(waits, ~_is_taken(Run.job_id)).distinct().limit(limit)
    return [job_id for job_id in session.scalars(statement) if job_id is not None]


def make_room(
    session: Session, job_id: int, mode: CancelMode | None, *, drop_waiting: bool, at: datetime
) -> None:
    """End a job's other runs for a newer one, as its overlap policy says; does not commit."""
    over = {
        "state": RunState.CANCELLED,
        "finished_at": at,
        "cancelled_by": "jobs-app",
        "reason": "superseded",
        "send_at": None,
    }
    if drop_waiting:
        move(session, (run_indexes.waiting_of_job(job_id),), **over)
    if mode is not None:
        active = run_indexes.active_of_job(job_id)
        unstarted = (RunState.QUEUED, RunState.RETRYING)
        move(session, (active, Run.state.in_(unstarted)), **over)
        move(
            session,
            # What is to be killed already is not asked gently once more.
            (
                active,
                Run.state == RunState.RUNNING,
                or_(Run.cancel_mode.is_(None), Run.cancel_mode == CancelMode.GRACEFUL),
            ),
            cancel_mode=mode,
            cancelled_by="jobs-app",
            reason="superseded",
        )
