"""What is on record of runs: lists, one run, its attempts and its log. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload, selectinload

from jobs_app.core.errors import NotFound
from jobs_app.core.states import RunState, Trigger
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import HAS_WORDS, IS_UNSCHEDULED, LogChunk, Run
from jobs_app.db.run_indexes import NEWEST_FIRST, Condition, IndexRange
from jobs_app.tasks.context import LastLog


@dataclass(frozen=True, slots=True)
class Filter:
    """Which runs a list shows; None, or (), leaves a condition out.

    `since` and `until` bound the instant for which a run was scheduled, or at
    which it was started by hand: since <= it < until. `job` also finds the runs of
    deleted jobs of that name. `q` is a part of the note or of the error, in any case.
    """

    job: str | None = None
    states: tuple[RunState, ...] = ()
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


class Position(NamedTuple):
    """A place in a list: that of the run with this instant and id."""

    instant: datetime
    id: UUID

    @classmethod
    def of(cls, run: Run) -> "Position":
        """Return the place of *run*."""
        return cls(run.instant, run.id)

    @classmethod
    def read(cls, text: str) -> "Position":
        """Return the place that `str` made *text* of; raises ValueError."""
        instant, _, run_id = text.partition(" ")
        try:
            return cls(datetime.fromisoformat(instant).astimezone(UTC), UUID(run_id))
        except OverflowError as error:
            raise ValueError("an instant before all time") from error

    def __str__(self) -> str:
        return f"{self.instant.isoformat()} {self.id}"


#: Runs whose words are read before an index is asked for the rest.
LOOKED_THROUGH = 500

#: Indexes that one list is merged from at most.
MOST_BRANCHES = 100

# What a run says that a person would look for; on PostgreSQL there is an index on just this.
_WORDS = {
    "postgresql": "lower(coalesce(runs.note, '') || ' ' || coalesce(runs.error ->> 'type', '')"
    " || ' ' || coalesce(runs.error ->> 'message', ''))",
    "sqlite": "lower(coalesce(runs.note, '') || ' ' || coalesce(json_extract(runs.error, '$.type'),"
    " '') || ' ' || coalesce(json_extract(runs.error, '$.message'), ''))",
}


def page(session: Session, wanted: Filter, *, before: Position | None, limit: int) -> list[Run]:
    """Return runs with their jobs, workers and attempts, those of the newest instants first.

    Only those that come after the place *before*. The cost is that of the page,
    however long the history: each condition has an index in this order.
    """
    ids = _ids(session, wanted, before=before, limit=limit)
    if not ids:
        return []
    statement = (
        select(Run)
        .options(joinedload(Run.job), joinedload(Run.worker), selectinload(Run.attempts))
        .where(Run.id.in_(ids))
    )
    found = {run.id: run for run in session.scalars(statement)}
    # One that retention has deleted in between is passed over.
    return [found[run_id] for run_id in ids if run_id in found]


def _ids(
    session: Session, wanted: Filter, *, before: Position | None, limit: int
) -> Sequence[UUID]:
    """Return the runs of a page, in order.

    An index holds its order for one line only: the list is merged from the first rows of each.
    """
    jobs: list[int] | None = None
    if wanted.job is not None:
        jobs = list(session.scalars(select(Job.id).where(Job.name == wanted.job)))
    if wanted.q:
        return _ids_by_words(session, wanted, jobs, before=before, limit=limit)
    by_trigger = _by(wanted)
    branches = [
        select(Run.id, line.instant.label("instant"))
        .where(*line.guard, *_within(wanted, line.instant), *by_trigger)
        .where(*_after(before, line.instant))
        .order_by(*line.newest_first)
        .limit(limit)
        for line in _lines(wanted, jobs)
    ]
    if len(branches) == 1:
        return session.scalars(branches[0]).all()
    if not branches:
        return []
    parts = [branch.subquery() for branch in branches]
    merged = union_all(*(select(part.c.id, part.c.instant) for part in parts)).subquery()
    newest = select(merged.c.id).order_by(merged.c.instant.desc(), merged.c.id.desc())
    return session.scalars(newest.limit(limit)).all()


def _lines(wanted: Filter, jobs: list[int] | None) -> Sequence[IndexRange]:
    """Return the lines of what is wanted; many jobs that had one name share one."""
    is_rare = wanted.trigger not in (None, Trigger.SCHEDULE)
    if jobs is None:
        if wanted.states:
            return [run_indexes.in_state(state) for state in wanted.states]
        return (IndexRange(()),) if is_rare else run_indexes.of_all()
    if len(jobs) * max(len(wanted.states), 2) > MOST_BRANCHES:
        is_in = [Run.state.in_(wanted.states)] if wanted.states else []
        return (IndexRange((Run.job_id.in_(jobs), *is_in)),)
    if wanted.states:
        return [
            line
            for job in jobs
            for state in wanted.states
            for line in run_indexes.of_job_in(job, state)
        ]
    if is_rare:
        return [IndexRange((Run.job_id == job,)) for job in jobs]
    return [line for job in jobs for line in run_indexes.of_job(job)]


def _by(wanted: Filter) -> list[Condition]:
    if wanted.trigger is None:
        return []
    is_by = Run.trigger == wanted.trigger
    is_rare = wanted.trigger is not Trigger.SCHEDULE
    # Written out, not bound: only then does a database know its partial index to fit.
    return [is_by, text(f"runs.{IS_UNSCHEDULED}")] if is_rare else [is_by]


def _within(wanted: Filter, instant: Any = Run.instant) -> list[Condition]:
    found: list[Condition] = []
    if wanted.since is not None:
        found.append(instant >= wanted.since)
    if wanted.until is not None:
        found.append(instant < wanted.until)
    return found


def _after(place: Position | None, instant: Any = Run.instant) -> list[Condition]:
    if place is None:
        return []
    there = tuple_(literal(place.instant, Run.created_at.type), literal(place.id, Run.id.type))
    # The first one is implied; without it SQLite would come there from the list's beginning.
    return [instant <= place.instant, tuple_(instant, Run.id) < there]


def _ids_by_words(
    session: Session, wanted: Filter, jobs: list[int] | None, *, before: Position | None, limit: int
) -> Sequence[UUID]:
    """Return the runs of a page that say `wanted.q`, in order.

    What many say is found among the newest that say anything. What few say is found by the
    index on words, however long ago it was; of what many say it would fetch all there is.
    """
    words: ColumnElement[str] = literal_column(_WORDS[session.get_bind().dialect.name], String())
    said = [text(f"({HAS_WORDS})"), *_within(wanted)]
    if jobs is not None:
        said.append(Run.job_id.in_(jobs))
    q = (wanted.q or "").lower()
    newest = (
        select(Run.id, Run.instant.label("instant"), Run.state, Run.trigger, words.label("words"))
        .where(*said, *_after(before))
        .order_by(*NEWEST_FIRST)
        .limit(LOOKED_THROUGH)
        .subquery()
    )
    hits = (
        select(newest.c.id)
        .where(newest.c.words.contains(q, autoescape=True))
        .where(*_is(wanted, newest.c.state, newest.c.trigger))
        .order_by(newest.c.instant.desc(), newest.c.id.desc())
        .limit(limit)
    )
    found = list(session.scalars(hits))
    if len(found) == limit:
        return found
    last = select(Run.instant, Run.id).where(*said, *_after(before)).order_by(*NEWEST_FIRST)
    end = session.execute(last.offset(LOOKED_THROUGH - 1).limit(1)).first()
    if end is None:
        return found
    rest = (
        select(Run.id)
        .where(*said, words.contains(q, autoescape=True), *_is(wanted, Run.state, Run.trigger))
        .where(*_after(Position(*end)))
        .order_by(*NEWEST_FIRST)
        .limit(limit - len(found))
    )
    return [*found, *session.scalars(rest)]


def _is(
    wanted: Filter,
    state: ColumnElement[RunState] | InstrumentedAttribute[RunState],
    trigger: ColumnElement[Trigger] | InstrumentedAttribute[Trigger],
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(state.in_(wanted.states))
    if wanted.trigger is not None:
        found.append(trigger == wanted.trigger)
    return found


def get(session: Session, run_id: UUID) -> Run:
    """Return one run with its job, worker and attempts; raises NotFound."""
    statement = (
        select(Run)
        .options(joinedload(Run.job), joinedload(Run.worker), selectinload(Run.attempts))
        .where(Run.id == run_id)
        .execution_options(populate_existing=True)
    )
    run = session.scalars(statement).one_or_none()
    if run is None:
        raise NotFound(f"There is no run {run_id}.", code="run_not_found")
    return run


def log(session: Session, run_id: UUID, *, attempt: int) -> list[LogChunk]:
    """Return what an attempt wrote, in order; a gap in `seq` is what was cut out."""
    statement = (
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq)
    )
    return list(session.scalars(statement))


class LogPosition(NamedTuple):
    """A place in the log of a run: all attempts before, and of this one the chunks up to `seq`."""

    attempt: int = 0
    seq: int = -1


@dataclass(frozen=True, slots=True)
class LogNews:
    """What a run has written since a place, and how the run stands at the same instant.

    `log_bytes` is all that `attempt`, the newest one, has written so far.
    """

    state: RunState
    attempt: int
    log_bytes: int
    chunks: list[LogChunk]


def log_news(session: Session, run_id: UUID, *, after: LogPosition, limit: int) -> LogNews:
    """Return the chunks after a place, of all attempts in turn; raises NotFound.

    One statement, so that a final state comes with the last of what was written.
    """
    place = tuple_(literal(after.attempt), literal(after.seq))
    is_new = and_(LogChunk.run_id == Run.id, tuple_(LogChunk.attempt, LogChunk.seq) > place)
    statement = (
        select(Run.state, Run.attempt, Run.log_bytes, LogChunk)
        .outerjoin(LogChunk, is_new)
        .where(Run.id == run_id)
        .order_by(LogChunk.attempt, LogChunk.seq)
        .limit(limit)
    )
    rows = session.execute(statement).all()
    if not rows:
        raise NotFound(f"There is no run {run_id}.", code="run_not_found")
    state, attempt, log_bytes, _ = rows[0]
    # One row without a chunk is what the outer join gives where nothing is new.
    return LogNews(state, attempt, log_bytes, list(filter(None, (row[3] for row in rows))))


def last_log(session: Session, job: str, *, limit_bytes: int) -> LastLog | None:
    """Return what the newest run of a living *job* that has ended wrote, at most its end.

    Of its attempts, the last one. None if no run of that job was ever worked on.
    """
    statement = (
        select(Run)
        .join(Job, Job.id == Run.job_id)
        .where(Job.name == job, Job.deleted_at.is_(None))
        .where(Run.started_at.is_not(None), Run.finished_at.is_not(None))
        .order_by(Run.id.desc())
        .limit(1)
    )
    run = session.scalars(statement).one_or_none()
    if run is None or run.finished_at is None:
        return None
    text = "".join(chunk.text for chunk in log(session, run.id, attempt=run.attempt))
    data = text.encode()
    return LastLog(
        run_id=run.id,
        job=job,
        state=run.state,
        finished_at=run.finished_at,
        text=data[-limit_bytes:].decode("utf-8", "ignore"),
        is_cut=run.log_truncated or len(data) > limit_bytes,
    )
