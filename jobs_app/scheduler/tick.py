"""The tick: due entries become recorded runs, then messages, then new scores.

This module has no loop, no sleep and no clock: a tick gets its instant and returns how
long the next one can wait. It may be killed between any two lines; another tick or the
janitor finishes what is committed.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.db.errors import PutAside, is_outage
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import fires, outbox, overlap
from jobs_app.runs.fires import RecordedFires
from jobs_app.runs.messages import Message

log = logging.getLogger(__name__)

Publish = Callable[[Sequence[Message]], None]

#: The histogram of how late the ticks are for the jobs that are due.
LAG = "schedule_lag"

#: Batches that one query of Redis returns.
MAX_BATCHES = 8

#: Batches that are recorded at the same time in a burst, and the number of jobs of a burst.
RECORDERS = 2
BURST = 400

#: The longest delay of a fire whose entry Redis lost, besides a tick; seconds.
SCAN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class TickResult:
    """The result of a tick.

    `next_due_at` is the next score in Redis, None if there is none. With `is_full` more
    entries are due now. `foreign` are due entries that are not ours. `is_projected` tells
    whether Redis is known to hold all entries.
    """

    next_due_at: datetime | None
    is_full: bool
    is_projected: bool
    foreign: tuple[str, ...] = ()
    recorded: int = 0


class Ticker:
    """Records due fires, publishes their messages and writes the next scores.

    `publish` may raise BrokerUnavailable.
    """

    def __init__(
        self,
        database: Database,
        projection: Projection,
        publish: Publish,
        *,
        batch: int,
        counts: PendingCounts | None = None,
    ) -> None:
        self._database = database
        self._projection = projection
        self._publish = publish
        self._batch = batch
        self._counts = counts or PendingCounts()
        self._put_aside = PutAside("promote_put_aside")
        # SQLite has a single writer; waiting for this lock is cheaper than for the database.
        has_one_writer = database.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if has_one_writer else nullcontext()
        self._recorders = ThreadPoolExecutor(RECORDERS, thread_name_prefix="recorder")

    def tick(self, *, at: datetime) -> TickResult:
        """Process the entries that are due at *at* according to Redis.

        Raises BrokerUnavailable if Redis cannot be reached, and the errors of the database.
        """
        recorded, foreign, skip = 0, [], 0
        most = self._batch * MAX_BATCHES
        while True:
            keys, next_due_at, is_projected = self._projection.due(at=at, limit=most, skip=skip)
            job_by_key = {key: self._projection.job_id(key) for key in keys}
            others = [key for key, job_id in job_by_key.items() if job_id is None]
            job_ids = [job_id for job_id in job_by_key.values() if job_id is not None]
            if job_ids:
                recorded += self._record(job_ids, at=at)
            foreign += others
            is_full = len(keys) == most
            # Due foreign entries stay until they are sent: skip them.
            if not (is_full and others):
                return TickResult(next_due_at, is_full, is_projected, tuple(foreign), recorded)
            skip += len(others)

    def scan(self, *, at: datetime, due_before: datetime) -> bool:
        """Process the jobs that are due before *due_before* according to the database.

        Return whether there may be more.
        """
        return self.stand_in(at=at, due_before=due_before) == self._batch

    def stand_in(self, *, at: datetime, due_before: datetime) -> int:
        """Process up to a batch of overdue jobs; return how many."""
        with self._database.reading() as session:
            job_ids = fires.overdue_jobs(session, at=due_before, limit=self._batch)
        if job_ids:
            self._record(job_ids, at=at)
        return len(job_ids)

    def next_due_at(self, *, after: datetime) -> datetime | None:
        """Return when a job is next due according to the database; None if none is."""
        with self._database.reading() as session:
            return fires.next_due_at(session, after=after)

    def _record(self, job_ids: Sequence[int], *, at: datetime) -> int:
        """Record and publish the fires of *job_ids*; return the number of new rows.

        Each batch is recorded, then published. In a burst two batches are in progress: the
        messages of one are published while the database works on the other.
        """
        size, is_burst = self._batch, len(job_ids) >= BURST
        if is_burst:
            size = min(size, -(-len(job_ids) // RECORDERS))
        batches = [job_ids[start : start + size] for start in range(0, len(job_ids), size)]
        if not is_burst:
            return sum(self._record_batch(batch, at=at) for batch in batches)
        futures = [self._recorders.submit(self._record_batch, batch, at=at) for batch in batches]
        # Wait for all, even if one fails: no tick may begin while another is in progress.
        wait(futures)
        return sum(future.result() for future in futures)

    def _record_batch(self, job_ids: Sequence[int], *, at: datetime) -> int:
        try:
            with self._turn, self._database.session() as session:
                recorded = fires.record_due(session, job_ids, at=at)
        except Exception as error:  # the data of one job may fail in any way
            if is_outage(error):
                raise
            return self._record_apart(job_ids, error, at=at)
        for seconds, jobs in recorded.lags:
            self._counts.observe(LAG, seconds, jobs)
        self._publish_recorded(recorded, at=at)
        return recorded.rows

    def _record_apart(self, job_ids: Sequence[int], error: Exception, *, at: datetime) -> int:
        """Record a batch that fails in two halves; put off a single job whose data fail."""
        if len(job_ids) > 1:
            middle = len(job_ids) // 2
            halves = (job_ids[:middle], job_ids[middle:])
            return sum(self._record_batch(half, at=at) for half in halves)
        log.error("schedule_failed jobs=%s", list(job_ids), exc_info=error)
        with self._turn, self._database.session() as session:
            due = fires.put_off_job(session, job_ids[0], type(error).__name__, at=at)
        self._publish_recorded(RecordedFires(due=due), at=at)
        return 0

    def _publish_recorded(self, recorded: RecordedFires, *, at: datetime) -> None:
        """Publish what is committed: the messages first, then the scores in Redis."""
        messages = recorded.messages + promote_all(
            self._database, recorded.promote, self._put_aside, at=at
        )
        publish_or_defer(self._database, self._publish, messages, at=at)
        try:
            self._projection.write_scores(recorded.due)
        except BrokerUnavailable as error:
            # The entries stay due: the next tick finds no due fire and writes the scores.
            log.warning("scores_not_written jobs=%s error=%s", len(recorded.due), error)


def promote_all(
    database: Database, job_ids: Sequence[int], put_aside: PutAside, *, at: datetime
) -> list[Message]:
    """Queue the next waiting run of each job that has no active one; return their messages."""

    def promote(job_id: int) -> Message | None:
        with database.session() as session:
            return overlap.promote(session, job_id, at=at)

    promoted = (put_aside.run(("job", job_id), partial(promote, job_id)) for job_id in job_ids)
    return [message for message in promoted if message is not None]


def publish_or_defer(
    database: Database, publish: Publish, messages: Sequence[Message], *, at: datetime
) -> None:
    """Send *messages*, if there are any; if that fails, make them due for the janitor."""
    if not messages:
        return
    try:
        publish(messages)
    except BrokerUnavailable as error:
        log.warning("publish_failed messages=%s error=%s", len(messages), error)
        with database.session() as session:
            outbox.mark_unsent(session, [message.run_id for message in messages], at=at)
            session.commit()
