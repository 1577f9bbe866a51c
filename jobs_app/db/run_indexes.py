"""Lists of runs, newest instant first: the ranges of indexes that hold them in this order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    TextClause,
    and_,
    or_,
    select,
    text,
    union_all,
)

from jobs_app.core.states import ACTIVE, FINAL, UNFINISHED, RunState
from jobs_app.db.models import runs
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import HAS_NO_FIRE, IS_OVER, Run

Condition: TypeAlias = ColumnElement[bool] | TextClause

#: The order of every list.
NEWEST_FIRST = (Run.instant.desc(), Run.id.desc())


def is_in(state: RunState) -> TextClause:
    """Return the condition that a run is in *state*, with a literal.

    PostgreSQL uses a partial index only for a literal. SQLite plans a statement anew at each
    execution if its choice of an index depends on a parameter.
    """
    return text(f"runs.state = '{state}'")


# Literals, not bound parameters: only then does a database use its partial index.
_IS_OVER = text(f"runs.{IS_OVER}")
IS_UNFINISHED = text(f"runs.{runs.IS_UNFINISHED}")
_HAS_NO_FIRE = text(HAS_NO_FIRE.replace("scheduled_for", "runs.scheduled_for"))
IS_WAITING = is_in(RunState.WAITING)
_IS_ACTIVE = (
    text(f"runs.is_exclusive AND runs.state IN {tuple(map(str, ACTIVE))}"),
    text(f"NOT runs.is_exclusive AND runs.state IN {tuple(map(str, ACTIVE))}"),
)

#: The unfinished runs of a job, with a partial index for each condition.
UNFINISHED_OF_JOB = (*_IS_ACTIVE, IS_WAITING)


@dataclass(frozen=True, slots=True)
class IndexRange:
    """Runs that one index has in order; a list is merged from the first rows of some ranges.

    `instant` is the expression for the instant of a run that this index has.
    """

    guard: tuple[Condition, ...]
    instant: Any = field(default_factory=lambda: Run.instant)
    #: No two of these runs have the same instant.
    is_strict: bool = False

    @property
    def newest_first(self) -> tuple[Any, ...]:
        """The order of the runs in the index, newest first."""
        return (self.instant.desc(),) if self.is_strict else (self.instant.desc(), Run.id.desc())

    @property
    def oldest_first(self) -> tuple[Any, ...]:
        """The same order, oldest first."""
        return (self.instant,) if self.is_strict else (self.instant, Run.id)


def of_all() -> tuple[IndexRange, ...]:
    """Return the ranges of all runs: the finished ones, and the others by state."""
    return (IndexRange((_IS_OVER,)), *map(in_state, UNFINISHED))


def in_state(state: RunState) -> IndexRange:
    """Return the range of all runs in *state*."""
    return IndexRange((Run.state == state, _IS_OVER if state in FINAL else IS_UNFINISHED))


def of_job(job_id: Any) -> tuple[IndexRange, IndexRange]:
    """Return the ranges of a job: the runs of its fires, and the runs without a fire."""
    return (
        IndexRange((Run.job_id == job_id, Run.scheduled_for.is_not(None)), Run.scheduled_for, True),
        IndexRange((Run.job_id == job_id, _HAS_NO_FIRE), Run.created_at),
    )


def of_job_in(job_id: Any, state: RunState) -> tuple[IndexRange, ...]:
    """Return the ranges of the runs of a job in *state*."""
    if state in FINAL:
        return (IndexRange((Run.job_id == job_id, Run.state == state, _IS_OVER)),)
    if state is RunState.WAITING:
        return (IndexRange((Run.job_id == job_id, IS_WAITING)),)
    return tuple(
        IndexRange((Run.job_id == job_id, Run.state == state, active)) for active in _IS_ACTIVE
    )


def waiting_of_job(job_id: Any) -> ColumnElement[bool]:
    """Return the condition of the `waiting` runs of a job."""
    return and_(Run.job_id == job_id, IS_WAITING)


def active_of_job(job_id: Any) -> ColumnElement[bool]:
    """Return the condition of the active runs of a job."""
    # Repeat job_id in each branch: only this form uses the indexes.
    return or_(*(and_(Run.job_id == job_id, active) for active in _IS_ACTIVE))


def of_newest(column: Any) -> ScalarSelect[Any]:
    """Return a subquery for *column* of the newest run of the job in the outer statement."""
    return newest_of(column, of_job(Job.id))


def newest_of(column: Any, ranges: Iterable[IndexRange]) -> ScalarSelect[Any]:
    """Return a subquery for *column* of the newest run in *ranges* of the job outside."""
    return newest(column, ranges, limit=1).scalar_subquery()


def newest(column: Any, ranges: Iterable[IndexRange], *, limit: int) -> Select[Any]:
    """Return a query for *column* of the newest runs in *ranges* of the job outside."""
    newest_by_range = [
        select(column.label("value"), index_range.instant.label("instant"), Run.id.label("id"))
        .where(*index_range.guard)
        .order_by(*index_range.newest_first)
        .limit(limit)
        .correlate(Job)
        .subquery()
        for index_range in ranges
    ]
    merged = union_all(*(select(newest) for newest in newest_by_range)).subquery()
    newest_first = (merged.c.instant.desc(), merged.c.id.desc())
    return select(merged.c.value).order_by(*newest_first).limit(limit)
