"""Retries that are due: queued as the next attempt of their runs."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import MESSAGE_COLUMNS, RESEND_SECONDS, message_of


def queue_due_retries(session: Session, *, at: datetime, limit: int = 500) -> list[Message]:
    """Queue the next attempt of every run whose delay is over; return their messages."""
    due = (
        select(Run.id)
        .where(Run.state == RunState.RETRYING, Run.not_before <= at)
        .order_by(Run.not_before)
        .limit(limit)
    )
    statement = (
        update(Run)
        .where(Run.id.in_(list(session.scalars(due))))
        .where(Run.state == RunState.RETRYING, Run.not_before <= at)
        .values(
            state=RunState.QUEUED,
            attempt=Run.attempt + 1,
            not_before=None,
            queued_at=at,
            started_at=None,
            # Clear the reason of the attempt before; its own row keeps the error.
            reason=None,
            sends=0,
            send_at=at + timedelta(seconds=RESEND_SECONDS),
            progress=None,
        )
        .returning(*MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    rows = session.execute(statement).all()
    session.commit()
    return [message_of(row) for row in rows]
