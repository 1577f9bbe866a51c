"""Writes a run's state: always by a conditional UPDATE whose row count is read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, update
from sqlalchemy.orm import Session

from jobs_app.core.states import CANCELLABLE_AT_ONCE, CancelMode, RunState
from jobs_app.db.bulk_sql import rowcount, update_all
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import MESSAGE_COLUMNS, RESEND_SECONDS, message_of


def owned(run_id: Any, attempt: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the guard of a worker's writes: this attempt of this run, and still running."""
    return (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.RUNNING)


def move(session: Session, guard: Sequence[ColumnElement[bool]], **values: Any) -> bool:
    """Change the runs that fit *guard*; tell whether there were any."""
    statement = update(Run).where(*guard).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return bool(rowcount(result))


def queue_runs(
    session: Session, guard: Sequence[ColumnElement[bool]], *, at: datetime, **values: Any
) -> list[Message]:
    """Queue the runs that fit *guard*; return their messages, to be sent after the commit."""
    statement = (
        update(Run)
        .where(*guard)
        .values(send_at=at + timedelta(seconds=RESEND_SECONDS), **values)
        .returning(*MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    return list(map(message_of, session.execute(statement)))


def cancel_runs(
    session: Session,
    guard: Sequence[ColumnElement[bool]],
    *,
    by: str,
    reason: str,
    at: datetime,
) -> bool:
    """Cancel the runs that fit *guard*, which lets no running one pass; were there any?"""
    return move(session, guard, **_cancelled(by, reason, at))


def cancel_all(
    session: Session, which: ColumnElement[bool], *, by: str, reason: str, at: datetime
) -> int:
    """Cancel the runs of *which* that have not started; return how many; commits.

    The first ones are cancelled in the open transaction, the others in batches.
    """
    guard = and_(which, or_(*(Run.state == state for state in CANCELLABLE_AT_ONCE)))
    return update_all(session, Run.id, guard, **_cancelled(by, reason, at))


def _cancelled(by: str, reason: str, at: datetime) -> dict[str, Any]:
    return {
        "state": RunState.CANCELLED,
        "finished_at": at,
        "cancelled_by": by,
        "reason": reason,
        "send_at": None,
    }


def request_cancel(
    session: Session, which: ColumnElement[bool], *, mode: CancelMode, by: str, reason: str
) -> bool:
    """Ask for the end of the running runs of *which*; were there any to ask for?

    Their workers read the request in the row within a second.
    """
    guard = (
        which,
        Run.state == RunState.RUNNING,
        # A kill may replace a graceful cancel, but not the other way round.
        or_(Run.cancel_mode.is_(None), Run.cancel_mode == CancelMode.GRACEFUL),
    )
    return move(session, guard, cancel_mode=mode, cancelled_by=by, reason=reason)


def end_unfinished(session: Session, *, by: str, reason: str, at: datetime) -> None:
    """End all runs of a copied database: nothing of them is left to run.

    Those that ran when the copy was made are lost, without a retry; the others are cancelled.
    """
    unstarted = or_(*(Run.state == state for state in CANCELLABLE_AT_ONCE))
    move(session, (unstarted,), **_cancelled(by, reason, at))
    lost = {"state": RunState.LOST, "finished_at": at, "reason": reason, "send_at": None}
    move(session, (Run.state == RunState.RUNNING,), **lost)
