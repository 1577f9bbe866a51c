"""The next fires of all jobs, in one bounded statement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from jobs_app.db.models.jobs import Job

#: Jobs that are read.
MOST_JOBS = 100


@dataclass(frozen=True, slots=True)
class NextFires:
    """The jobs that fire at the same instant; `has_more` if there may be others."""

    at: datetime
    jobs: tuple[str, ...]
    has_more: bool = False


def next_fires(session: Session, *, limit: int) -> list[NextFires]:
    """Return the next *limit* instants at which jobs fire, each with its jobs by name."""
    statement = (
        select(Job.next_fire_at, Job.name)
        .where(Job.next_due_at.is_not(None))
        .order_by(Job.next_fire_at, Job.name)
        .limit(MOST_JOBS)
    )
    return [*_grouped(session.execute(statement).all())][:limit]


def _grouped(rows: Sequence[Row[Any, str]]) -> Iterator[NextFires]:
    is_cut = len(rows) == MOST_JOBS
    for at, group in groupby(rows, key=itemgetter(0)):
        jobs = tuple(row[1] for row in group)
        yield NextFires(at, jobs, has_more=is_cut and rows[-1][0] == at)
