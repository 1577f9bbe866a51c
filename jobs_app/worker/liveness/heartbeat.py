"""The heartbeat of a worker: a thread of its main process with its own database connection."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.errors import PutAside, error_name, is_outage
from jobs_app.db.models.runs import Run
from jobs_app.runs import outbox, workers
from jobs_app.runs.cancel import running_on
from jobs_app.runs.finish import finish_alone
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.rescue import finish_lost
from jobs_app.runs.workers import Registration
from jobs_app.tasks.command import is_still_ending
from jobs_app.worker.liveness.cancellation import CANCEL_POLL_SECONDS
from jobs_app.worker.liveness.forced_cancellation import ForcedCancellation
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.liveness.orphans import Orphans
from jobs_app.worker.liveness.stalled_runs import StalledRuns

log = logging.getLogger(__name__)

#: Pause between two tries while the database is away, seconds.
DATABASE_RETRY_SECONDS = 1.0

#: Time between two checks for the remains of a run whose process died, seconds.
DEAD_POLL_SECONDS = 0.2

#: A supervisor ends the command of a dead pool process within this time, seconds.
SUPERVISOR_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DeadAttempt:
    """An attempt whose pool process died, and when that was noticed (monotonic seconds).

    `worker_id` is the worker's id at that time: the attempt was claimed under it, or never.
    """

    run_id: UUID
    attempt: int
    worker_id: UUID
    reason: str
    state: RunState
    # A lambda, so that the simulation can replace `time`.
    seen: float = field(default_factory=lambda: time.monotonic())


class Heartbeat:
    """Registers a worker, sends its heartbeats, and finishes runs whose process died.

    `take_dropped` returns how many messages were dropped since the last call, `problem` what
    the worker cannot do. `stalled_runs` finds the runs that nobody here works on.
    `forced_cancellation` kills the pool processes that do not respond to a cancel; *orphans*
    ends the programs of those that died. `on_failure` is called after a heartbeat that failed.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        registration: Registration,
        *,
        seconds: float,
        stalled_runs: StalledRuns,
        forced_cancellation: ForcedCancellation,
        take_dropped: Callable[[], int] = lambda: 0,
        problem: Callable[[], str | None] = lambda: None,
        orphans: Orphans | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._lease = lease
        self._registration = registration
        self._seconds = seconds
        self._stalled_runs = stalled_runs
        self._take_dropped = take_dropped
        self._problem = problem
        self._forced_cancellation = forced_cancellation
        self._orphans = orphans
        self._on_failure = on_failure
        self._dead_attempts: list[DeadAttempt] = []
        self._put_aside = PutAside("heartbeat_put_aside", now=lambda: time.monotonic())
        self._wake = threading.Event()
        self._is_stopped = False
        self._no_fork = threading.Lock()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)

    def register(self) -> None:
        """Register the worker; try until the database accepts it."""
        while True:
            begun = lease_now()
            try:
                with self._session() as session:
                    worker_id = workers.register(session, self._registration, at=clock.now())
            except SQLAlchemyError as error:
                if not is_outage(error):
                    # The worker's name, for example, cannot be stored: say so and exit.
                    raise
                log.warning("worker_not_registered error=%s", error)
                time.sleep(DATABASE_RETRY_SECONDS)
                continue
            self._lease.adopt(worker_id)
            self._lease.renew(begun)
            log.info("worker_registered worker=%s", worker_id)
            return

    def start(self) -> None:
        """Start the heartbeat thread."""
        os.register_at_fork(
            before=self._no_fork.acquire,
            after_in_parent=self._no_fork.release,
            after_in_child=self._no_fork.release,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the heartbeat and deregister the worker; its remaining runs are lost at once."""
        self._is_stopped = True
        self._wake.set()
        # Redis may not have answered yet: then the worker never became ready.
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        try:
            self._wait_for_supervisors()
            with self._session() as session:
                workers.give_up(session, self._lease.worker_id, beats=None, at=clock.now())
        except SQLAlchemyError as error:
            # The janitor notices that the heartbeats stopped.
            log.warning("worker_not_signed_off error=%s", error)

    def _wait_for_supervisors(self) -> None:
        """Wait until supervisors have ended interrupted commands: a retry may start them again."""
        with self._session() as session:
            running = running_on(session, self._lease.worker_id)
        give_up_at = time.monotonic() + SUPERVISOR_SECONDS
        while (
            any(is_still_ending(*attempt) for attempt in running) and time.monotonic() < give_up_at
        ):
            time.sleep(DEAD_POLL_SECONDS)

    def report_dead(
        self, run_id: UUID, attempt: int, reason: str, state: RunState = RunState.LOST
    ) -> None:
        """Finish an attempt whose process is dead; repeated until the database accepts it."""
        dead = DeadAttempt(run_id, attempt, self._lease.worker_id, reason, state)
        self._dead_attempts.append(dead)
        self._wake.set()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """Open a session; this process does not fork while it is open.

        SQLite keeps a process's locks in memory. A pool process that is forked during a
        transaction inherits the lock and never releases it: all its claims would wait.
        """
        with self._no_fork, self._database.session() as session:
            yield session

    def _loop(self) -> None:
        next_beat = 0.0
        while not self._is_stopped:
            now = time.monotonic()
            is_up = True
            if now >= next_beat:
                is_up = self._try_beat()
                next_beat = now + (self._seconds if is_up else DATABASE_RETRY_SECONDS)
            for name, duty in self._duties():
                # While the database is away, the time is for the heartbeat.
                is_up = is_up and self._try(name, duty)
            self._wake.clear()
            pause = min(next_beat - time.monotonic(), self._seconds)
            if self._forced_cancellation.has_work:
                pause = min(pause, CANCEL_POLL_SECONDS)
            if self._dead_attempts or self._are_orphans_ending():
                pause = min(pause, DEAD_POLL_SECONDS)
            self._wake.wait(max(pause, 0.05))

    def _are_orphans_ending(self) -> bool:
        return self._orphans is not None and self._orphans.is_ending

    def _try_beat(self) -> bool:
        try:
            self._beat(lease_now())
        except SQLAlchemyError as error:
            log.warning("heartbeat_failed error=%s", error_name(error))
            self._on_failure()
        except Exception:
            # A worker without a heartbeat would fetch messages and drop them for ever.
            log.exception("heartbeat_failed")
        else:
            return True
        return False

    def _duties(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the duties of each turn by name; an error in the data of one stops no other."""
        if self._orphans is not None:
            yield "orphans", self._orphans.check
        if not self._are_orphans_ending():
            yield "dead_attempts", self._finish_dead_attempts
        yield "stalled_runs", self._report_stalled
        yield "forced_cancellation", partial(self._forced_cancellation.check, self._session)

    def _try(self, name: str, duty: Callable[[], None]) -> bool:
        """Do a duty and log its error; return False if the database is away."""
        try:
            self._put_aside.run(name, duty)
        except Exception as error:  # noqa: BLE001  # only errors of an outage come here
            log.warning("%s_failed error=%s", name, error_name(error))
            return False
        return True

    def _beat(self, begun: float) -> None:
        with self._session() as session:
            is_alive = workers.beat(
                session,
                self._lease.worker_id,
                dropped=self._take_dropped(),
                problem=self._problem(),
                at=clock.now(),
            )
        if is_alive:
            self._lease.renew(begun)
            return
        # It was frozen for too long. Its runs were rescued; the new id tells its processes.
        log.warning("worker_was_given_up worker=%s", self._lease.worker_id)
        self.register()

    def _finish_dead_attempts(self) -> None:
        for dead in list(self._dead_attempts):
            attempt = (dead.run_id, dead.attempt)
            if self._put_aside.run(attempt, partial(self._finish_dead, dead)):
                self._dead_attempts.remove(dead)
            elif self._put_aside.holds(attempt):
                self._put_aside.run(("alone", *attempt), partial(self._finish_alone, dead))
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
                self.report_dead(*attempt, "No process of the worker worked on the run any more.")

    def _finish_alone(self, dead: DeadAttempt) -> None:
        """Finish an attempt whose data fail: its state alone, without a retry."""
        if self._stalled_runs.is_active(dead.run_id, dead.attempt):
            return
        outcome = Outcome(dead.state, error=RunError("WorkerLost", dead.reason), reason=dead.reason)
        ours = (dead.run_id, dead.attempt, outcome)
        with self._session() as session:
            finish_alone(session, *ours, at=clock.now(), worker_id=dead.worker_id)

    def _have_programs_been_left(self) -> bool:
        """Look once more: the process may have died after the look of this turn."""
        if self._orphans is None:
            return False
        self._orphans.check()
        return self._orphans.is_ending

    def _finish_dead(self, dead: DeadAttempt) -> bool:
        """Finish a dead attempt; False while a process of it lives: no retry may overlap it."""
        is_late = time.monotonic() - dead.seen >= SUPERVISOR_SECONDS
        if not is_late and is_still_ending(dead.run_id, dead.attempt):
            return False
        with self._session() as session:
            run = session.get(Run, dead.run_id)
            # Check after the read of the row: an attempt is active from before its claim.
            if self._stalled_runs.is_active(dead.run_id, dead.attempt):
                # Either its process is about to die, or the message was doubled and the dead
                # process had the copy that lost.
                return is_late
            if not is_late and self._have_programs_been_left():
                return False
            # An attempt keeps its worker: do not finish another worker's attempt.
            is_ours = run is not None and run.worker_id == dead.worker_id
            if run is not None and not (
                is_ours
                and finish_lost(
                    session,
                    run,
                    dead.attempt,
                    state=dead.state,
                    reason=dead.reason,
                    at=clock.now(),
                )
            ):
                # It may have died before its claim, and the message with it: send it again.
                outbox.mark_unsent(session, [dead.run_id], at=clock.now())
                session.commit()
        return True
