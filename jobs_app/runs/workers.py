"""The rows of workers: registered, updated by heartbeats, and declared gone without them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.processes import Worker
from jobs_app.runs import reported_tasks
from jobs_app.tasks.task_info import TaskInfo


@dataclass(frozen=True, slots=True)
class Registration:
    """The description with which a worker registers; `tasks` are those of user code."""

    name: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    pool: str
    tasks: tuple[TaskInfo, ...] = ()
    tzdata: str | None = None
    version: str | None = None
    settings: dict[str, Any] | None = None


def register(session: Session, registration: Registration, *, at: datetime) -> UUID:
    """Insert a worker and return its id, valid until the worker is declared gone."""
    worker = Worker(
        name=registration.name,
        pid=registration.pid,
        queues=list(registration.queues),
        tasks=[task.name for task in registration.tasks],
        concurrency=registration.concurrency,
        pool=registration.pool,
        tzdata=registration.tzdata,
        version=registration.version,
        settings=registration.settings,
        started_at=at,
        seen_at=at,
    )
    session.add(worker)
    reported_tasks.report(session, registration.tasks, at=at)
    session.commit()
    return worker.id


def beat(
    session: Session, worker_id: UUID, *, dropped: int, problem: str | None = None, at: datetime
) -> bool:
    """Count one heartbeat; False means that the worker was declared gone and owns nothing."""
    statement = (
        update(Worker)
        .where(Worker.id == worker_id, Worker.gone_at.is_(None))
        .values(
            beats=Worker.beats + 1,
            seen_at=at,
            messages_dropped=Worker.messages_dropped + dropped,
            problem=problem,
        )
    )
    is_alive = bool(rowcount(session.execute(statement)))
    session.commit()
    return is_alive


# Built once: every scheduler asks every second.
_LIVING = select(Worker.id, Worker.beats).where(Worker.gone_at.is_(None))


def living(session: Session) -> dict[UUID, int]:
    """Return the heartbeat counter of every worker that is not gone."""
    return {row.id: row.beats for row in session.execute(_LIVING)}


def give_up(session: Session, worker_id: UUID, *, beats: int | None, at: datetime) -> bool:
    """Declare a worker gone, if its counter is still *beats* (None: whatever it is)."""
    statement = update(Worker).where(Worker.id == worker_id, Worker.gone_at.is_(None))
    if beats is not None:
        statement = statement.where(Worker.beats == beats)
    was_given_up = bool(rowcount(session.execute(statement.values(gone_at=at))))
    session.commit()
    return was_given_up
