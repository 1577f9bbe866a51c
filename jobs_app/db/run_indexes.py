"""The order of lists of runs, newest instant first, and which indexes have it."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, ScalarSelect, TextClause, and_, or_, select, text, union_all

from jobs_app.core.states import ACTIVE, FINAL, UNFINISHED, RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import HAS_NO_FIRE, IS_OVER, IS_UNFINISHED, Run

Condition: TypeAlias = ColumnElement[bool] | TextClause

#: The order of every list.
NEWEST_FIRST = (Run.instant.desc(), Run.id.desc())

# Written out, not bound, all of these: only then does a database know its partial index to fit.
_IS_OVER = text(f"runs.{IS_OVER}")
_IS_UNFINISHED = text(f"runs.{IS_UNFINISHED}")
_HAS_NO_FIRE = text(HAS_NO_FIRE.replace("scheduled_for", "runs.scheduled_for"))
_IS_WAITING = text(f"runs.state = '{RunState.WAITING}'")
_IS_ACTIVE = (
    text(f"runs.is_exclusive AND runs.state IN {tuple(map(str, ACTIVE))}"),
    text(f"NOT runs.is_exclusive AND runs.state IN {tuple(map(str, ACTIVE))}"),
)

#: The unfinished runs of a job are few, but lie among all the others; by an index each.
UNFINISHED_OF_JOB = (*_IS_ACTIVE, _IS_WAITING)


@dataclass(frozen=True, slots=True)
class IndexRange:
    """Runs that an index has in order; a list is merged from the first ones of some lines.

    `instant` is the instant of each of them as that index knows it.
    """

    guard: tuple[Condition, ...]
    instant: Any = field(default_factory=lambda: Run.instant)
    #: No two of them have one instant.
    is_strict: bool = False

    @property
    def newest_first(self) -> tuple[Any, ...]:
        """Their order, as an index has it."""
        return (self.instant.desc(),) if self.is_strict else (self.instant.desc(), Run.id.desc())

    @property
    def oldest_first(self) -> tuple[Any, ...]:
        """The same, the other way round."""
        return (self.instant,) if self.is_strict else (self.instant, Run.id)


def of_all() -> tuple[IndexRange, ...]:
    """Return the lines of all runs: what is over, and what is not by its state."""
    return (IndexRange((_IS_OVER,)), *map(in_state, UNFINISHED))


def in_state(state: RunState) -> IndexRange:
    """Return the line of all runs in *state*."""
    return IndexRange((Run.state == state, _IS_OVER if state in FINAL else _IS_UNFINISHED))


def of_job(job_id: Any) -> tuple[IndexRange, IndexRange]:
    """Return the lines of a job: one of its fires, one of what had none."""
    return (
        IndexRange((Run.job_id == job_id, Run.scheduled_for.is_not(None)), Run.scheduled_for, True),
        IndexRange((Run.job_id == job_id, _HAS_NO_FIRE), Run.created_at),
    )


def of_job_in(job_id: Any, state: RunState) -> tuple[IndexRange, ...]:
    """Return the lines of the runs of a job in *state*."""
    if state in FINAL:
        return (IndexRange((Run.job_id == job_id, Run.state == state, _IS_OVER)),)
    if state is RunState.WAITING:
        return (IndexRange((Run.job_id == job_id, _IS_WAITING)),)
    return tuple(
        IndexRange((Run.job_id == job_id, Run.state == state, each)) for each in _IS_ACTIVE
    )


def waiting_of_job(job_id: Any) -> ColumnElement[bool]:
    """Return the condition of the runs of a job that wait for its place."""
    return and_(Run.job_id == job_id, _IS_WAITING)


def active_of_job(job_id: Any) -> ColumnElement[bool]:
    """Return the condition of the active runs of a job."""
    # Each half in full: an index serves it, and it alone.
    return or_(*(and_(Run.job_id == job_id, each) for each in _IS_ACTIVE))


def of_newest(column: Any) -> ScalarSelect[Any]:
    """Return *column* of the newest run of the job that the statement around this is about."""
    ends = [
        select(column.label("told"), line.instant.label("instant"), Run.id.label("id"))
        .where(*line.guard)
        .order_by(*line.newest_first)
        .limit(1)
        .correlate(Job)
        .subquery()
        for line in of_job(Job.id)
    ]
    merged = union_all(*(select(end) for end in ends)).subquery()
    newest = select(merged.c.told).order_by(merged.c.instant.desc(), merged.c.id.desc()).limit(1)
    return newest.scalar_subquery()
