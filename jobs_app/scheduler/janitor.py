"""The janitor: one rule for every promise that a crash can break.

It runs in every scheduler, active or not. Each rule changes rows by compare-and-set,
so two janitors do no more than one.
"""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.engine import Database, is_gone
from jobs_app.db.models.accounts import IdempotencyKey
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import concurrency, outbox, overlap, rescue, workers
from jobs_app.runs.finish import queue_due_retries
from jobs_app.runs.messages import Message
from jobs_app.runs.retry import RetryPolicy
from jobs_app.scheduler.tick import Publish, publish_or_leave

log = logging.getLogger(__name__)

#: Entries that one pipeline writes when the projection is rebuilt.
REBUILD_BATCH = 1000

#: Entries that are compared with their rows in one go, some milliseconds of the clock's time.
COMPARED_AT_ONCE = 1000

#: Rules that are run as seldom as this wait for so long after the start of a scheduler, seconds.
SELDOM_SECONDS = 600.0
SETTLING_SECONDS = 30.0

#: What the rules take together before the clock has its turn again, seconds.
BUDGET_SECONDS = 0.3

#: Answers to repeated requests are kept this long.
KEEP_IDEMPOTENCY = timedelta(hours=24)

#: A scheduler that has not ticked for this long is taken off the list.
KEEP_SCHEDULERS = timedelta(days=1)


class HeartbeatMonitor:
    """Finds workers whose heartbeat counter stands still.

    Only time between two looks that worked is counted, and at most
    `most_step_seconds` of it a look: neither a frozen janitor nor a database that
    was away makes a worker look dead, and no wall clock is asked. A counter may have been
    read later than its look began, by a step at most as far as it counts: the step must
    fit between the end of a worker's lease and `lost_seconds`.
    """

    def __init__(self, *, lost_seconds: float, most_step_seconds: float = 5.0) -> None:
        self._lost_seconds = lost_seconds
        self._most_step_seconds = most_step_seconds
        self._seen: dict[UUID, tuple[int, float]] = {}
        self._looked: float | None = None

    def silent(self, beats: dict[UUID, int], *, monotonic: float) -> dict[UUID, int]:
        """Take in the counters of the living; return those that stood still for too long."""
        step = 0.0
        if self._looked is not None:
            step = min(monotonic - self._looked, self._most_step_seconds)
        self._looked = monotonic
        seen = {}
        for worker_id, count in beats.items():
            before = self._seen.get(worker_id)
            is_same = before is not None and before[0] == count
            seen[worker_id] = (count, before[1] + step if before and is_same else 0.0)
        self._seen = seen
        return {
            worker_id: count
            for worker_id, (count, still) in seen.items()
            if still >= self._lost_seconds
        }


class Janitor:
    """The rules, and what they need; each can be run alone."""

    def __init__(
        self,
        database: Database,
        projection: Projection,
        publish: Publish,
        watch: HeartbeatMonitor,
        *,
        queue_prefix: str,
    ) -> None:
        self._database = database
        self._projection = projection
        self._publish = publish
        self._watch = watch
        self._queue_prefix = queue_prefix
        self._compared = 0

    def rules(self) -> list[tuple[float, Callable[[datetime, float], object]]]:
        """Return the rules with their periods in seconds; each takes (at, monotonic)."""
        return [
            (1.0, lambda at, _: self.queue_retries(at=at)),
            (1.0, lambda at, _: self.resend(at=at)),
            (1.0, lambda at, monotonic: self.give_up_workers(at=at, monotonic=monotonic)),
            (1.0, lambda at, _: self.lose_orphans(at=at)),
            (1.0, lambda at, _: self.hand_over_places(at=at)),
            (5.0, lambda at, _: self.promote_stuck(at=at)),
            (1.0, lambda _at, _: self.compare_next()),
            (3600.0, lambda _at, _: self.compare()),
            (600.0, lambda at, _: self.sweep(at=at)),
        ]

    def queue_retries(self, *, at: datetime) -> int:
        """Queue the attempts whose delay is over."""
        with self._database.session() as session:
            messages = queue_due_retries(session, at=at)
        self._send(messages, at=at)
        return len(messages)

    def resend(self, *, at: datetime) -> int:
        """Send the messages of queued runs that nobody claimed, never more than are missing.

        A long queue is not a lost one: as many messages as there are queued runs
        are enough, and what already lies in the broker is counted.
        """
        with self._database.reading() as session:
            queued = outbox.unsent_by_queue(session, at=at)
        if not queued:
            return 0
        lying = self._projection.queue_lengths(queued, self._queue_prefix)
        sent = 0
        for queue, count in queued.items():
            missing = count - lying[queue]
            if missing <= 0:
                continue
            with self._database.session() as session:
                messages = outbox.take_unsent(session, queue, at=at, limit=min(missing, 1000))
            self._send(messages, at=at)
            sent += len(messages)
        if sent:
            log.info("messages_sent_again count=%s", sent)
        return sent

    def take_over(self, *, at: datetime) -> None:
        """Finish what a scheduler that died may have left between commit and publish."""
        with self._database.session() as session:
            outbox.mark_queued_unsent(session, at=at)
        # What lies in the broker is counted there: nothing is sent for runs that only wait.
        self.resend(at=at)

    def give_up_workers(self, *, at: datetime, monotonic: float) -> int:
        """Declare workers gone whose counter stood still; their runs are lost by the next rule."""
        with self._database.reading() as session:
            beats = workers.living(session)
        given_up = 0
        for worker_id, count in self._watch.silent(beats, monotonic=monotonic).items():
            with self._database.session() as session:
                if workers.give_up(session, worker_id, beats=count, at=at):
                    log.warning("worker_given_up worker=%s", worker_id)
                    given_up += 1
        return given_up

    def lose_orphans(self, *, at: datetime) -> int:
        """End the running runs of workers that are gone, or give them their next attempt."""
        with self._database.reading() as session:
            orphans = rescue.orphans(session)
        lost = 0
        for orphan in orphans:
            with self._database.session() as session:
                lost += rescue.finish_lost(
                    session,
                    orphan.id,
                    orphan.attempt,
                    job_id=orphan.job_id,
                    retry=RetryPolicy.from_json(orphan.retry),
                    reason="The worker stopped without a word.",
                    at=at,
                )
        return lost

    def hand_over_places(self, *, at: datetime) -> int:
        """Call parked runs to free places of their concurrency keys that nobody is called to."""
        with self._database.reading() as session:
            keys = concurrency.keys_with_free_slots(session)
        called = []
        for key in keys:
            with self._database.session() as session:
                called += concurrency.unpark(session, key, at=at, to_all=True)
        self._send(called, at=at)
        return len(called)

    def promote_stuck(self, *, at: datetime) -> int:
        """Queue runs that wait for nobody: whoever ended the other run died before it could."""
        with self._database.reading() as session:
            job_ids = overlap.promotable_jobs(session)
        promoted = []
        for job_id in job_ids:
            with self._database.session() as session:
                message = overlap.promote(session, job_id, at=at)
            if message is not None:
                promoted.append(message)
        self._send(promoted, at=at)
        return len(promoted)

    def recover(self, *, at: datetime) -> None:
        """Write every entry anew, and send what is queued, after Redis has lost it all."""
        self.rebuild()
        with self._database.session() as session:
            outbox.mark_queued_unsent(session, at=at, is_everything_lost=True)
        self.resend(at=at)

    def rebuild(self) -> int:
        """Write every entry anew."""
        count = 0
        for batch in self._active_jobs():
            self._projection.rebuild(batch)
            count += len(batch)
        log.info("projection_rebuilt jobs=%s", count)
        return count

    def compare_next(self) -> int:
        """Mend the entries of some jobs that are not what the rows say; the next call goes on.

        All at once would hold up the clock: for seconds, with a hundred thousand jobs.
        """
        with self._database.reading() as session:
            rows = self._due_instants(session, after=self._compared)
        scores = self._projection.scores_of([job_id for job_id, _ in rows])
        differing = [job_id for job_id, due_at in rows if not _is_same(scores.get(job_id), due_at)]
        self._mend(differing)
        self._compared = rows[-1][0] if len(rows) == COMPARED_AT_ONCE else 0
        return len(differing)

    def compare(self) -> int:
        """Mend the entries that are not what the rows say, and remove those of no row."""
        scores = self._projection.scores()
        wrong = last = 0
        while True:
            with self._database.reading() as session:
                rows = self._due_instants(session, after=last)
            differing = [
                job_id for job_id, due_at in rows if not _is_same(scores.pop(job_id, None), due_at)
            ]
            self._mend(differing)
            wrong += len(differing)
            if len(rows) < COMPARED_AT_ONCE:
                break
            last = rows[-1][0]
        if scores:
            with self._database.reading() as session:
                # Made since we looked at the rows: it is no leftover.
                active = select(Job.id).where(Job.next_due_at.is_not(None), Job.id.in_(scores))
                leftovers = set(scores) - set(session.scalars(active))
            self._projection.write_scores(dict.fromkeys(leftovers))
            wrong += len(leftovers)
        if wrong:
            log.info("projection_mended entries=%s", wrong)
        return wrong

    def sweep(self, *, at: datetime) -> None:
        """Delete what is kept only for a while."""
        with self._database.session() as session, session.begin():
            session.execute(
                delete(IdempotencyKey).where(IdempotencyKey.created_at < at - KEEP_IDEMPOTENCY)
            )
            session.execute(
                delete(SchedulerProcess).where(SchedulerProcess.ticked_at < at - KEEP_SCHEDULERS)
            )

    def _due_instants(self, session: Session, *, after: int) -> list[tuple[int, datetime]]:
        """Return the next jobs that have a next fire, by id, and when it is due."""
        statement = (
            select(Job.id, Job.next_due_at)
            .where(Job.next_due_at.is_not(None), Job.id > after)
            .order_by(Job.id)
            .limit(COMPARED_AT_ONCE)
        )
        return [(row.id, row.next_due_at) for row in session.execute(statement)]

    def _mend(self, job_ids: list[int]) -> None:
        """Write the entries of *job_ids* anew, as their rows are now."""
        if not job_ids:
            return
        with self._database.reading() as session:
            mine = select(Job).where(Job.id.in_(job_ids), Job.next_due_at.is_not(None))
            jobs = list(session.scalars(mine))
        # Not `rebuild`: its mark would say that all entries are there, just after a FLUSHALL.
        self._projection.write(jobs)
        log.info("entries_mended jobs=%s", len(jobs))

    def _active_jobs(self) -> Iterator[list[Job]]:
        """Yield the jobs with a next fire, in batches; each batch is read when it is needed."""
        last = 0
        while True:
            statement = (
                select(Job)
                .where(Job.next_due_at.is_not(None), Job.id > last)
                .order_by(Job.id)
                .limit(REBUILD_BATCH)
            )
            with self._database.reading() as session:
                batch = list(session.scalars(statement))
            # Also an empty one: it sets the mark that all entries are there.
            if batch or last == 0:
                yield batch
            if len(batch) < REBUILD_BATCH:
                return
            last = batch[-1].id

    def _send(self, messages: list[Message], *, at: datetime) -> None:
        if messages:
            publish_or_leave(self._database, self._publish, messages, at=at)


def _is_same(score: float | None, due_at: datetime) -> bool:
    """Tell whether an entry stands where its row says, to the millisecond."""
    return score is not None and abs(score - due_at.timestamp()) < 0.001


class JanitorSchedule:
    """Runs the janitor's rules, each at its own time; one that fails does not stop the others."""

    def __init__(self, janitor: Janitor) -> None:
        self._rules = janitor.rules()
        self._due: list[float] = []

    def run(
        self, *, at: datetime, monotonic: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Run the rules whose time has come, as many as there is time for before the next tick.

        Raises if the database is out of reach. *now* tells how long they take.
        """
        begun = now()
        if not self._due:
            # A look at everything there is must not stand before the first ticks.
            first = [
                SETTLING_SECONDS if period >= SELDOM_SECONDS else 0.0 for period, _ in self._rules
            ]
            self._due = [monotonic + seconds for seconds in first]
        # Who has waited longest is first: each has its turn, however slow the database is.
        for index in sorted(range(len(self._rules)), key=self._due.__getitem__):
            if monotonic < self._due[index] or now() - begun > BUDGET_SECONDS:
                return
            period, rule = self._rules[index]
            self._due[index] = monotonic + period
            try:
                rule(at, monotonic)
            except BrokerUnavailable as error:
                log.debug("janitor_waits_for_redis error=%s", error)
            except SQLAlchemyError as error:
                if isinstance(error, DBAPIError) and is_gone(error):
                    raise
                log.exception("janitor_rule_failed")
            except (ValueError, TypeError, LookupError):
                # A row that only another version can read must not keep the others waiting.
                log.exception("janitor_rule_failed")
