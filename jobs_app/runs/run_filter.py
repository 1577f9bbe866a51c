"""The conditions of a list of runs, and places in it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from sqlalchemy import literal, tuple_

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.models.runs import Run
from jobs_app.db.run_indexes import Condition
from jobs_app.runs.id_prefix import IdRange


class Position(NamedTuple):
    """The position of a run in a list, by its instant and id."""

    instant: datetime
    id: UUID

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the position of *run*."""
        return cls(run.instant, run.id)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the position from its text, as `str` gives it; raises ValueError."""
        instant, _, run_id = text.partition(" ")
        try:
            return cls(datetime.fromisoformat(instant).astimezone(UTC), UUID(run_id))
        except OverflowError as error:
            raise ValueError("an instant before all time") from error

    def __str__(self) -> str:
        return f"{self.instant.isoformat()} {self.id}"


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions of a list of runs; None, or (), leaves a condition out.

    A run's instant is that of its fire, or of its manual start: since <= instant < until.
    `job` also finds the runs of deleted jobs of that name; `tag` is one of a living job.
    `by` is the name of who started it. `q` is a part of the note or of the error, in any case.
    `ids` holds their ids. In the order of a list, all are newer than `newer_than`, and none is
    newer than `up_to`.
    """

    job: str | None = None
    tag: str | None = None
    states: tuple[RunState, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    ids: IdRange | None = None
    newer_than: Position | None = None
    up_to: Position | None = None


def within(conditions: Filter, instant: Any = Run.instant) -> list[Condition]:
    """Return the conditions of the instant and the position; an index range has its *instant*."""
    bounds: list[Condition] = []
    if conditions.since is not None:
        bounds.append(instant >= conditions.since)
    if conditions.until is not None:
        bounds.append(instant < conditions.until)
    if (oldest := conditions.newer_than) is not None:
        bounds += [instant >= oldest.instant, tuple_(instant, Run.id) > _place(oldest)]
    if (newest := conditions.up_to) is not None:
        bounds += [instant <= newest.instant, tuple_(instant, Run.id) <= _place(newest)]
    return bounds


def after(position: Position | None, instant: Any = Run.instant) -> list[Condition]:
    """Return the conditions of the runs that follow a position in a list."""
    if position is None:
        return []
    # The second condition implies the first; without it SQLite would scan from the beginning.
    return [instant <= position.instant, tuple_(instant, Run.id) < _place(position)]


def _place(position: Position) -> Any:
    return tuple_(literal(position.instant, Run.created_at.type), literal(position.id, Run.id.type))
