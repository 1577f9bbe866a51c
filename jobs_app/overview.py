"""How the installation stands: its schema, schedulers, workers and queues. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.db import alembic_config
from jobs_app.models import Job, Run, SchedulerProcess, Worker
from jobs_app.states import RunState


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue: who serves it, and how many runs of it are queued and running."""

    name: str
    workers: int
    queued: int
    running: int


@cache
def newest_revision() -> str | None:
    """Return the revision that this version of jobs-app wants."""
    return ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head()


def revision(session: Session) -> str | None:
    """Return the revision of the database; None if nothing was ever migrated."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def last_tick(session: Session) -> datetime | None:
    """Return when a scheduler last looked; None if none ever did."""
    return session.scalars(select(func.max(SchedulerProcess.ticked_at))).one()


def workers(session: Session) -> list[Worker]:
    """Return the living workers by name."""
    statement = select(Worker).where(Worker.gone_at.is_(None)).order_by(Worker.name, Worker.id)
    return list(session.scalars(statement))


def queues(session: Session) -> list[Queue]:
    """Return every queue that a worker serves, a job names or a run waits in, by name."""
    served = [name for worker in workers(session) for name in worker.queues]
    named = session.scalars(select(Job.queue).where(Job.deleted_at.is_(None)).distinct())
    counts = {
        (name, state): count
        for name, state, count in session.execute(
            select(Run.queue, Run.state, func.count())
            .where(Run.state.in_((RunState.QUEUED, RunState.RUNNING)))
            .group_by(Run.queue, Run.state)
        )
    }
    names = {*served, *named, *(name for name, _ in counts)}
    return [
        Queue(
            name,
            workers=served.count(name),
            queued=counts.get((name, RunState.QUEUED), 0),
            running=counts.get((name, RunState.RUNNING), 0),
        )
        for name in sorted(names)
    ]
