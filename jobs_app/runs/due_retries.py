"""Retries that are due: queued as the next attempt of their runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.runs import Run
from jobs_app.db.run_indexes import Condition
from jobs_app.runs.messages import Message
from jobs_app.runs.transitions import queue_runs


def is_due(at: Any) -> tuple[Condition, ...]:
    """Return the conditions that the delay of a run before its next attempt is over at *at*."""
    return (run_indexes.is_in(RunState.RETRYING), Run.not_before <= at)


def queue_due_retries(session: Session, *, at: datetime, limit: int = 500) -> list[Message]:
    """Queue the next attempt of every run whose delay is over; return their messages."""
    due = select(Run.id).where(*is_due(at)).order_by(Run.not_before).limit(limit)
    # Without any, nothing is written.
    if not (ids := list(session.scalars(due))):
        return []
    messages = queue_runs(
        session,
        (Run.id.in_(ids), Run.state == RunState.RETRYING, Run.not_before <= at),
        at=at,
        state=RunState.QUEUED,
        attempt=Run.attempt + 1,
        not_before=None,
        queued_at=at,
        started_at=None,
        # Clear the reason of the attempt before; its own row keeps the error.
        reason=None,
        sends=0,
        progress=None,
    )
    session.commit()
    return messages
