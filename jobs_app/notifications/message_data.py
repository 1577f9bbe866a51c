"""Loads the data of a message from the database, just before it is sent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Attempt, LogChunk, Run
from jobs_app.notifications.messages import (
    FAILURE_EVENTS,
    MessageData,
    OtherNotifications,
    RunSummary,
    has_log,
    shows_output,
)

#: Chunks of the log that are read: enough for the lines in a message, whatever their size.
LOG_CHUNKS = 40
#: The same for a channel that wants the output: a chunk of a slow job has one line.
OUTPUT_CHUNKS = 600


def load_message_data(
    session: Session, row: Notification, *, public_url: str | None
) -> MessageData:
    """Return the data of the message of *row*, with the notifications grouped into it."""
    job = None if row.job_id is None else session.get(Job, row.job_id)
    run = None if row.run_id is None else session.get(Run, row.run_id)
    failures = 0 if job is None else job.failures_in_a_row + job.failures_carried
    same, same_fires, last_at = _same(session, row)
    return MessageData(
        id=row.id,
        event=row.event,
        channel=row.channel,
        at=row.created_at,
        job=None if job is None else job.name,
        timezone="UTC" if job is None else job.timezone,
        run=None if run is None else _run_summary(session, run, _chunks(row)),
        detail=row.detail,
        fires=row.count + same_fires,
        same=same,
        last_at=last_at,
        others=_others(session, row),
        works_again=row.event in FAILURE_EVENTS and job is not None and not failures,
        public_url=public_url,
    )


def _chunks(row: Notification) -> int:
    """Return how many chunks of the run's log the message needs."""
    if shows_output(row.event, row.detail):
        return OUTPUT_CHUNKS
    return LOG_CHUNKS if has_log(row.event, row.detail) else 0


def _run_summary(session: Session, run: Run, chunks: int) -> RunSummary:
    first_start = select(func.min(Attempt.started_at)).where(Attempt.run_id == run.id)
    return RunSummary(
        id=run.id,
        state=run.state,
        trigger=run.trigger.value,
        scheduled_for=run.scheduled_for,
        created_at=run.created_at,
        started_at=session.scalar(first_start) or run.started_at,
        finished_at=run.finished_at,
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        exit_code=run.exit_code,
        reason=run.reason,
        error=RunError.from_json(run.error),
        log=_log_end(session, run.id, run.attempt, chunks) if chunks else "",
    )


def _log_end(session: Session, run_id: UUID, attempt: int, chunks: int) -> str:
    newest_first = (
        select(LogChunk.text)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq.desc())
        .limit(chunks)
    )
    return "".join(reversed(list(session.scalars(newest_first))))


def _is_grouped_into(row: Notification) -> Any:
    return Notification.grouped_into == row.id


def _same(session: Session, row: Notification) -> tuple[int, int, datetime | None]:
    """Return the number of notifications equal to *row*, the sum of their fires, and the newest."""
    statement = select(
        func.count(),
        func.coalesce(func.sum(Notification.count), 0),
        func.max(Notification.created_at),
    ).where(_is_grouped_into(row), Notification.group_key == row.group_key)
    count, fires, last_at = session.execute(statement).one()
    return count, fires, last_at


def _others(session: Session, row: Notification) -> tuple[OtherNotifications, ...]:
    """Return the other notifications in the message by job and event, the most frequent first."""
    number = func.count().label("number")
    statement = (
        select(Job.name, Notification.event, number)
        .select_from(Notification)
        .outerjoin(Job, Job.id == Notification.job_id)
        .where(_is_grouped_into(row), Notification.group_key != row.group_key)
        .group_by(Job.name, Notification.event)
        .order_by(number.desc(), Job.name)
    )
    return tuple(OtherNotifications(*counted) for counted in session.execute(statement))
