"""Counts new and finished runs for /metrics, without an index or a write at their finish.

The ids of runs sort by the time of their creation. Each step reads the runs since the one
before, once, and remembers those that have not ended. So no step reads old history, and each
run is counted once, whatever process finished it and whatever was killed meanwhile.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    and_,
    case,
    cast,
    delete,
    extract,
    func,
    insert,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.job_series import JobSeries
from jobs_app.core.states import RunState
from jobs_app.db import bulk_sql
from jobs_app.db.columns import first_id_at
from jobs_app.db.counters import (
    DURATION_BUCKETS,
    INFINITE,
    SUM,
    WAIT_BUCKETS,
    Key,
    add_to,
    bucket_label,
)
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.metrics import MetricCounter, RunCounting, UncountedRun
from jobs_app.db.models.runs import FIRST_STARTED_AT, IS_UNFINISHED, Run
from jobs_app.runs.traces import Span, read_spans

#: The names of the counters, by which /metrics finds them.
FINISHED, DURATION, WAIT = "runs_finished", "run_duration", "run_wait"
RETRIES, FIRES = "run_retries", "fires_recorded"

#: A run may be committed so long after its id was made, by a process whose clock is a bit slow.
SETTLING = timedelta(seconds=5)

#: Runs that one step looks at: new ones, and as many of those that had not ended.
MAX_RUNS = 10_000

#: The job of runs without a job, and of all jobs without counters of their own.
NO_JOB, OTHER_JOBS = -1, 0

#: What becomes of a fire that is not run.
OUTCOMES = {state: state.value for state in (RunState.SKIPPED, RunState.MISSED, RunState.OBSERVED)}


@dataclass(slots=True)
class _Step:
    """What a step has read: the runs from *first* on, before *following*."""

    first: UUID
    following: UUID
    unfinished: list[UUID] = field(default_factory=list)
    #: Remembered runs that have ended, or are deleted.
    ended: list[UUID] = field(default_factory=list)
    #: The jobs that are counted alone, and those that are so no more.
    own: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    amounts: Counter[Key] = field(default_factory=Counter)
    spans: list[Span] = field(default_factory=list)


class RunCounter:
    """Counts the runs of an installation; several processes may do so at the same time."""

    def __init__(
        self,
        database: Database,
        series: JobSeries,
        *,
        on_spans: Callable[[list[Span]], None] | None = None,
    ) -> None:
        """Count jobs alone as *series* says; *on_spans* gets the traces of the finished runs."""
        self._database = database
        self._series = series
        self._on_spans = on_spans
        #: Where the look at the remembered runs goes on: there may be many.
        self._looked_until: UUID | None = None

    def step(self, *, at: datetime) -> bool:
        """Count what is new; return whether there is more. Without news it only reads."""
        until = first_id_at(at - SETTLING)
        with self._database.reading() as session:
            first = session.scalar(select(RunCounting.next_id))
            step = None if first is None else self._read(session, first, until)
        if first is None:
            self._begin(until)
        elif step is not None:
            self._write(step)
            return step.following != until
        return False

    def _begin(self, until: UUID) -> None:
        """Remember the runs under way; those that ended before are never counted."""
        with self._database.session() as session:
            dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
            row = dialect.insert(RunCounting).values(number=1, next_id=until)
            if bulk_sql.rowcount(session.execute(row.on_conflict_do_nothing())):
                unfinished = select(Run.id).where(_IS_UNFINISHED, Run.id < until)
                session.execute(insert(UncountedRun).from_select(["run_id"], unfinished))
            session.commit()

    def _read(self, session: Session, first: UUID, until: UUID) -> _Step | None:
        """Return what is to be counted; None without anything new."""
        if until <= first:
            return None
        window = Run.id >= first, Run.id < until
        in_order = select(Run.id).where(*window).order_by(Run.id).limit(1)
        has_new = session.scalar(in_order) is not None
        # The ids themselves are not read: at a thousand runs a second that would hold up the tick.
        step = _Step(first, session.scalar(in_order.offset(MAX_RUNS)) or until)
        step.ended = self._ended(session)
        finished: list[ColumnElement[bool]] = []
        if has_new:
            new = and_(Run.id >= first, Run.id < step.following)
            unfinished = select(Run.id).where(new, Run.finished_at.is_(None))
            step.unfinished = list(session.scalars(unfinished))
            _count_fires(session, new, step.amounts)
            # A run that has ended since the look above is counted by the next step.
            others = ~bulk_sql.in_values(session, Run.id, step.unfinished)
            finished.append(and_(new, others, Run.finished_at.is_not(None)))
        if step.ended:
            finished.append(bulk_sql.in_values(session, Run.id, step.ended))
        if not finished:
            return None
        step.own, step.stale = self._jobs_with_series(session, finished)
        for which in finished:
            self._read_finished(session, which, step)
        return step

    def _read_finished(self, session: Session, which: ColumnElement[bool], step: _Step) -> None:
        _count_finished(session, which, step)
        if self._on_spans is not None:
            step.spans += read_spans(session, which)

    def _ended(self, session: Session) -> list[UUID]:
        """Return remembered runs that have ended; each call looks at the next MAX_RUNS."""
        remembered = select(UncountedRun.run_id).order_by(UncountedRun.run_id)
        if self._looked_until is not None:
            remembered = remembered.where(UncountedRun.run_id > self._looked_until)
        # None at the end: the next call begins anew.
        self._looked_until = session.scalar(remembered.offset(MAX_RUNS - 1).limit(1))
        part = remembered.limit(MAX_RUNS).subquery()
        has_ended = or_(Run.id.is_(None), Run.finished_at.is_not(None))
        statement = select(part.c.run_id).outerjoin(Run, Run.id == part.c.run_id).where(has_ended)
        return list(session.scalars(statement))

    def _write(self, step: _Step) -> None:
        """Write a step, unless another process has written it."""
        passed = update(RunCounting).where(RunCounting.next_id == step.first)
        with self._database.session() as session:
            if not bulk_sql.rowcount(session.execute(passed.values(next_id=step.following))):
                session.rollback()
                return
            if step.ended:
                ended = bulk_sql.in_values(session, UncountedRun.run_id, step.ended)
                session.execute(delete(UncountedRun).where(ended))
            if step.unfinished:
                session.execute(insert(UncountedRun), [{"run_id": key} for key in step.unfinished])
            if step.stale:
                session.execute(delete(MetricCounter).where(MetricCounter.job_id.in_(step.stale)))
            # A unary plus leaves out what is zero, as are most buckets.
            add_to(session, +step.amounts)
            session.commit()
        if self._on_spans is not None and step.spans:
            self._on_spans(step.spans)

    def _jobs_with_series(
        self, session: Session, finished: Iterable[ColumnElement[bool]]
    ) -> tuple[set[int], set[int]]:
        """Return the jobs that are counted alone, and those whose series end.

        Those of the *finished* runs may be new. A job keeps its counters until it is deleted: a
        job that changed between them and the others would look like a burst of runs.
        """
        counted = select(MetricCounter.job_id).where(MetricCounter.job_id > 0)
        before = set(session.scalars(counted.where(MetricCounter.name == FINISHED).distinct()))
        own = self._living(session, bulk_sql.in_values(session, Job.id, sorted(before)))
        kept = sorted(own)[: self._series.limit]
        if room := self._series.limit - len(kept):
            jobs = (Job.id.in_(select(Run.job_id).where(which)) for which in finished)
            new = set[int]().union(*(self._living(session, which) for which in jobs)) - before
            kept += sorted(new)[:room]
        return set(kept), before.difference(kept)

    def _living(self, session: Session, which: ColumnElement[bool]) -> set[int]:
        """Return the jobs that fit *which*, are not deleted and may have counters of their own."""
        statement = select(Job.id, Job.name).where(Job.deleted_at.is_(None), which)
        return {row.id for row in session.execute(statement) if self._series.includes(row.name)}


_IS_UNFINISHED = text(f"runs.{IS_UNFINISHED}")


def _count_fires(session: Session, new: ColumnElement[bool], amounts: Counter[Key]) -> None:
    """Count the fires that *new* runs stand for, by what became of them."""
    fires = (
        select(Run.state, func.sum(Run.fires).label("fires"))
        .where(new, Run.scheduled_for.is_not(None))
        .group_by(Run.state)
    )
    for row in session.execute(fires):
        amounts[Key(FIRES, label=OUTCOMES.get(row.state, "run"))] += row.fires


def _count_finished(session: Session, which: ColumnElement[bool], step: _Step) -> None:
    """Count the runs that have ended, by job and state; how long they took, and waited."""
    # The database sums the jobs that are not counted alone: thousands may end between two steps.
    job_id = case(
        (Run.job_id.is_(None), NO_JOB),
        (bulk_sql.in_values(session, Run.job_id, sorted(step.own)), Run.job_id),
        else_=OTHER_JOBS,
    )
    took = _seconds(session, FIRST_STARTED_AT, Run.finished_at)
    waited = case(
        (Run.started_at.is_(None), null()), else_=_seconds(session, Run.queued_at, Run.started_at)
    )
    ended = (
        select(
            job_id.label("job_id"),
            Run.state,
            Run.attempt,
            took.label("took"),
            waited.label("waited"),
        )
        .where(which, Run.finished_at.is_not(None))
        .subquery()
    )
    statement = select(
        ended.c.job_id,
        ended.c.state,
        func.count().label("runs"),
        func.sum(ended.c.attempt - 1).label("retries"),
        *_histogram(DURATION, ended.c.took, DURATION_BUCKETS),
        *_histogram(WAIT, ended.c.waited, WAIT_BUCKETS),
    ).group_by(ended.c.job_id, ended.c.state)
    for row in session.execute(statement).mappings():
        job, amounts = row["job_id"], step.amounts
        amounts[Key(FINISHED, job, row["state"].value)] += row["runs"]
        amounts[Key(RETRIES, job)] += row["retries"]
        for label in (SUM, *map(bucket_label, DURATION_BUCKETS), INFINITE):
            amounts[Key(DURATION, job, label)] += row[f"{DURATION} {label}"] or 0
        for label in (SUM, *map(bucket_label, WAIT_BUCKETS), INFINITE):
            amounts[Key(WAIT, label=label)] += row[f"{WAIT} {label}"] or 0


def _seconds(session: Session, start: Any, end: Any) -> ColumnElement[float]:
    """Return the seconds from *start* to *end*, at least 0; null without one of them."""
    if session.get_bind().dialect.name == "postgresql":
        seconds = cast(extract("epoch", end - start), Double)
    else:
        seconds = cast((func.julianday(end) - func.julianday(start)) * 86_400.0, Double)
    return case((seconds < 0, 0.0), else_=seconds)


def _histogram(
    name: str, seconds: ColumnElement[float], bounds: tuple[float, ...]
) -> list[ColumnElement[Any]]:
    """Return a column for each bucket of a histogram, and one for the sum."""
    columns: list[ColumnElement[Any]] = [func.sum(seconds).label(f"{name} {SUM}")]
    lower = -1.0
    for bound in bounds:
        count = func.sum(case((and_(seconds > lower, seconds <= bound), 1), else_=0))
        columns.append(count.label(f"{name} {bucket_label(bound)}"))
        lower = bound
    above = func.sum(case((seconds > lower, 1), else_=0))
    return [*columns, above.label(f"{name} {INFINITE}")]
