"""A task that workers elsewhere run: its run keeps the id, so that a later attempt waits for it.

The row of the run holds it in `result` until the run ends.
"""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.transitions import move, owned

#: The name of the task that sends others.
CELERY = "celery"

#: After so many attempts a lost run is lost: something about it may end each worker.
MOST_ATTEMPTS = 100

#: What is true of the task of a lost run.
MAY_GO_ON = (
    "The task may still run in your workers; its id is in the log of the run. To look: celery"
    " inspect active."
)
SENT_AGAIN = "A retry sends it again."
WAITED_FOR = "The next attempt waits for it, and does not send it again."


def keep_sent(session: Session, run_id: UUID, attempt: int, sent: dict[str, Any]) -> bool:
    """Keep what a running attempt has sent; False if it is no longer the one that counts."""
    moved = move(session, owned(run_id, attempt), result={**sent, "attempt": attempt})
    session.commit()
    return moved


def sent_by(result: Any, attempt: int) -> dict[str, Any] | None:
    """Return what *attempt* has sent, as *result* of the row of its run holds it; else None."""
    is_sent = isinstance(result, dict) and result.get("attempt") == attempt
    return result if is_sent else None


def sent_before(session: Session, run_id: UUID, attempt: int) -> tuple[dict[str, Any] | None, bool]:
    """Return what the attempt before the running *attempt* has sent, and whether that was lost.

    The task of a lost one may still run. Any other attempt has seen the end of its task.
    """
    before = attempt - 1
    is_lost = exists().where(
        Attempt.run_id == run_id, Attempt.attempt == before, Attempt.state == RunState.LOST
    )
    row = session.execute(select(Run.result, is_lost).where(*owned(run_id, attempt))).one_or_none()
    return (None, False) if row is None else (sent_by(row[0], before), bool(row[1]))


def wait_goes_on(attempt: int, sent: dict[str, Any] | None) -> bool:
    """Return whether a run gets another attempt, which waits, once *attempt* is lost."""
    return sent is not None and attempt < MOST_ATTEMPTS


def lost(outcome: Outcome, attempt: int, sent: dict[str, Any] | None) -> Outcome:
    """Return *outcome* of an *attempt* of the task `celery` that ended without its process.

    The error says what becomes of its task. If nothing is waited for, the retry policy decides.
    """
    goes_on = outcome.state is RunState.LOST and wait_goes_on(attempt, sent)
    end = WAITED_FOR if goes_on else SENT_AGAIN
    error = outcome.error
    if error is not None:
        error = replace(error, message=f"{error.message} {MAY_GO_ON} {end}")
    return replace(outcome, error=error, retry_after_seconds=0.0 if goes_on else None)
