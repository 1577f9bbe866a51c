"""The outbox of messages: the row of a queued run says when its message is due."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.bulk_sql import update_all
from jobs_app.db.models.runs import Run
from jobs_app.db.run_indexes import Condition
from jobs_app.runs.messages import Message

#: A run's message is sent again after this time, doubled each time up to a limit; seconds.
RESEND_SECONDS = 15.0
MAX_RESEND_SECONDS = 600.0

#: A run whose message was sent again more often has been queued for minutes: no recent crash
#: lost it.
MAX_RECENT_SENDS = 3

#: Tasks that enforce their time limits themselves, in every pool.
ENFORCES_OWN_LIMITS = frozenset({"shell", "http", "email", "sleep", "celery"})

#: The columns of a run that it has from its job, and that its messages depend on.
SHARED_COLUMNS = Message._fields[2:]

#: Columns that a statement which queues a run returns, for `message_of`.
MESSAGE_COLUMNS = tuple(getattr(Run, name) for name in ("id", "attempt", *SHARED_COLUMNS))


def is_unsent(at: Any) -> tuple[Condition, ...]:
    """Return the conditions that the message of a run is overdue at *at*."""
    return (run_indexes.is_in(RunState.QUEUED), Run.send_at <= at)


def unsent_by_queue(session: Session, *, at: datetime) -> dict[str, int]:
    """Return, for each queue with overdue messages, how many of its runs should have one."""
    queues = select(Run.queue).where(*is_unsent(at)).distinct()
    counts: dict[str, int] = {}
    for queue in session.scalars(queues):
        # A run that is parked for its concurrency key has no message.
        runs = select(Run.id).where(
            Run.state == RunState.QUEUED, Run.queue == queue, Run.send_at.is_not(None)
        )
        counts[queue] = len(session.scalars(runs.limit(10_000)).all())
    return counts


def mark_unsent(session: Session, run_ids: Collection[UUID], *, at: datetime) -> None:
    """Make the messages of queued runs due, for the janitor to send; does not commit."""
    statement = update(Run).where(Run.id.in_(run_ids), Run.state == RunState.QUEUED)
    session.execute(statement.values(send_at=at).execution_options(synchronize_session=False))


def mark_queued_unsent(session: Session, *, at: datetime, is_everything_lost: bool = False) -> None:
    """Make the messages of runs that were queued recently due; commits in batches.

    For a scheduler that takes over: the last one may have died between commit and publish.
    With *is_everything_lost* the messages of all queued runs are due, as if never sent again.
    """
    later = and_(Run.state == RunState.QUEUED, Run.send_at > at)
    if is_everything_lost:
        update_all(session, Run.id, later, send_at=at, sends=0)
    else:
        update_all(session, Run.id, and_(later, Run.sends <= MAX_RECENT_SENDS), send_at=at)


def take_unsent(session: Session, queue: str, *, at: datetime, limit: int) -> list[Message]:
    """Return up to *limit* overdue messages to send, and set when each is due again; commits.

    The delay doubles each time, from 15 s to 10 min, so that the runs of a long queue are
    not sent over and over.
    """
    due = (
        select(Run.id, Run.sends)
        .where(*is_unsent(at), Run.queue == queue)
        .order_by(Run.send_at)
        .limit(limit)
    )
    by_sends: dict[int, list[UUID]] = {}
    for run_id, sends in session.execute(due):
        by_sends.setdefault(sends, []).append(run_id)
    messages: list[Message] = []
    for sends, ids in by_sends.items():
        delay = min(RESEND_SECONDS * 2 ** min(sends + 1, 10), MAX_RESEND_SECONDS)
        statement = (
            update(Run)
            .where(Run.id.in_(ids), Run.state == RunState.QUEUED, Run.sends == sends)
            # A run that was parked for its concurrency key meanwhile gets no message.
            .where(Run.send_at <= at)
            .values(sends=sends + 1, send_at=at + timedelta(seconds=delay))
            .returning(*MESSAGE_COLUMNS)
            .execution_options(synchronize_session=False)
        )
        messages += map(message_of, session.execute(statement))
    session.commit()
    return messages


def message_of(run: Any) -> Message:
    """Return the message of the attempt that *run* is at: a run, or its MESSAGE_COLUMNS."""
    return Message(run.id, run.attempt, *_shared(run))


def first_messages(run_ids: Iterable[UUID], row: Any) -> list[Message]:
    """Return the messages of the first attempts of runs that share the columns of *row*."""
    shared = _shared(row)
    return [Message(run_id, 1, *shared) for run_id in run_ids]


def _shared(row: Any) -> tuple[Any, ...]:
    """Return what stands in a message beside the attempt: limits only if the pool enforces them."""
    if row.task in ENFORCES_OWN_LIMITS:
        return (row.task, row.queue, row.priority)
    limits = (row.soft_time_limit_seconds, row.time_limit_seconds)
    return (row.task, row.queue, row.priority, *limits)
