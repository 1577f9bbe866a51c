"""The last runs of several jobs, in one statement whose cost the history does not change."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run

#: Runs of a job that a list shows.
RECENT_RUNS = 20


@dataclass(frozen=True, slots=True)
class RecentRun:
    """A run in short; `instant` is that of its fire, or of its manual start.

    `started_at` and `finished_at` are those of its last attempt.
    """

    id: UUID
    state: RunState
    instant: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def duration_seconds(self) -> float | None:
        """How long the last attempt took; None if it did not start, or has not ended."""
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
    newest = _newest_ids(limit)
    if session.get_bind().dialect.name == "postgresql":
        # An array: with IN, PostgreSQL would read all runs and look each of them up.
        is_newest = Run.id == func.any(func.array(newest.scalar_subquery()))
    else:
        is_newest = Run.id.in_(newest)
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


_SHOWN = (Run.id, Run.state, Run.instant.label("instant"), Run.started_at, Run.finished_at)


def _newest_ids(limit: int) -> Select[Any]:
    """Return a query for the ids of the last runs of the job in the outer statement."""
    newest_by_range = [
        select(Run.id.label("id"), index_range.instant.label("instant"))
        .where(*index_range.guard)
        .order_by(*index_range.newest_first)
        .limit(limit)
        .correlate(Job)
        .subquery()
        for index_range in run_indexes.of_job(Job.id)
    ]
    merged = union_all(*(select(newest) for newest in newest_by_range)).subquery()
    return select(merged.c.id).order_by(merged.c.instant.desc(), merged.c.id.desc()).limit(limit)
