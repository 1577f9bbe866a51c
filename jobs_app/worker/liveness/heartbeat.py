"""The heartbeat of a worker: one thread of its main process, with a connection of its own."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import outbox, workers
from jobs_app.runs.cancel import running_on
from jobs_app.runs.rescue import finish_lost
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.workers import Registration
from jobs_app.tasks.command import is_still_ending
from jobs_app.worker.liveness.cancellation import CANCEL_POLL_SECONDS
from jobs_app.worker.liveness.forced_cancellation import ForcedCancellation
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.liveness.stalled_runs import StalledRuns

log = logging.getLogger(__name__)

#: Time between two tries while the database is away, seconds.
DATABASE_RETRY_SECONDS = 1.0

#: Time between two looks at what is left of a run whose process died, seconds.
DEAD_POLL_SECONDS = 0.2

#: By then a supervisor has ended a command whose worker process died, seconds.
SUPERVISOR_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DeadAttempt:
    """An attempt whose pool process died, and when that was seen (monotonic seconds).

    `worker_id` is what its worker was called then: what it had in hand was claimed for that,
    or not at all.
    """

    run_id: UUID
    attempt: int
    worker_id: UUID
    reason: str
    state: RunState
    # Looked up each time: a simulation has a clock of its own.
    seen: float = field(default_factory=lambda: time.monotonic())


class Heartbeat:
    """Registers a worker, beats for it, and reports the runs whose process died under them.

    `take_dropped` returns how many messages were dropped since the last call. `stalled_runs`
    finds the runs that nobody here works on. `forced_cancellation`, in a pool of processes
    only, kills those that do not respond to a cancel.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        registration: Registration,
        *,
        seconds: float,
        stalled_runs: StalledRuns,
        take_dropped: Callable[[], int] = lambda: 0,
        forced_cancellation: ForcedCancellation | None = None,
    ) -> None:
        self._database = database
        self._lease = lease
        self._registration = registration
        self._seconds = seconds
        self._stalled_runs = stalled_runs
        self._take_dropped = take_dropped
        self._forced_cancellation = forced_cancellation
        self._dead_attempts: list[DeadAttempt] = []
        self._wake = threading.Event()
        self._is_stopped = False
        self._no_fork = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def register(self) -> None:
        """Put the worker on record; tries until the database takes it."""
        while True:
            begun = lease_now()
            try:
                with self._session() as session:
                    worker_id = workers.register(session, self._registration, at=clock.now())
            except SQLAlchemyError as error:
                log.warning("worker_not_registered error=%s", error)
                time.sleep(DATABASE_RETRY_SECONDS)
                continue
            self._lease.adopt(worker_id)
            self._lease.renew(begun)
            log.info("worker_registered worker=%s", worker_id)
            return

    def start(self) -> None:
        """Begin to beat."""
        os.register_at_fork(
            before=self._no_fork.acquire,
            after_in_parent=self._no_fork.release,
            after_in_child=self._no_fork.release,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and sign off; what is left of this worker's runs is lost at once."""
        self._is_stopped = True
        self._wake.set()
        self._thread.join(timeout=5)
        try:
            self._outlive_commands()
            with self._session() as session:
                workers.give_up(session, self._lease.worker_id, beats=None, at=clock.now())
        except SQLAlchemyError as error:
            # The janitor finds out by itself: nobody beats any more.
            log.warning("worker_not_signed_off error=%s", error)

    def _outlive_commands(self) -> None:
        """Wait for the supervisors of commands that were cut short: others may start them again."""
        with self._session() as session:
            left = running_on(session, self._lease.worker_id)
        give_up_at = time.monotonic() + SUPERVISOR_SECONDS
        while any(is_still_ending(*each) for each in left) and time.monotonic() < give_up_at:
            time.sleep(DEAD_POLL_SECONDS)

    def report_dead(
        self, run_id: UUID, attempt: int, reason: str, state: RunState = RunState.LOST
    ) -> None:
        """Have an attempt ended whose process is gone; repeated until the database takes it."""
        dead = DeadAttempt(run_id, attempt, self._lease.worker_id, reason, state)
        self._dead_attempts.append(dead)
        self._wake.set()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A session during which this process does not fork.

        SQLite keeps the locks of a process in its memory. A pool child that is forked in
        the middle of a transaction inherits the note that the database is locked, and
        nobody ever takes it back: each of its own claims would wait in vain.
        """
        with self._no_fork, self._database.session() as session:
            yield session

    def _loop(self) -> None:
        next_beat = 0.0
        while not self._is_stopped:
            now = time.monotonic()
            try:
                if now >= next_beat:
                    self._beat(lease_now())
                    next_beat = now + self._seconds
                self._finish_dead_attempts()
                self._report_stalled()
                if self._forced_cancellation is not None:
                    self._forced_cancellation.check(self._session)
            except SQLAlchemyError as error:
                log.warning("heartbeat_failed error=%s", type(error).__name__)
                next_beat = now + DATABASE_RETRY_SECONDS
            except Exception:
                # A worker without a heart would take messages and drop them for ever.
                log.exception("heartbeat_failed")
                next_beat = now + DATABASE_RETRY_SECONDS
            self._wake.clear()
            pause = min(next_beat - time.monotonic(), self._seconds, self._force_cancel_seconds())
            if self._dead_attempts:
                pause = min(pause, DEAD_POLL_SECONDS)
            self._wake.wait(max(pause, 0.05))

    def _force_cancel_seconds(self) -> float:
        return (
            CANCEL_POLL_SECONDS
            if self._forced_cancellation is not None and self._forced_cancellation.has_work
            else math.inf
        )

    def _beat(self, begun: float) -> None:
        with self._session() as session:
            is_alive = workers.beat(
                session, self._lease.worker_id, dropped=self._take_dropped(), at=clock.now()
            )
        if is_alive:
            self._lease.renew(begun)
            return
        # Frozen for too long: what it ran belongs to others now, and its processes see that.
        log.warning("worker_was_given_up worker=%s", self._lease.worker_id)
        self.register()

    def _finish_dead_attempts(self) -> None:
        for dead in list(self._dead_attempts):
            if self._finish_dead(dead):
                self._dead_attempts.remove(dead)

    def _report_stalled(self) -> None:
        if not self._stalled_runs.is_due:
            return
        with self._session() as session:
            running = running_on(session, self._lease.worker_id)
        known = {(dead.run_id, dead.attempt) for dead in self._dead_attempts}
        for attempt in self._stalled_runs.find(running):
            if attempt not in known:
                log.error("run_strayed run=%s attempt=%s", *attempt)
                self.report_dead(*attempt, "The worker lost sight of the run before its end.")

    def _finish_dead(self, dead: DeadAttempt) -> bool:
        """End an attempt; False while something of it still lives, which others must not meet."""
        is_late = time.monotonic() - dead.seen >= SUPERVISOR_SECONDS
        if not is_late and is_still_ending(dead.run_id, dead.attempt):
            return False
        with self._session() as session:
            run = session.get(Run, dead.run_id)
            # Asked after the row was read: an attempt is in hand from before its claim on.
            if self._stalled_runs.is_active(dead.run_id, dead.attempt):
                # Either its process is just about to die, or a message came twice, and the
                # process that died had the one that was in vain.
                return is_late
            # An attempt has one owner for life; that of another worker is not ours to end.
            is_ours = run is not None and run.worker_id == dead.worker_id
            if run is not None and not (
                is_ours
                and finish_lost(
                    session,
                    dead.run_id,
                    dead.attempt,
                    job_id=run.job_id,
                    retry=RetryPolicy.from_json(run.retry),
                    state=dead.state,
                    reason=dead.reason,
                    at=clock.now(),
                )
            ):
                # Perhaps it died before its claim: then the message died with it.
                outbox.mark_unsent(session, [dead.run_id], at=clock.now())
                session.commit()
        return True
