"""Deletes runs past their retention, a few at a time, and keeps count of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Label,
    Text,
    TextClause,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.states import FINAL, RunState
from jobs_app.db import run_indexes
from jobs_app.db.bulk_sql import in_values
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import IS_OVER, LogChunk, PrunedRuns, Run
from jobs_app.runs.cancel import purge
from jobs_app.runs.retention import Retention

#: The id under which deleted runs without a job are counted.
NO_JOB = 0

#: The column `retention` of most jobs, as text.
_NO_RETENTION = json.dumps(Retention().as_json())


def prune_runs(
    session: Session, job_id: int | None, state: RunState, *, before: datetime, limit: int
) -> int:
    """Delete the oldest runs of a job that finished in *state* before *before*, and commit.

    Up to *limit* runs go; return how many. They are counted in the same transaction, each
    of them once, however many processes prune at the same time.
    """
    oldest = (
        select(Run.id, Run.instant)
        .where(*_in(job_id, state), Run.instant < before)
        .order_by(Run.job_id, Run.state, Run.instant, Run.id)
        .limit(limit)
        # Runs that another process is deleting are left to it.
        .with_for_update(skip_locked=True, of=Run)
    )
    rows = session.execute(oldest).all()
    if rows:
        deleted = purge(session, [row.id for row in rows])
        _count(session, job_id, state, deleted, latest_at=rows[-1].instant)
    session.commit()
    return len(rows)


def _count(
    session: Session, job_id: int | None, state: RunState, count: int, *, latest_at: datetime
) -> None:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(PrunedRuns).values(
        job_id=job_id or NO_JOB, state=state, count=count, latest_at=latest_at
    )
    new = statement.excluded
    later = case((new.latest_at > PrunedRuns.latest_at, new.latest_at), else_=PrunedRuns.latest_at)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["job_id", "state"],
            set_={"count": PrunedRuns.count + new.count, "latest_at": later},
        )
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The number of runs of a job, and the instant of the oldest one."""

    count: int
    oldest: datetime


def span(session: Session, job_id: int) -> Span | None:
    """Return the span of a job; None if it has no runs, or is gone."""
    statement = select(*_span_columns()).select_from(Job).where(Job.id == job_id)
    row = session.execute(statement).one_or_none()
    return None if row is None else _span(*row)


@dataclass(frozen=True, slots=True)
class JobsWithOldRuns:
    """What one look at jobs has found: the span of each that may have runs to delete.

    `last_id` is the last job that it looked at; None if there are no more.
    """

    spans: dict[int, Span]
    last_id: int | None


def jobs_with_old_runs(
    session: Session, *, after: int, limit: int, oldest: datetime, keep_runs: int
) -> JobsWithOldRuns:
    """Look at the next *limit* jobs by id; the deleted ones too.

    A job is found if it has a run from before *oldest*, more than *keep_runs* runs, or a
    retention of its own. Most jobs are not, so that only the database reads them.
    """
    last_id = session.scalar(_LAST_OF_NEXT_JOBS, {"after": after, "limit": limit})
    if last_id is None:
        return JobsWithOldRuns({}, None)
    limits = {"oldest": oldest, "keep_runs": keep_runs}
    found = session.execute(_JOBS_WITH_OLD_RUNS, {"after": after, "last": last_id} | limits)
    spans = {job_id: span for job_id, *row in found if (span := _span(*row)) is not None}
    return JobsWithOldRuns(spans, last_id)


def _span_columns() -> list[Label[Any]]:
    """Return the columns of `_span`, for the job of the statement."""
    oldest = [
        select(line.instant).where(*line.guard).order_by(*line.oldest_first).limit(1).correlate(Job)
        for line in run_indexes.of_job(Job.id)
    ]
    # An index alone gives the count; to find the n-th newest instant would read every run.
    count = select(func.count()).select_from(Run).where(Run.job_id == Job.id).correlate(Job)
    names = ("runs", "oldest_fire", "oldest_other")
    columns = zip((count, *oldest), names, strict=True)
    return [column.scalar_subquery().label(name) for column, name in columns]


def _span(count: int, *oldest: datetime | None) -> Span | None:
    """Return the span of a job with so many runs; None without any."""
    known = [instant for instant in oldest if instant is not None]
    return Span(count, min(known)) if known else None


# Built once: a pass has thousands of looks.
_NEXT_JOBS = (
    select(Job.id)
    .where(Job.id > bindparam("after"))
    .order_by(Job.id)
    .limit(bindparam("limit"))
    .subquery()
)
_LAST_OF_NEXT_JOBS = select(func.max(_NEXT_JOBS.c.id))
_LOOKED_AT = (
    select(
        Job.id,
        (func.coalesce(cast(Job.retention, Text), _NO_RETENTION) != _NO_RETENTION).label("is_own"),
        *_span_columns(),
    )
    .where(Job.id > bindparam("after"), Job.id <= bindparam("last"))
    .subquery()
)
_JOBS_WITH_OLD_RUNS = select(
    _LOOKED_AT.c.id, _LOOKED_AT.c.runs, _LOOKED_AT.c.oldest_fire, _LOOKED_AT.c.oldest_other
).where(
    or_(
        _LOOKED_AT.c.is_own,
        _LOOKED_AT.c.runs > bindparam("keep_runs"),
        _LOOKED_AT.c.oldest_fire < bindparam("oldest"),
        _LOOKED_AT.c.oldest_other < bindparam("oldest"),
    )
)


def count_of(session: Session, job_id: int, state: RunState) -> int:
    """Return how many runs of a job finished in *state*."""
    return session.scalars(select(func.count()).select_from(Run).where(*_in(job_id, state))).one()


def nth_oldest(
    session: Session, job_id: int, number: int, *, state: RunState | None = None
) -> datetime | None:
    """Return the instant of the *number*-th oldest run of a job, counted from 0."""
    lines = run_indexes.of_job(job_id) if state is None else run_indexes.of_job_in(job_id, state)
    parts = [select(line.instant.label("instant")).where(*line.guard) for line in lines]
    merged = union_all(*parts) if len(parts) > 1 else parts[0]
    return session.scalars(merged.order_by("instant").offset(number).limit(1)).first()


def newest(session: Session, job_id: int, state: RunState) -> datetime | None:
    """Return the instant of the newest run of a job that finished in *state*."""
    newest_first = (Run.instant.desc(), Run.id.desc())
    statement = select(Run.instant).where(*_in(job_id, state)).order_by(*newest_first)
    return session.scalars(statement.limit(1)).first()


def _in(job_id: int | None, state: RunState) -> list[ColumnElement[bool] | TextClause]:
    # `==` with None is IS NULL, as always with a column.
    return [Run.job_id == job_id, Run.state == state, text(f"runs.{IS_OVER}")]


def pruned_until(session: Session, job_id: int) -> datetime | None:
    """Return the newest instant of the deleted runs of a job; None if there are none."""
    return session.scalars(
        select(func.max(PrunedRuns.latest_at)).where(PrunedRuns.job_id == job_id)
    ).one()


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run with a log, its job, and when it finished (None if it has not)."""

    id: UUID
    job_id: int | None
    finished_at: datetime | None


def runs_with_log(
    session: Session, *, after: UUID | None, before: UUID, limit: int
) -> list[LoggedRun]:
    """Return the next runs that have a log, by id, between *after* and *before*.

    The query skips from one run to the next along the index, without reading the chunks.
    """
    first = select(LogChunk.run_id).order_by(LogChunk.run_id).limit(1)
    if after is not None:
        first = first.where(LogChunk.run_id > after)
    start = select(first.scalar_subquery().label("run_id"), literal(1).label("number"))
    runs = start.cte("logged", recursive=True)
    following = (
        select(LogChunk.run_id)
        .where(LogChunk.run_id > runs.c.run_id)
        .order_by(LogChunk.run_id)
        .limit(1)
        .scalar_subquery()
    )
    runs = runs.union_all(
        select(following, runs.c.number + 1).where(runs.c.run_id < before, runs.c.number < limit)
    )
    statement = (
        select(Run.id, Run.job_id, Run.finished_at)
        .join(runs, runs.c.run_id == Run.id)
        .where(Run.id < before)
        .order_by(runs.c.number)
    )
    return [LoggedRun(*row) for row in session.execute(statement)]


def prune_logs(session: Session, run_ids: Sequence[UUID]) -> None:
    """Delete the logs of finished runs, mark it on their rows, and commit."""
    finished = update(Run).where(in_values(session, Run.id, run_ids), Run.state.in_(FINAL))
    session.execute(finished.values(log_deleted=True).execution_options(synchronize_session=False))
    chunks = delete(LogChunk).where(in_values(session, LogChunk.run_id, run_ids))
    session.execute(chunks.execution_options(synchronize_session=False))
    session.commit()
