"""What is on record of runs: lists, one run, its attempts and its log. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import String, and_, cast, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session, joinedload, selectinload

from jobs_app.errors import NotFound
from jobs_app.models import Job, LogChunk, Run
from jobs_app.states import RunState, Trigger


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs a list shows; None, or (), leaves a condition out.

    `since` and `until` bound the instant for which a run was scheduled, or at
    which it was started by hand: since <= it < until. `job` also finds the runs of
    deleted jobs of that name.
    """

    job: str | None = None
    states: tuple[RunState, ...] = ()
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


def page(session: Session, wanted: Filter, *, before: UUID | None, limit: int) -> list[Run]:
    """Return runs, newest first, older than *before*, with their jobs and workers."""
    statement = (
        select(Run)
        .options(joinedload(Run.job), joinedload(Run.worker), selectinload(Run.attempts))
        .order_by(Run.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(Run.id < before)
    if wanted.job is not None:
        named = select(Job.id).where(Job.name == wanted.job)
        statement = statement.where(Run.job_id.in_(named))
    if wanted.states:
        statement = statement.where(Run.state.in_(wanted.states))
    if wanted.trigger is not None:
        statement = statement.where(Run.trigger == wanted.trigger)
    instant = func.coalesce(Run.scheduled_for, Run.created_at)
    if wanted.since is not None:
        statement = statement.where(instant >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(instant < wanted.until)
    if wanted.q:
        q = wanted.q.lower()
        statement = statement.where(
            or_(
                func.lower(Run.task).contains(q, autoescape=True),
                func.lower(Run.note).contains(q, autoescape=True),
                func.lower(cast(Run.error, String)).contains(q, autoescape=True),
            )
        )
    return list(session.scalars(statement))


def get(session: Session, run_id: UUID) -> Run:
    """Return one run with its job, worker and attempts; raises NotFound."""
    statement = (
        select(Run)
        .options(joinedload(Run.job), joinedload(Run.worker), selectinload(Run.attempts))
        .where(Run.id == run_id)
        .execution_options(populate_existing=True)
    )
    run = session.scalars(statement).one_or_none()
    if run is None:
        raise NotFound(f"There is no run {run_id}.", code="run_not_found")
    return run


def log(session: Session, run_id: UUID, *, attempt: int) -> list[LogChunk]:
    """Return what an attempt wrote, in order; a gap in `seq` is what was cut out."""
    statement = (
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq)
    )
    return list(session.scalars(statement))


class LogPlace(NamedTuple):
    """A place in the log of a run: all attempts before, and of this one the chunks up to `seq`."""

    attempt: int = 0
    seq: int = -1


@dataclass(frozen=True, slots=True)
class LogNews:
    """What a run has written since a place, and how the run stands at the same instant.

    `log_bytes` is all that `attempt`, the newest one, has written so far.
    """

    state: RunState
    attempt: int
    log_bytes: int
    chunks: list[LogChunk]


def log_news(session: Session, run_id: UUID, *, after: LogPlace, limit: int) -> LogNews:
    """Return the chunks after a place, of all attempts in turn; raises NotFound.

    One statement, so that a final state comes with the last of what was written.
    """
    place = tuple_(literal(after.attempt), literal(after.seq))
    is_new = and_(LogChunk.run_id == Run.id, tuple_(LogChunk.attempt, LogChunk.seq) > place)
    statement = (
        select(Run.state, Run.attempt, Run.log_bytes, LogChunk)
        .outerjoin(LogChunk, is_new)
        .where(Run.id == run_id)
        .order_by(LogChunk.attempt, LogChunk.seq)
        .limit(limit)
    )
    rows = session.execute(statement).all()
    if not rows:
        raise NotFound(f"There is no run {run_id}.", code="run_not_found")
    state, attempt, log_bytes, _ = rows[0]
    # One row without a chunk is what the outer join gives where nothing is new.
    return LogNews(state, attempt, log_bytes, list(filter(None, (row[3] for row in rows))))
