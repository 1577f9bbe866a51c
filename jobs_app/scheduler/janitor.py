"""The janitor: one rule for every promise that a crash can break.

It runs in every scheduler, active or not. Each rule changes rows by compare-and-set,
so two janitors do no more than one.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Row

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.errors import PutAside
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import overruns, pause_end
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import cancel, concurrency, outbox, overlap, rescue, workers
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.finish import finish_alone
from jobs_app.runs.messages import Message
from jobs_app.runs.outcome import Outcome
from jobs_app.scheduler import pending_work
from jobs_app.scheduler.heartbeat_monitor import HeartbeatMonitor
from jobs_app.scheduler.pending_work import Work
from jobs_app.scheduler.redbeat_repair import RedBeatRepair
from jobs_app.scheduler.tick import Publish, promote_all, publish_or_defer

log = logging.getLogger(__name__)

#: Why a run of a worker without heartbeats is lost.
WORKER_GONE = "The worker stopped without a word."

#: How often runs are looked for that take much longer than usual, seconds.
OVERRUN_SECONDS = 30.0


class Rule(NamedTuple):
    """A rule of the janitor: its period in seconds; `apply` takes (at, monotonic).

    It returns how many rows, messages or entries it has mended. While there is no `work` it
    would mend none; with None it finds that out itself.
    """

    name: str
    seconds: float
    apply: Callable[[datetime, float], int]
    work: Work | None = None


class Janitor:
    """The rules, and what they need; each rule can be run alone."""

    def __init__(
        self,
        database: Database,
        projection: Projection,
        publish: Publish,
        monitor: HeartbeatMonitor,
        *,
        queue_prefix: str,
    ) -> None:
        self._database = database
        self._projection = projection
        self._publish = publish
        self._monitor = monitor
        self._queue_prefix = queue_prefix
        self._put_aside = PutAside("janitor_put_aside")
        self.entries = RedBeatRepair(database, projection)

    def rules(self) -> list[Rule]:
        """Return the rules with their names for /metrics."""
        return [
            Rule("queue_retries", 1.0, lambda at, _: self.queue_retries(at=at), Work.DUE_RETRIES),
            Rule("resend", 1.0, lambda at, _: self.resend(at=at), Work.UNSENT_MESSAGES),
            Rule(
                "give_up_workers", 1.0, lambda at, now: self.give_up_workers(at=at, monotonic=now)
            ),
            Rule("finish_orphans", 1.0, lambda at, _: self.finish_orphans(at=at), Work.ORPHANS),
            Rule("unpark_runs", 1.0, lambda at, _: self.unpark_runs(at=at), Work.PARKED_RUNS),
            Rule(
                "promote_waiting", 5.0, lambda at, _: self.promote_waiting(at=at), Work.WAITING_RUNS
            ),
            Rule("end_pauses", 1.0, lambda at, _: self.end_pauses(at=at), Work.ENDED_PAUSES),
            Rule("cancel_of_deleted_jobs", 60.0, lambda at, _: self.cancel_of_deleted_jobs(at=at)),
            Rule("notify_overruns", OVERRUN_SECONDS, lambda at, _: self.notify_overruns(at=at)),
            Rule("repair_entries", 1.0, lambda _, now: self.entries.compare_next(monotonic=now)),
            Rule(
                "repair_entries", 1.0, lambda _, now: self.entries.remove_leftovers(monotonic=now)
            ),
        ]

    def pending_work(self, *, at: datetime) -> frozenset[Work]:
        """Return the kinds of work that there is for the rules at *at*."""
        with self._database.reading() as session:
            return pending_work.pending_work(session, at=at)

    def queue_retries(self, *, at: datetime) -> int:
        """Queue the next attempts whose delay is over."""
        with self._database.session() as session:
            messages = queue_due_retries(session, at=at)
        self._send(messages, at=at)
        return len(messages)

    def resend(self, *, at: datetime) -> int:
        """Send the messages of queued runs again, but never more than are missing.

        A long queue is not a lost queue: one message for each queued run is enough,
        and the messages that lie in the broker are counted.
        """
        with self._database.reading() as session:
            queued = outbox.unsent_by_queue(session, at=at)
        if not queued:
            return 0
        in_broker = self._projection.queue_lengths(queued, self._queue_prefix)
        sent = 0
        for queue, count in queued.items():
            missing = count - in_broker[queue]
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
        """Send what a scheduler that died may have committed and not published."""
        self.entries.start_over()
        with self._database.session() as session:
            outbox.mark_queued_unsent(session, at=at)
        # `resend` counts the messages in the broker: runs that only wait get no second one.
        self.resend(at=at)

    def give_up_workers(self, *, at: datetime, monotonic: float) -> int:
        """Declare workers gone whose counter stood still; the next rule finishes their runs."""
        with self._database.reading() as session:
            beats = workers.living(session)
        given_up = 0
        for worker_id, count in self._monitor.silent_workers(beats, monotonic=monotonic).items():
            with self._database.session() as session:
                if workers.give_up(session, worker_id, beats=count, at=at):
                    log.warning("worker_given_up worker=%s", worker_id)
                    given_up += 1
        return given_up

    def finish_orphans(self, *, at: datetime) -> int:
        """Finish the running runs of workers that are gone, or schedule their next attempt."""
        with self._database.reading() as session:
            orphans = rescue.orphans(session)
        finished = 0
        for orphan in orphans:
            attempt = (orphan.id, orphan.attempt)
            finished += bool(
                self._put_aside.run(attempt, partial(self._finish_orphan, orphan, at=at))
            )
            if self._put_aside.holds(attempt):
                # Its data fail: write its state alone, or it would be `running` for ever.
                alone = partial(self._finish_orphan_alone, orphan, at=at)
                finished += bool(self._put_aside.run(("alone", *attempt), alone))
        return finished

    def _finish_orphan(self, orphan: Row[Any], *, at: datetime) -> bool:
        with self._database.session() as session:
            return rescue.finish_lost(session, orphan, orphan.attempt, reason=WORKER_GONE, at=at)

    def _finish_orphan_alone(self, orphan: Row[Any], *, at: datetime) -> bool:
        error = RunError("WorkerLost", WORKER_GONE)
        outcome = Outcome(RunState.LOST, error=error, reason=WORKER_GONE)
        ours = (orphan.id, orphan.attempt, outcome)
        with self._database.session() as session:
            return finish_alone(session, *ours, worker_id=orphan.worker_id, at=at)

    def unpark_runs(self, *, at: datetime) -> int:
        """Send the messages of parked runs for which their concurrency keys have free slots."""
        with self._database.reading() as session:
            keys = concurrency.keys_with_free_slots(session)
        messages = []
        for key in keys:
            messages += self._put_aside.run(("key", key), partial(self._unpark, key, at=at)) or []
        self._send(messages, at=at)
        return len(messages)

    def promote_waiting(self, *, at: datetime) -> int:
        """Queue runs that wait although no other run of their job is active.

        The process that finished the other run died before it could promote them.
        """
        with self._database.reading() as session:
            job_ids = overlap.promotable_jobs(session)
        messages = promote_all(self._database, job_ids, self._put_aside, at=at)
        self._send(messages, at=at)
        return len(messages)

    def end_pauses(self, *, at: datetime) -> int:
        """Resume the jobs whose pauses have ended; return how many."""
        with self._database.reading() as session:
            job_ids = pause_end.ended_pauses(session, at=at)
        jobs = [job for job_id in job_ids if (job := self._end_pause(job_id, at=at)) is not None]
        if jobs:
            # If this fails, a later comparison with the entries writes them.
            self._projection.write(jobs)
        return len(jobs)

    def _end_pause(self, job_id: int, *, at: datetime) -> Job | None:
        def resume() -> Job | None:
            with self._database.session() as session:
                return pause_end.end_pause(session, job_id, at=at)

        return self._put_aside.run(("pause", job_id), resume)

    def cancel_of_deleted_jobs(self, *, at: datetime) -> int:
        """Cancel runs that have not started and whose job is deleted; return how many.

        The process that deleted the job died before it had cancelled them all.
        """
        with self._database.reading() as session:
            job_ids = cancel.deleted_with_unstarted(session)
        cancelled = 0
        for job_id in job_ids:
            with self._database.session() as session:
                cancelled += cancel.cancel_unstarted(session, job_id, by="jobs-app", at=at)
        return cancelled

    def notify_overruns(self, *, at: datetime) -> int:
        """Notify of runs that take much longer than usual; return how many."""
        with self._database.reading() as session:
            found = overruns.find(session, at=at)
        if found:
            with self._database.session() as session:
                overruns.notify(session, found, at=at)
        return len(found)

    def _unpark(self, key: str, *, at: datetime) -> list[Message]:
        with self._database.session() as session:
            return concurrency.unpark(session, key, at=at, fill_all_slots=True)

    def recover(self, *, at: datetime) -> None:
        """After Redis lost its data, write the next entries anew; call it until all are there.

        The first call sends the messages of all queued runs.
        """
        is_first = not self.entries.is_rebuilding
        self.entries.rebuild_next()
        if is_first:
            with self._database.session() as session:
                outbox.mark_queued_unsent(session, at=at, is_everything_lost=True)
        self.resend(at=at)

    def _send(self, messages: list[Message], *, at: datetime) -> None:
        publish_or_defer(self._database, self._publish, messages, at=at)
