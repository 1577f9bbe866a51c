"""The next fires of all jobs, in one bounded statement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import select
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


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next instants at which jobs fire, and the zones whose clock those jobs follow."""

    fires: list[NextFires]
    timezones: frozenset[str]


def upcoming(session: Session, *, limit: int) -> Upcoming:
    """Return the next *limit* instants at which jobs fire, each with its jobs by name."""
    statement = (
        select(Job.next_fire_at, Job.name, Job.timezone, Job.cron)
        .where(Job.next_due_at.is_not(None))
        .order_by(Job.next_fire_at, Job.name)
        .limit(MOST_JOBS)
    )
    rows: Sequence[Any] = session.execute(statement).all()
    zones = frozenset(row.timezone for row in rows if row.cron is not None)
    return Upcoming([*_grouped(rows)][:limit], zones)


def _grouped(rows: Sequence[Any]) -> Iterator[NextFires]:
    is_cut = len(rows) == MOST_JOBS
    for at, group in groupby(rows, key=itemgetter(0)):
        jobs = tuple(row[1] for row in group)
        yield NextFires(at, jobs, has_more=is_cut and rows[-1][0] == at)
