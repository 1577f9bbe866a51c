"""Lists of jobs: their conditions, their order and the counts of each filter. Reads only."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session, selectinload

from jobs_app.accounts import tag_limit
from jobs_app.core.states import JobSort, RunState, Standing
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.db.page_size import fitting, text_size
from jobs_app.jobs.conditions import stands

#: The order of a list by attention: these come first, one after the other.
URGENT = (Standing.FAILING, Standing.LATE, Standing.RUNNING)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows; None, or (), leaves a condition out."""

    state: tuple[Standing, ...] = ()
    tag: str | None = None
    queue: str | None = None
    q: str | None = None
    last_state: tuple[RunState, ...] = ()


class Position(NamedTuple):
    """The position of a job in a list: its name, and what comes before it in the order."""

    name: str
    key: datetime | int | None = None

    @classmethod
    def read(cls, text: str, sort: JobSort) -> "Position":
        """Return the position in a list by *sort* from its text; raises ValueError."""
        name, _, key = text.partition(" ")
        if sort is JobSort.NAME or not key:
            return cls(name)
        if sort is JobSort.ATTENTION:
            ranks = [str(rank) for rank in range(len(URGENT) + 1)]
            return cls(name, ranks.index(key))
        try:
            return cls(name, datetime.fromisoformat(key).astimezone(UTC))
        except OverflowError as error:
            raise ValueError("an instant before all time") from error

    def __str__(self) -> str:
        key = self.key.isoformat() if isinstance(self.key, datetime) else self.key
        return self.name if key is None else f"{self.name} {key}"


@dataclass(frozen=True, slots=True)
class Facets:
    """How many jobs each filter finds alone."""

    total: int
    states: dict[Standing, int]
    tags: dict[str, int]
    queues: dict[str, int]


def page(
    session: Session,
    conditions: Filter,
    *,
    after: Position | None,
    limit: int,
    sort: JobSort = JobSort.NAME,
    at: datetime,
) -> tuple[list[tuple[Job, Position]], bool]:
    """Return living jobs as they stand at *at*, those after a position, with their positions.

    Also whether the page ends early because its jobs are large.
    """
    key = _key(session, sort, at=at)
    size = text_size(Job.kwargs, Job.description, Job.notify)
    statement = select(Job.id, size, Job.name, key.label("key")).where(
        *_conditions(session, conditions, at=at)
    )
    if after is not None:
        statement = statement.where(_is_after(after, key, is_descending=sort is JobSort.LAST))
    order = [key.desc() if sort is JobSort.LAST else key] if sort is not JobSort.NAME else []
    ordered = statement.order_by(*(column.nulls_last() for column in order), Job.name)
    rows = session.execute(ordered.limit(limit)).all()
    some = fitting([(row, row[1]) for row in rows])
    whole = select(Job).where(Job.id.in_([row.id for row in some]))
    jobs = {job.id: job for job in session.scalars(whole)}
    placed = [(jobs[row.id], Position(row.name, row.key)) for row in some if row.id in jobs]
    return placed, len(some) < len(rows)


def _key(session: Session, sort: JobSort, *, at: datetime) -> ColumnElement[Any]:
    """Return what jobs are sorted by before their names."""
    match sort:
        case JobSort.NAME:
            return cast(null(), Integer)
        case JobSort.ATTENTION:
            ranks = [(stands(session, URGENT[n], at=at), n) for n in range(len(URGENT))]
            return case(*ranks, else_=len(URGENT))
        case JobSort.NEXT:
            return type_coerce(Job.next_fire_at, Job.next_fire_at.type)
        case JobSort.LAST:
            return type_coerce(run_indexes.of_newest(Run.instant), Run.created_at.type)


def _is_after(
    position: Position, key: ColumnElement[Any], *, is_descending: bool
) -> ColumnElement[bool]:
    is_later = Job.name > position.name
    if position.key is None:
        # All of a list by name, and the jobs without a key, which come last.
        return and_(key.is_(None), is_later)
    value = literal(position.key, key.type)
    is_beyond = key < value if is_descending else key > value
    return or_(is_beyond, key.is_(None), and_(key == value, is_later))


def _conditions(
    session: Session, conditions: Filter, *, at: datetime
) -> Iterator[ColumnElement[bool]]:
    yield Job.deleted_at.is_(None)
    if conditions.state:
        yield or_(*(stands(session, state, at=at) for state in conditions.state))
    if conditions.queue is not None:
        yield Job.queue == conditions.queue
    if conditions.tag is not None:
        yield tag_limit.has_tag(Job.tags, conditions.tag)
    if conditions.q:
        q = conditions.q.lower()
        yield or_(
            Job.name.contains(q, autoescape=True),
            func.lower(Job.description).contains(q, autoescape=True),
            func.lower(Job.task).contains(q, autoescape=True),
        )
    if conditions.last_state:
        yield run_indexes.of_newest(Run.state).in_(conditions.last_state)


def facets(session: Session, *, at: datetime) -> Facets:
    """Count the living jobs of each filter, in two statements."""
    living = Job.deleted_at.is_(None)
    counts = [
        func.count().filter(stands(session, standing, at=at)).label(standing)
        for standing in Standing
    ]
    row = session.execute(select(func.count(), *counts).where(living)).one()
    tags, queues = Counter[str](), Counter[str]()
    texts = cast(Job.tags, Text).label("tags")
    same = select(func.min(Job.id).label("id"), Job.queue, func.count().label("jobs"))
    groups = same.where(living).group_by(Job.queue, texts).subquery()
    grouped = select(Job.tags, groups.c.queue, groups.c.jobs).join(groups, Job.id == groups.c.id)
    for group in session.execute(grouped):
        queues[group.queue] += group.jobs
        tags.update(dict.fromkeys(group.tags, group.jobs))
    states = {standing: row[number] for number, standing in enumerate(Standing, start=1)}
    return Facets(row[0], states, dict(sorted(tags.items())), dict(sorted(queues.items())))


def last_runs(session: Session, job_ids: Iterable[int]) -> dict[int, Run]:
    """Return the run of the newest instant of each of *job_ids* that has one, with attempts."""
    of_jobs = select(run_indexes.of_newest(Run.id)).where(Job.id.in_(list(job_ids)))
    runs = session.scalars(
        select(Run)
        .where(Run.id.in_(list(session.scalars(of_jobs))))
        .options(selectinload(Run.attempts))
    )
    return {run.job_id: run for run in runs if run.job_id is not None}
