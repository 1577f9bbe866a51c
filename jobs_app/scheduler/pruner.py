"""The pruner: deletes what is past its retention, a few rows at a time, beside the tick.

It runs in the active scheduler, in a thread of its own, so that the tick never waits for
it. Each step is one short transaction, followed by a pause (pruner_thread.py).
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    cast,
    delete,
    exists,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobs_app.core.settings import Settings
from jobs_app.core.states import FAILURES, FINAL, RunState
from jobs_app.db.bulk_sql import in_values, rowcount
from jobs_app.db.columns import Base, first_id_at
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import (
    FORGET_FAILURES,
    KEEP_IDEMPOTENCY_KEYS,
    KEEP_SIGN_INS,
    AuditEvent,
    IdempotencyKey,
    Link,
    PageSession,
    SignInAttempt,
)
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import (
    Acknowledgement,
    ReportedTask,
    SchedulerProcess,
    Worker,
)
from jobs_app.db.models.runs import PrunedRuns, Run
from jobs_app.runs import pruning
from jobs_app.runs.retention import Limits, Retention

#: Jobs that one statement looks at: more after a quick one, fewer after a slow one. It counts
#: all their runs.
MIN_JOBS, MAX_JOBS = 20, 1000

#: Runs that one query skips to find the first one to keep; it reads each of them.
MAX_SKIPPED = 2000

#: Rows that one transaction deletes: more after a quick one, fewer after a slow one.
MIN_BATCH, MAX_BATCH = 50, 500
QUICK_SECONDS, SLOW_SECONDS = 0.025, 0.08

#: A task that no worker has is known for this long after its last report.
KEEP_REPORTS = timedelta(days=30)

#: The rows of fires are kept at least this long, however few runs are to be kept.
MIN_FIRE_WINDOW = timedelta(hours=1)


class TableRule(NamedTuple):
    """Rows of a table that go: those whose *instant* is older than *keep*, if *condition* holds."""

    table: type[Base]
    instant: InstrumentedAttribute[Any]
    keep: timedelta
    condition: ColumnElement[bool] = true()


def table_rules(settings: Settings) -> tuple[TableRule, ...]:
    """Return what is pruned by its age alone, in this order; runs and logs have rules of their own.

    Up to MAX_BATCH rows go in one transaction.
    """
    no_runs = ~exists().where(Run.job_id == Job.id)
    no_job = ~exists().where(Job.id == PrunedRuns.job_id)
    no_runs_of_worker = ~exists().where(Run.worker_id == Worker.id)
    # In the JSON text of its names. A name that LIKE reads as a pattern may keep one more.
    has_task = cast(Worker.tasks, Text).contains(literal('"') + ReportedTask.name + literal('"'))
    no_worker = ~exists().where(Worker.gone_at.is_(None), has_task)
    return (
        TableRule(Job, Job.deleted_at, timedelta(days=settings.keep_days), no_runs),
        TableRule(
            PrunedRuns,
            PrunedRuns.latest_at,
            timedelta(0),
            and_(PrunedRuns.job_id != pruning.NO_JOB, no_job),
        ),
        TableRule(AuditEvent, AuditEvent.at, timedelta(days=settings.keep_audit_days)),
        TableRule(Acknowledgement, Acknowledgement.at, timedelta(days=settings.keep_audit_days)),
        TableRule(Worker, Worker.gone_at, timedelta(days=7), no_runs_of_worker),
        TableRule(SchedulerProcess, SchedulerProcess.ticked_at, timedelta(days=1)),
        TableRule(ReportedTask, ReportedTask.reported_at, KEEP_REPORTS, no_worker),
        TableRule(IdempotencyKey, IdempotencyKey.created_at, KEEP_IDEMPOTENCY_KEYS),
        TableRule(PageSession, PageSession.created_at, KEEP_SIGN_INS),
        TableRule(Link, Link.expires_at, KEEP_SIGN_INS),
        TableRule(SignInAttempt, SignInAttempt.last_at, FORGET_FAILURES),
    )


class Pruner:
    """Deletes what is past its retention; two pruners at once delete and count nothing twice."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._default = Retention().limits(settings)
        self._batch = MIN_BATCH
        self._jobs = MIN_JOBS
        self.deleted = 0

    def steps(self, *, at: datetime) -> Iterator[None]:
        """Do one pass; yield after each transaction."""
        self.deleted = 0
        log_days: dict[int, int] = {}
        for jobs in self._jobs_with_old_runs(at=at):
            for job, span in jobs:
                limits = Retention.from_json(job.retention).limits(self._settings)
                if limits.keep_log_days != self._default.keep_log_days:
                    log_days[job.id] = limits.keep_log_days
                is_old = span.oldest < limits.oldest_of_all(at=at)
                if is_old or span.count > limits.keep_runs:
                    yield from self._prune_job(job, limits, span, at=at)
            yield
        for state in FINAL:
            yield from self._prune_runs(None, state, before=self._default.oldest(state, at=at))
        yield from self._prune_logs(log_days, at=at)
        for rule in table_rules(self._settings):
            yield from self._prune_table(rule, at=at)

    def _jobs_with_old_runs(self, *, at: datetime) -> Iterator[list[tuple[Job, pruning.Span]]]:
        """Look at all jobs in batches; yield those of each that may have runs to delete."""
        last: int | None = 0
        oldest = self._default.oldest_of_all(at=at)
        while last is not None:
            began = time.monotonic()
            with self._database.reading() as session:
                found = pruning.jobs_with_old_runs(
                    session,
                    after=last,
                    limit=self._jobs,
                    oldest=oldest,
                    keep_runs=self._default.keep_runs,
                )
                # Most looks find none.
                which = in_values(session, Job.id, list(found.spans))
                jobs = session.scalars(select(Job).where(which)).all() if found.spans else ()
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                self._jobs = max(MIN_JOBS, self._jobs // 2)
            elif took < QUICK_SECONDS:
                self._jobs = min(MAX_JOBS, self._jobs * 2)
            last = found.last_id
            yield [(job, found.spans[job.id]) for job in jobs]

    def _prune_job(
        self, job: Job, limits: Limits, span: pruning.Span, *, at: datetime
    ) -> Iterator[None]:
        """Delete the runs that are too old or too many; of too many, MAX_SKIPPED in each round."""
        current: pruning.Span | None = span
        while current is not None:
            too_many = current.count - limits.keep_runs
            before = self.deleted
            for state in FINAL:
                yield from self._prune_job_state(state, job, limits, too_many, at=at)
            if too_many <= MAX_SKIPPED or self.deleted == before:
                return
            with self._database.reading() as session:
                current = pruning.span(session, job.id)

    def _prune_job_state(
        self, state: RunState, job: Job, limits: Limits, too_many: int, *, at: datetime
    ) -> Iterator[None]:
        before = limits.oldest(state, at=at)
        with self._database.reading() as session:
            newest = pruning.newest(session, job.id, state)
            if newest is None:
                return
            counted_state: RunState | None = None
            if too_many > 0 and state in FAILURES:
                # Successes do not push out failures: each kind of failure is counted alone.
                counted_state = state
                too_many = pruning.count_of(session, job.id, state) - limits.keep_runs
            if too_many > 0:
                number = min(too_many, MAX_SKIPPED)
                first_kept = pruning.nth_oldest(session, job.id, number, state=counted_state)
                before = max(before, first_kept or before)
        if job.deleted_at is None:
            # The newest run of each outcome stays, however old it is.
            before = min(before, newest)
        before = min(before, _fires_kept_since(job, at=at))
        yield from self._prune_runs(job.id, state, before=before)

    def _prune_runs(
        self, job_id: int | None, state: RunState, *, before: datetime
    ) -> Iterator[None]:
        yield from self._repeat(
            lambda session, limit: pruning.prune_runs(
                session, job_id, state, before=before, limit=limit
            )
        )

    def _prune_logs(self, log_days: dict[int, int], *, at: datetime) -> Iterator[None]:
        """Delete old logs of runs that are kept longer; *log_days* by job, else the default."""
        default = self._default.keep_log_days
        days = min([default, *log_days.values()])
        before = first_id_at(at - timedelta(days=days))
        after: UUID | None = None
        while True:
            with self._database.reading() as session:
                runs = pruning.runs_with_log(session, after=after, before=before, limit=MIN_BATCH)
            old = [
                run.id
                for run in runs
                if run.finished_at is not None
                and run.finished_at < at - timedelta(days=log_days.get(run.job_id or 0, default))
            ]
            if old:
                with self._database.session() as session:
                    pruning.prune_logs(session, old)
            yield
            if len(runs) < MIN_BATCH:
                return
            after = runs[-1].id

    def _prune_table(self, rule: TableRule, *, at: datetime) -> Iterator[None]:
        columns = list(rule.table.__table__.primary_key)
        key = tuple_(*columns) if len(columns) > 1 else columns[0]
        is_old = and_(rule.instant < at - rule.keep, rule.condition)

        def delete_some(session: Session, limit: int) -> int:
            rows = session.execute(select(*columns).where(is_old).order_by(*columns).limit(limit))
            keys = [tuple(row) if len(columns) > 1 else row[0] for row in rows]
            statement = delete(rule.table).where(key.in_(keys), is_old)
            deleted = session.execute(statement.execution_options(synchronize_session=False))
            session.commit()
            return rowcount(deleted)

        yield from self._repeat(delete_some)

    def _repeat(self, delete_some: Callable[[Session, int], int]) -> Iterator[None]:
        """Call *delete_some* in short transactions, with a fitting limit, until it is done."""
        while True:
            limit, began = self._batch, time.monotonic()
            with self._database.session() as session:
                count = delete_some(session, limit)
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                self._batch = max(MIN_BATCH, limit // 2)
            elif took < QUICK_SECONDS and count == limit:
                self._batch = min(MAX_BATCH, limit * 2)
            self.deleted += count
            yield
            if count < limit:
                return


def _fires_kept_since(job: Job, *, at: datetime) -> datetime:
    """Return the instant before which no fire of *job* is planned again.

    A fire's row keeps it from being recorded twice. The row must stay as long as a
    catch-up, or an edit after the clock was put back, may reach.
    """
    if schedule_of(job) is None:
        return at
    window = max(timedelta(seconds=job.catchup_window_seconds), MIN_FIRE_WINDOW)
    return min(at - window, job.next_fire_at or at)
