"""The last runs of several jobs, in one statement whose cost the history does not change."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import FIRST_STARTED_AT, Run
from jobs_app.db.run_indexes import IndexRange

#: Runs of a job that a list shows.
RECENT_RUNS = 20


@dataclass(frozen=True, slots=True)
class RecentRun:
    """A run in short; `instant` is that of its fire, or of its manual start.

    `started_at` is that of its first attempt, `finished_at` that of its last one.
    """

    id: UUID
    state: RunState
    instant: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def duration_seconds(self) -> float | None:
        """How long it took over all attempts; None if it did not start, or has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


def recent_runs(
    session: Session, job_ids: Iterable[int], *, limit: int = RECENT_RUNS
) -> dict[int, list[RecentRun]]:
    """Return the last *limit* runs of each of *job_ids* that has one, oldest first."""
    ids = list(job_ids)
    if not ids:
        return {}
    is_newest = newest_ids(session, run_indexes.of_job(Job.id), limit=limit)
    statement = (
        select(Job.id.label("job"), *_SHOWN)
        .join(Run, is_newest)
        .where(Job.id.in_(ids))
        .order_by(Job.id, Run.instant, Run.id)
    )
    runs: dict[int, list[RecentRun]] = {}
    for row in session.execute(statement):
        runs.setdefault(row.job, []).append(RecentRun(*row[1:]))
    return runs


_SHOWN = (
    Run.id,
    Run.state,
    Run.instant.label("instant"),
    FIRST_STARTED_AT.label("started_at"),
    Run.finished_at,
)


def newest_ids(
    session: Session, ranges: Iterable[IndexRange], *, limit: int
) -> ColumnElement[bool]:
    """Return the condition that a run is among the newest in *ranges* of the job outside."""
    newest = run_indexes.newest(Run.id, ranges, limit=limit)
    if session.get_bind().dialect.name == "postgresql":
        # An array: with IN, PostgreSQL would read all runs and look each of them up.
        return Run.id == func.any(func.array(newest.scalar_subquery()))
    return Run.id.in_(newest)
