"""Retention: history that is kept no longer goes, a little at a time, beside the clock.

It runs in the active scheduler, in a thread of its own: the tick waits for none of it.
Each step is one short transaction, and the pause after it is as long at least.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.states import FAILURES, FINAL, RunState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.columns import first_id_at
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import PrunedRuns, Run
from jobs_app.runs import pruning
from jobs_app.runs.retention import Limits, Retention

log = logging.getLogger(__name__)

#: Jobs that are looked at in one statement: all runs of theirs are counted.
JOBS_AT_ONCE = 20

#: Runs that are passed by to find the first one that stays; each is read.
PASSED_BY = 2000

#: Rows that one transaction deletes: more after one that was quick, fewer after a slow one.
FEWEST, MOST = 50, 500
QUICK_SECONDS, SLOW_SECONDS = 0.025, 0.08

SHORTEST_PAUSE_SECONDS = 0.02
#: From the start of a scheduler to its first pass, and from one pass to the next.
SETTLING_SECONDS, REST_SECONDS = 30.0, 1800.0

#: Fires are remembered this long at least, however few runs are to be kept.
SHORTEST_WINDOW = timedelta(hours=1)

#: A worker that is gone, and that no run names, is taken off the list after this time.
KEEP_WORKERS = timedelta(days=7)


class Pruner:
    """The rules of retention; two sweepers at a time delete, and count, nothing twice."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._default = Retention().limits(settings)
        self._batch = FEWEST
        self.deleted = 0

    def steps(self, *, at: datetime) -> Iterator[None]:
        """Do one pass; yield after each transaction."""
        self.deleted = 0
        log_days: dict[int, int] = {}
        for jobs in self._jobs():
            limits = {
                job.id: Retention.from_json(job.retention).limits(self._settings) for job in jobs
            }
            log_days |= {
                job_id: each.keep_log_days
                for job_id, each in limits.items()
                if each.keep_log_days != self._default.keep_log_days
            }
            for job, span in self._with_too_old(jobs, limits, at=at):
                yield from self._forget_runs_of(job, limits[job.id], span, at=at)
            yield
        for state in FINAL:
            yield from self._forget(None, state, before=self._default.oldest(state, at=at))
        yield from self._forget_logs(log_days, at=at)
        yield from self._forget_deleted_jobs(at=at)
        is_old = AuditEvent.at < at - timedelta(days=self._settings.keep_audit_days)
        yield from self._delete_rows(AuditEvent.id, is_old)
        names_it = exists().where(Run.worker_id == Worker.id)
        yield from self._delete_rows(Worker.id, Worker.gone_at < at - KEEP_WORKERS, ~names_it)

    def _jobs(self) -> Iterator[list[Job]]:
        """Yield all jobs, the deleted ones too, some at a time."""
        last = 0
        while True:
            statement = select(Job).where(Job.id > last).order_by(Job.id).limit(JOBS_AT_ONCE)
            with self._database.reading() as session:
                jobs = list(session.scalars(statement))
            if jobs:
                yield jobs
            if len(jobs) < JOBS_AT_ONCE:
                return
            last = jobs[-1].id

    def _with_too_old(
        self, jobs: Sequence[Job], limits: dict[int, Limits], *, at: datetime
    ) -> Iterator[tuple[Job, pruning.Span]]:
        """Yield the jobs whose oldest run may have to go: of most there is nothing to do."""
        with self._database.reading() as session:
            spans = pruning.spans(session, [job.id for job in jobs])
        for job in jobs:
            span, limit = spans.get(job.id), limits[job.id]
            if span is None:
                continue
            is_old = span.oldest < max(limit.oldest(state, at=at) for state in FINAL)
            if is_old or span.count > limit.keep_runs:
                yield job, span

    def _forget_runs_of(
        self, job: Job, limits: Limits, span: pruning.Span, *, at: datetime
    ) -> Iterator[None]:
        """Delete what is too old, or one of too many; of these some, then the next ones."""
        left: pruning.Span | None = span
        while left is not None:
            too_many = left.count - limits.keep_runs
            before = self.deleted
            for state in FINAL:
                yield from self._forget_in(state, job, limits, too_many, at=at)
            if too_many <= PASSED_BY or self.deleted == before:
                return
            with self._database.reading() as session:
                left = pruning.spans(session, [job.id]).get(job.id)

    def _forget_in(
        self, state: RunState, job: Job, limits: Limits, too_many: int, *, at: datetime
    ) -> Iterator[None]:
        before = limits.oldest(state, at=at)
        with self._database.reading() as session:
            newest = pruning.newest(session, job.id, state)
            if newest is None:
                return
            of_state: RunState | None = None
            if too_many > 0 and state in FAILURES:
                # Those that succeeded do not push out the failures.
                of_state, too_many = (
                    state,
                    pruning.count_of(session, job.id, state) - limits.keep_runs,
                )
            if too_many > 0:
                number = min(too_many, PASSED_BY)
                first_kept = pruning.nth_oldest(session, job.id, number, state=of_state)
                before = max(before, first_kept or before)
        if job.deleted_at is None:
            # The newest run of each outcome stays, however long ago it was.
            before = min(before, newest)
        yield from self._forget(job.id, state, before=min(before, _already_past(job, at=at)))

    def _forget(self, job_id: int | None, state: RunState, *, before: datetime) -> Iterator[None]:
        yield from self._repeatedly(
            lambda session, limit: pruning.prune_runs(
                session, job_id, state, before=before, limit=limit
            )
        )

    def _forget_logs(self, log_days: dict[int, int], *, at: datetime) -> Iterator[None]:
        """Delete the logs of runs that stay longer than these."""
        default = self._default.keep_log_days
        days = min([default, *log_days.values()])
        before = first_id_at(at - timedelta(days=days))
        after: UUID | None = None
        while True:
            with self._database.reading() as session:
                found = pruning.logged(session, after=after, before=before, limit=FEWEST)
            old = [
                each.id
                for each in found
                if each.finished_at is not None
                and each.finished_at < at - timedelta(days=log_days.get(each.job_id or 0, default))
            ]
            if old:
                with self._database.session() as session:
                    pruning.prune_logs(session, old)
            yield
            if len(found) < FEWEST:
                return
            after = found[-1].id

    def _forget_deleted_jobs(self, *, at: datetime) -> Iterator[None]:
        """Delete the rows of deleted jobs whose last run has gone."""
        is_over = Job.deleted_at < at - timedelta(days=self._settings.keep_days)
        has_runs = exists().where(Run.job_id == Job.id)
        yield from self._delete_rows(Job.id, is_over, ~has_runs)
        has_job = exists().where(Job.id == PrunedRuns.job_id)
        yield from self._delete_rows(
            PrunedRuns.job_id, PrunedRuns.job_id != pruning.NO_JOB, ~has_job
        )

    def _delete_rows(
        self,
        key: InstrumentedAttribute[int] | InstrumentedAttribute[UUID],
        *guard: ColumnElement[bool],
    ) -> Iterator[None]:
        """Delete the rows of the table of *key* that *guard* is true of."""

        def some(session: Session, limit: int) -> int:
            keys = select(key).where(*guard).order_by(key).limit(limit)
            statement = delete(key.class_).where(key.in_(list(session.scalars(keys))), *guard)
            gone = session.execute(statement.execution_options(synchronize_session=False))
            session.commit()
            return rowcount(gone)

        yield from self._repeatedly(some)

    def _repeatedly(self, some: Callable[[Session, int], int]) -> Iterator[None]:
        """Delete *some* rows in each transaction, as many as a short one can, to the last."""
        while True:
            limit, began = self._batch, time.monotonic()
            with self._database.session() as session:
                count = some(session, limit)
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                self._batch = max(FEWEST, limit // 2)
            elif took < QUICK_SECONDS and count == limit:
                self._batch = min(MOST, limit * 2)
            self.deleted += count
            yield
            if count < limit:
                return


def _already_past(job: Job, *, at: datetime) -> datetime:
    """Return the instant before which no fire of *job* is looked at again.

    The row of a fire is what keeps it from being recorded twice: it must stay as long as a
    catch-up may reach back, or an edit after the clock was put back.
    """
    if schedule_of(job) is None:
        return at
    window = max(timedelta(seconds=job.catchup_window_seconds), SHORTEST_WINDOW)
    return min(at - window, job.next_fire_at or at)


class PrunerThread:
    """Sweeps now and then while `is_active` says so, until it is stopped."""

    def __init__(self, sweeper: Pruner, is_active: Callable[[], bool]) -> None:
        self._sweeper = sweeper
        self._is_active = is_active
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is under way, and wait for that."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = SETTLING_SECONDS
        while not self._is_stopped.wait(pause):
            pause = SETTLING_SECONDS
            if self._is_active() and self._pass():
                pause = REST_SECONDS

    def _pass(self) -> bool:
        """Do one pass; False if it was broken off."""
        began = step_began = time.monotonic()
        try:
            for _ in self._sweeper.steps(at=clock.now()):
                now = time.monotonic()
                if self._is_stopped.wait(max(SHORTEST_PAUSE_SECONDS, now - step_began)):
                    return False
                if not self._is_active():
                    return False
                step_began = time.monotonic()
        except SQLAlchemyError as error:
            log.warning("sweep_failed error=%s", str(error).partition("\n")[0])
            return False
        seconds = time.monotonic() - began
        log.info("history_swept rows=%s seconds=%.1f", self._sweeper.deleted, seconds)
        return True
