"""The tick: due entries become runs on record, then messages, then new scores.

No loop, no sleep and no clock in here: a tick gets its instant and says how long the
next one can wait. Whoever calls it may be killed between any two lines; what is
committed is finished by another tick or by the janitor.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.engine import Database
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import fires, outbox, overlap
from jobs_app.runs.fires import RecordedFires
from jobs_app.runs.messages import Message

log = logging.getLogger(__name__)

Publish = Callable[[Sequence[Message]], None]

#: Batches that one look at Redis reads.
BATCHES_READ = 8

#: Batches of a burst that are under way at a time, and the number of jobs from which it is one.
RECORDERS = 2
BURST = 400

#: An entry that Redis lost, or never got, is late by this much at most, plus a tick; seconds.
SCAN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick found.

    `next_due_at` is the next score that Redis knows, None if it knows none.
    `is_full` says that there is more to do at once. `foreign` are due entries of
    somebody else, `is_projected` whether the entries are known to be complete.
    """

    next_due_at: datetime | None
    is_full: bool
    is_projected: bool
    foreign: tuple[str, ...] = ()
    recorded: int = 0


class Ticker:
    """Records, publishes and moves on what is due. `publish` may raise BrokerUnavailable."""

    def __init__(
        self, database: Database, projection: Projection, publish: Publish, *, batch: int
    ) -> None:
        self._database = database
        self._projection = projection
        self._publish = publish
        self._batch = batch
        # SQLite has one writer at a time; to wait for it here costs no more than is needed.
        is_alone = database.engine.dialect.name == "sqlite"
        self._turn = threading.Lock() if is_alone else nullcontext()
        self._recorders = ThreadPoolExecutor(RECORDERS, thread_name_prefix="recorder")

    def tick(self, *, at: datetime) -> Ticked:
        """Work on the entries that Redis says are due at *at*.

        Raises BrokerUnavailable if Redis cannot say, and what the database raises.
        """
        recorded, foreign, skip = 0, [], 0
        most = self._batch * BATCHES_READ
        while True:
            keys, next_due_at, is_projected = self._projection.due(at=at, limit=most, skip=skip)
            own = {key: self._projection.job_id(key) for key in keys}
            others = [key for key, job_id in own.items() if job_id is None]
            job_ids = [job_id for job_id in own.values() if job_id is not None]
            if job_ids:
                recorded += self._record(job_ids, at=at)
            foreign += others
            is_full = len(keys) == most
            # Due entries of others stay where they are until they are sent: look past them.
            if not (is_full and others):
                return Ticked(next_due_at, is_full, is_projected, tuple(foreign), recorded)
            skip += len(others)

    def scan(self, *, at: datetime, due_before: datetime) -> bool:
        """Work on what the database knows to be due before *due_before*, Redis or not.

        Return whether there may be more.
        """
        return self.stand_in(at=at, due_before=due_before) == self._batch

    def stand_in(self, *, at: datetime, due_before: datetime) -> int:
        """Work on what whoever is active has left undone; return how many jobs that were."""
        with self._database.reading() as session:
            job_ids = fires.overdue_jobs(session, at=due_before, limit=self._batch)
        if job_ids:
            self._record(job_ids, at=at)
        return len(job_ids)

    def _record(self, job_ids: Sequence[int], *, at: datetime) -> int:
        """Record and tell the world of *job_ids*; return how many rows there are more.

        In batches, of which each is recorded, then sent. In a burst two are under way:
        while the database works on one, the messages of the other are written.
        """
        size, is_burst = self._batch, len(job_ids) >= BURST
        if is_burst:
            size = min(size, -(-len(job_ids) // RECORDERS))
        batches = [job_ids[start : start + size] for start in range(0, len(job_ids), size)]
        if not is_burst:
            return sum(self._record_batch(batch, at=at) for batch in batches)
        under_way = [self._recorders.submit(self._record_batch, each, at=at) for each in batches]
        # All of them, also if one fails: no tick begins while another is at work.
        wait(under_way)
        return sum(each.result() for each in under_way)

    def _record_batch(self, job_ids: Sequence[int], *, at: datetime) -> int:
        with self._turn, self._database.session() as session:
            recorded = fires.record_due(session, job_ids, at=at)
        self._tell(recorded, at=at)
        return recorded.rows

    def _tell(self, recorded: RecordedFires, *, at: datetime) -> None:
        """Tell the world what is committed: messages first, then where to look next."""
        messages = recorded.messages + self._promoted(recorded.promote, at=at)
        if messages:
            publish_or_leave(self._database, self._publish, messages, at=at)
        try:
            self._projection.write_scores(recorded.due)
        except BrokerUnavailable as error:
            # The entries stay due: the next tick looks, finds nothing and writes them.
            log.warning("scores_not_written jobs=%s error=%s", len(recorded.due), error)

    def _promoted(self, job_ids: Sequence[int], *, at: datetime) -> list[Message]:
        messages = []
        for job_id in job_ids:
            with self._database.session() as session:
                message = overlap.promote(session, job_id, at=at)
            if message is not None:
                messages.append(message)
        return messages


def publish_or_leave(
    database: Database, publish: Publish, messages: Sequence[Message], *, at: datetime
) -> bool:
    """Send *messages*, or leave them to the janitor, due at once; return whether they went."""
    try:
        publish(messages)
    except BrokerUnavailable as error:
        log.warning("publish_failed messages=%s error=%s", len(messages), error)
        with database.session() as session:
            outbox.mark_unsent(session, [message.run_id for message in messages], at=at)
            session.commit()
        return False
    return True
