"""The history of runs: lists, single runs, their attempts and logs. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
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

from jobs_app.accounts.tag_limit import has_tag, is_limited
from jobs_app.core.errors import NotFound
from jobs_app.core.states import RunState, Trigger
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import HAS_WORDS, IS_UNSCHEDULED, LogChunk, Run
from jobs_app.db.page_size import RUN_SIZE, fitting
from jobs_app.db.run_indexes import NEWEST_FIRST, Condition, IndexRange
from jobs_app.runs.run_filter import Filter as Filter
from jobs_app.runs.run_filter import Position as Position
from jobs_app.runs.run_filter import after, within

#: The newest runs whose text is searched before the index on text is used.
SEARCHED_FIRST = 500

#: The highest number of index ranges that one list is merged from.
MAX_RANGES = 100

# The text of a run that people search; PostgreSQL has an index on exactly this expression.
_TEXT = {
    "postgresql": "lower(coalesce(runs.note, '') || ' ' || coalesce(runs.error ->> 'type', '')"
    " || ' ' || coalesce(runs.error ->> 'message', ''))",
    "sqlite": "lower(coalesce(runs.note, '') || ' ' || coalesce(json_extract(runs.error, '$.type'),"
    " '') || ' ' || coalesce(json_extract(runs.error, '$.message'), ''))",
}


#: Runs with their jobs, workers and attempts.
_WHOLE = select(Run).options(
    joinedload(Run.job), joinedload(Run.worker), selectinload(Run.attempts)
)


def page(
    session: Session, conditions: Filter, *, before: Position | None, limit: int
) -> tuple[list[Run], bool]:
    """Return runs with their jobs, workers and attempts, those of the newest instants first.

    Also whether the page ends early because its runs are large. It begins after the position
    *before*. Its cost does not depend on the length of the history: each condition has an index
    in this order.
    """
    jobs = _jobs(session, conditions)
    return _whole_runs(session, _ids(session, conditions, jobs, before=before, limit=limit))


def page_from(
    session: Session, conditions: Filter, first: Position, *, limit: int, most_newer: int
) -> tuple[list[Run], bool, int]:
    """Return the page that begins with the run at *first*, as `page` does.

    And how many runs are newer than that one, at most *most_newer*.
    """
    jobs = _jobs(session, conditions)
    newer = replace(conditions, newer_than=first)
    newer_ids = _ids(session, newer, jobs, before=None, limit=most_newer)
    held = replace(conditions, up_to=first)
    ids = _ids(session, held, jobs, before=None, limit=limit)
    return *_whole_runs(session, ids), len(newer_ids)


def _whole_runs(session: Session, ids: Sequence[UUID]) -> tuple[list[Run], bool]:
    """Return the first of these runs that fit into a page, in order, and whether some do not."""
    if not ids:
        return [], False
    sizes = dict(session.execute(select(Run.id, RUN_SIZE).where(Run.id.in_(ids))).all())
    some = fitting([(run_id, sizes.get(run_id, 0)) for run_id in ids])
    runs = {run.id: run for run in session.scalars(_WHOLE.where(Run.id.in_(some)))}
    # A run that the pruner has deleted in between is left out.
    return [runs[run_id] for run_id in some if run_id in runs], len(some) < len(ids)


def _ids(
    session: Session,
    conditions: Filter,
    jobs: list[int] | None,
    *,
    before: Position | None,
    limit: int,
) -> Sequence[UUID]:
    """Return the runs of a page, in order.

    An index is in this order within a range only; the page is merged from several ranges.
    """
    if conditions.q:
        return _ids_by_text(session, conditions, jobs, before=before, limit=limit)
    others = [*_trigger(conditions), *_by_or_id(conditions)]
    branches = [
        select(Run.id, index_range.instant.label("instant"))
        .where(*index_range.guard, *within(conditions, index_range.instant), *others)
        .where(*after(before, index_range.instant))
        .order_by(*index_range.newest_first)
        .limit(limit)
        for index_range in _ranges(conditions, jobs)
    ]
    if len(branches) == 1:
        return session.scalars(branches[0]).all()
    if not branches:
        return []
    parts = [branch.subquery() for branch in branches]
    merged = union_all(*(select(part.c.id, part.c.instant) for part in parts)).subquery()
    newest = select(merged.c.id).order_by(merged.c.instant.desc(), merged.c.id.desc())
    return session.scalars(newest.limit(limit)).all()


def _jobs(session: Session, conditions: Filter) -> list[int] | None:
    """Return the jobs whose runs a list has; None for all that the session finds."""
    of_name = [] if conditions.job is None else [Job.name == conditions.job]
    of_tag = [] if conditions.tag is None else _has_tag(conditions.tag)
    if of_name or of_tag:
        return list(session.scalars(select(Job.id).where(*of_name, *of_tag)))
    # Of few jobs, each has a range; of many, most runs of the whole index may be listed.
    few = list(session.scalars(select(Job.id).limit(MAX_RANGES))) if is_limited(session) else []
    return few if is_limited(session) and len(few) < MAX_RANGES // 2 else None


def _has_tag(tag: str) -> list[Condition]:
    return [has_tag(Job.tags, tag), Job.deleted_at.is_(None)]


def _ranges(conditions: Filter, jobs: list[int] | None) -> Sequence[IndexRange]:
    """Return the index ranges of a list; many jobs that had the same name share one range."""
    if conditions.by is not None or conditions.ids is not None:
        # Few runs have a name: one index has all that one person started. So it is with ids.
        of_jobs = [] if jobs is None else [Run.job_id.in_(jobs)]
        in_states = [Run.state.in_(conditions.states)] if conditions.states else []
        return (IndexRange((*of_jobs, *in_states)),)
    if jobs is None:
        if conditions.states:
            return [run_indexes.in_state(state) for state in conditions.states]
        return _of_rare_triggers(conditions) or run_indexes.of_all()
    if len(jobs) * max(len(conditions.states), len(conditions.triggers), 2) > MAX_RANGES:
        is_in = [Run.state.in_(conditions.states)] if conditions.states else []
        return (IndexRange((Run.job_id.in_(jobs), *is_in)),)
    if conditions.states:
        return [
            index_range
            for job in jobs
            for state in conditions.states
            for index_range in run_indexes.of_job_in(job, state)
        ]
    if _is_rare(conditions):
        return [each for job in jobs for each in _of_rare_triggers(conditions, Run.job_id == job)]
    return [index_range for job in jobs for index_range in run_indexes.of_job(job)]


def _trigger(conditions: Filter) -> list[Condition]:
    if not conditions.triggers:
        return []
    has_trigger = Run.trigger.in_(conditions.triggers)
    # Literals, not bound parameters: only then does a database use its partial index.
    is_unscheduled = text(f"runs.{IS_UNSCHEDULED}")
    return [has_trigger, is_unscheduled] if _is_rare(conditions) else [has_trigger]


def _is_rare(conditions: Filter) -> bool:
    """Whether a list has only runs whose triggers are rare; most runs are scheduled."""
    return bool(conditions.triggers) and Trigger.SCHEDULE not in conditions.triggers


def _of_rare_triggers(conditions: Filter, *guard: Condition) -> list[IndexRange]:
    """Return the index ranges of runs with rare triggers; none if they are not rare."""
    if not _is_rare(conditions):
        return []
    return [IndexRange((*guard, Run.trigger == trigger)) for trigger in conditions.triggers]


def _by_or_id(conditions: Filter) -> list[Condition]:
    by = [] if conditions.by is None else [Run.triggered_by == conditions.by]
    ids = [] if conditions.ids is None else [conditions.ids.condition]
    return [*by, *ids]


def _ids_by_text(
    session: Session,
    conditions: Filter,
    jobs: list[int] | None,
    *,
    before: Position | None,
    limit: int,
) -> Sequence[UUID]:
    """Return the runs of a page whose text contains `conditions.q`, in order.

    Frequent text is found among the newest runs that have any. Rare text is found by the
    index on text, however old the run is; for frequent text, that index would return too much.
    """
    run_text: ColumnElement[str] = literal_column(_TEXT[session.get_bind().dialect.name], String())
    with_text = [text(f"({HAS_WORDS})"), *within(conditions), *_by_or_id(conditions)]
    if jobs is not None:
        with_text.append(Run.job_id.in_(jobs))
    q = (conditions.q or "").lower()
    newest = (
        select(
            Run.id, Run.instant.label("instant"), Run.state, Run.trigger, run_text.label("run_text")
        )
        .where(*with_text, *after(before))
        .order_by(*NEWEST_FIRST)
        .limit(SEARCHED_FIRST)
        .subquery()
    )
    hits = (
        select(newest.c.id)
        .where(newest.c.run_text.contains(q, autoescape=True))
        .where(*_matches(conditions, newest.c.state, newest.c.trigger))
        .order_by(newest.c.instant.desc(), newest.c.id.desc())
        .limit(limit)
    )
    ids = list(session.scalars(hits))
    # Of the newer runs, those among the newest ones are enough for a number that has a bound.
    if len(ids) == limit or conditions.newer_than is not None:
        return ids
    last = select(Run.instant, Run.id).where(*with_text, *after(before)).order_by(*NEWEST_FIRST)
    end = session.execute(last.offset(SEARCHED_FIRST - 1).limit(1)).first()
    if end is None:
        return ids
    older = (
        select(Run.id)
        .where(*with_text, run_text.contains(q, autoescape=True), *after(Position(*end)))
        .where(*_matches(conditions, Run.state, Run.trigger))
        .order_by(*NEWEST_FIRST)
        .limit(limit - len(ids))
    )
    return [*ids, *session.scalars(older)]


def _matches(
    conditions: Filter,
    state: ColumnElement[RunState] | InstrumentedAttribute[RunState],
    trigger: ColumnElement[Trigger] | InstrumentedAttribute[Trigger],
) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = []
    if conditions.states:
        clauses.append(state.in_(conditions.states))
    if conditions.triggers:
        clauses.append(trigger.in_(conditions.triggers))
    return clauses


def get(session: Session, run_id: UUID) -> Run:
    """Return one run with its job, worker and attempts; raises NotFound."""
    fresh = _WHOLE.where(Run.id == run_id).execution_options(populate_existing=True)
    run = session.scalars(fresh).one_or_none()
    if run is None:
        raise NotFound(f"There is no run {run_id}.", code="run_not_found")
    return run


def log(session: Session, run_id: UUID, *, attempt: int) -> list[LogChunk]:
    """Return the output of an attempt, in order; a gap in `seq` is where output was cut."""
    statement = (
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq)
    )
    return list(session.scalars(statement))


def log_end(session: Session, run_id: UUID, *, attempt: int, limit: int) -> list[LogChunk]:
    """Return the last *limit* chunks of the output of an attempt, in order."""
    statement = (
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq.desc())
        .limit(limit)
    )
    return list(session.scalars(statement))[::-1]


class LogPosition(NamedTuple):
    """A position in the log of a run: after chunk `seq` of this attempt.

    `parts` is how many parts of the next chunk belong to it too.
    """

    attempt: int = 0
    seq: int = -1
    parts: int = 0


@dataclass(frozen=True, slots=True)
class LogNews:
    """The output of a run since a position, and its state at the same instant.

    `log_bytes` counts all output of `attempt`, the newest one.
    """

    state: RunState
    attempt: int
    log_bytes: int
    chunks: list[LogChunk]


def log_news(session: Session, run_id: UUID, *, after: LogPosition, limit: int) -> LogNews:
    """Return the chunks after a position, of all attempts in turn; raises NotFound.

    A single statement, so that a final state always comes with the last output.
    """
    position = tuple_(literal(after.attempt), literal(after.seq))
    is_new = and_(LogChunk.run_id == Run.id, tuple_(LogChunk.attempt, LogChunk.seq) > position)
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
    # If nothing is new, the outer join returns one row without a chunk.
    return LogNews(state, attempt, log_bytes, list(filter(None, (row[3] for row in rows))))
