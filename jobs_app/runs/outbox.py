"""The messages of queued runs: the row is the outbox, a message only a hint."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message

#: A run's message is repeated after this time, doubled each time, seconds.
RESEND_SECONDS = 15.0
RESEND_MOST_SECONDS = 600.0

#: A run whose message was repeated more often has been queued for minutes: no crash of just now.
HURRIED_SENDS = 3

#: Tasks whose limits are kept by the process around them, in every pool.
KEEPS_OWN_LIMITS = frozenset({"shell", "http", "email", "sleep"})

#: What a statement that queues a run returns, for `message_of`.
MESSAGE_COLUMNS = (
    Run.id,
    Run.attempt,
    Run.task,
    Run.queue,
    Run.priority,
    Run.soft_time_limit_seconds,
    Run.time_limit_seconds,
)


def unsent_by_queue(session: Session, *, at: datetime) -> dict[str, int]:
    """Return, for each queue with messages to send again, how many runs there should have one."""
    from_queue = select(Run.queue).where(Run.state == RunState.QUEUED, Run.send_at <= at).distinct()
    counts: dict[str, int] = {}
    for queue in session.scalars(from_queue):
        # What is parked for its concurrency key has none, and wants none.
        runs = select(Run.id).where(
            Run.state == RunState.QUEUED, Run.queue == queue, Run.send_at.is_not(None)
        )
        counts[queue] = len(session.scalars(runs.limit(10_000)).all())
    return counts


def mark_unsent(session: Session, run_ids: Collection[UUID], *, at: datetime) -> None:
    """Have the janitor send the messages of queued runs at once; does not commit."""
    statement = update(Run).where(Run.id.in_(run_ids), Run.state == RunState.QUEUED)
    session.execute(statement.values(send_at=at).execution_options(synchronize_session=False))


def mark_queued_unsent(session: Session, *, at: datetime, is_everything_lost: bool = False) -> None:
    """Have the janitor look at once for the messages of what was queued lately, and commit.

    For a scheduler that takes over: the one before it may have died between commit and publish.
    With *is_everything_lost* for those of all that is queued, from the first pause again.
    """
    statement = update(Run).where(Run.state == RunState.QUEUED, Run.send_at > at)
    if is_everything_lost:
        statement = statement.values(send_at=at, sends=0)
    else:
        statement = statement.where(Run.sends <= HURRIED_SENDS).values(send_at=at)
    session.execute(statement.execution_options(synchronize_session=False))
    session.commit()


def take_unsent(session: Session, queue: str, *, at: datetime, limit: int) -> list[Message]:
    """Put off the next repetition of up to *limit* overdue messages and return them to be sent.

    The delay doubles with each repetition, 15 s to 10 min, so that runs in a long
    queue are not sent over and over.
    """
    due = (
        select(Run.id, Run.sends)
        .where(Run.state == RunState.QUEUED, Run.send_at <= at, Run.queue == queue)
        .order_by(Run.send_at)
        .limit(limit)
    )
    by_sends: dict[int, list[UUID]] = {}
    for run_id, sends in session.execute(due):
        by_sends.setdefault(sends, []).append(run_id)
    messages = []
    for sends, ids in by_sends.items():
        delay = min(RESEND_SECONDS * 2 ** min(sends + 1, 10), RESEND_MOST_SECONDS)
        statement = (
            update(Run)
            .where(Run.id.in_(ids), Run.state == RunState.QUEUED, Run.sends == sends)
            # One that was parked for its concurrency key meanwhile wants no message.
            .where(Run.send_at <= at)
            .values(sends=sends + 1, send_at=at + timedelta(seconds=delay))
            .returning(*MESSAGE_COLUMNS)
            .execution_options(synchronize_session=False)
        )
        messages += [message_of(row.id, row.attempt, row) for row in session.execute(statement)]
    session.commit()
    return messages


def message_of(run_id: UUID, attempt: int, limits: Any) -> Message:
    """Return the message of an attempt; Celery's pool is told only the limits it must keep."""
    keeps = limits.task in KEEPS_OWN_LIMITS
    return Message(
        run_id=run_id,
        attempt=attempt,
        task=limits.task,
        queue=limits.queue,
        priority=limits.priority,
        soft_time_limit_seconds=None if keeps else limits.soft_time_limit_seconds,
        time_limit_seconds=None if keeps else limits.time_limit_seconds,
    )
