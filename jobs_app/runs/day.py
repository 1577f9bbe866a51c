"""The outcomes of a day, by the hour, and the last failure: one bounded statement."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Integer,
    Select,
    String,
    cast,
    extract,
    func,
    literal,
    null,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Session

from jobs_app.core.states import FAILURES, FINAL, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run

#: Runs in each state that are counted at most; more of them are told as "5,000+".
MOST_COUNTED = 5_000

#: The hour of the rows that are the last failures.
_LAST = -1


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The newest run that failed, timed out or was lost; `job` is None for one without a job."""

    run: UUID
    state: RunState
    job: str | None
    instant: datetime


@dataclass(slots=True)
class Day:
    """How the runs since `since` ended; `hours` has the counts of each hour after it."""

    since: datetime
    hours: dict[int, Counter[RunState]] = field(default_factory=dict)
    last_failure: LastFailure | None = None

    @property
    def totals(self) -> Counter[RunState]:
        """How many runs ended in each state."""
        return sum(self.hours.values(), Counter())

    @property
    def cut(self) -> frozenset[RunState]:
        """The states with more runs than were counted."""
        totals = self.totals
        return frozenset(state for state in totals if totals[state] >= MOST_COUNTED)


def day_since(session: Session, since: datetime) -> Day:
    """Return the outcomes of the runs with instants from *since* on."""
    ended = [_newest_in(state, since) for state in FINAL]
    rows = union_all(*(select(part) for part in ended)).subquery()
    hour = _hour(session, rows.c.instant, since)
    no_instant = type_coerce(null(), Run.created_at.type)
    counts = select(
        hour.label("hour"),
        rows.c.state.label("state"),
        func.count().label("runs"),
        cast(null(), String).label("job"),
        cast(no_instant, Run.created_at.type).label("instant"),
        cast(null(), Run.id.type).label("id"),
    ).group_by(hour, rows.c.state)
    day = Day(since)
    failures = []
    for row in session.execute(union_all(counts, *map(_last_in, FAILURES))):
        state = RunState(row.state)
        if row.hour == _LAST:
            failures.append(LastFailure(row.id, state, row.job, row.instant))
        else:
            day.hours.setdefault(row.hour, Counter())[state] += row.runs
    day.last_failure = max(failures, key=lambda failure: failure.instant, default=None)
    return day


def _newest_in(state: RunState, since: datetime) -> Any:
    ended = run_indexes.in_state(state)
    return (
        select(literal(str(state)).label("state"), Run.instant.label("instant"))
        .where(*ended.guard, Run.instant >= since)
        .order_by(*ended.newest_first)
        .limit(MOST_COUNTED)
        .subquery()
    )


def _last_in(state: RunState) -> Select[Any]:
    """Return a query for the newest run that ended in *state*."""
    ended = run_indexes.in_state(state)
    newest = (
        select(Run.id, Run.job_id, Run.instant.label("instant"))
        .where(*ended.guard)
        .order_by(*ended.newest_first)
        .limit(1)
        .subquery()
    )
    return (
        select(
            literal(_LAST),
            literal(str(state)),
            literal(1),
            Job.name,
            newest.c.instant,
            newest.c.id,
        )
        .select_from(newest)
        .outerjoin(Job, Job.id == newest.c.job_id)
    )


def _hour(session: Session, instant: Any, since: datetime) -> Any:
    """Return the number of whole hours from *since* to *instant*."""
    epoch: Any = extract("epoch", instant)
    if session.get_bind().dialect.name == "postgresql":
        # A cast would round.
        epoch = func.floor(epoch)
    return cast((cast(epoch, BigInteger) - int(since.timestamp())) // literal(3600), Integer)
