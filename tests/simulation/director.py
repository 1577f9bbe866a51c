"""The director of a scenario runs the product's processes in a written order, on one thread.

A cue defines an action between two statements: it has a place of the product, and the
statement before which the action happens. A scenario has no other faults.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from jobs_app.core.policies import RunLimits
from jobs_app.core.run_error import RunError
from jobs_app.core.states import CancelMode, OverlapPolicy, RunState
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.jobs.document import Definition
from jobs_app.jobs.start import TaskStart, start_job, start_task
from jobs_app.runs import cancel as runs_cancel
from jobs_app.runs import claim as runs_claim
from jobs_app.runs import finish_and_claim, overlap, workers
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.messages import Message
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.retry import RetryPolicy
from jobs_app.tasks.context import RunContext
from tests.factories import TASKS, definition
from tests.simulation.guards import here
from tests.simulation.invariants import RunRow, short
from tests.simulation.stage import Operation, Violation
from tests.simulation.workers import SimulatedWorker
from tests.simulation.world import World

#: Lines of a trace that no scenario has.
MOST_LINES = 1_000

#: After this long the runs of a silent worker have ended, and others may give it up.
LONG_SECONDS = 60.0

#: Three attempts, five seconds apart.
RETRIED = RetryPolicy(max_attempts=3, delay_seconds=5, backoff="constant", jitter=False)

#: The default definition of a job in a scenario: nothing happens by itself.
_QUIET: dict[str, Any] = {
    "overlap_policy": OverlapPolicy.ALLOW_ALL,
    "retry": RetryPolicy(),
}
_WHEN = frozenset(("cron", "interval_seconds", "once_at"))
EVERY_MINUTE: dict[str, Any] = {"cron": "* * * * *"}


@dataclass
class Cue:
    """An action before the next statement of *place* that begins with *statement*."""

    place: str
    statement: str
    action: Callable[[], object]


class Director:
    """Acts for each process of a scenario, one at a time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.stage = world.stage
        self.checker = world.checker
        self.scheduler = world.scheduler("scheduler")
        self._cues: list[Cue] = []
        self._is_answer_lost: str | None = None
        self.stage.on_point = self._at_point
        self.stage.is_impatient = True
        self.stage.most_lines = MOST_LINES
        check = self.stage.on_commit

        def committed(actor: Any, touched: frozenset[str]) -> None:
            check(actor, touched)
            if self._is_answer_lost == str(here()):
                self._is_answer_lost = None
                raise self.store.driver_error()

        self.stage.on_commit = committed

    # In between

    def before(self, place: str, action: Callable[[], object], *, statement: str = "") -> None:
        """Have *action* happen before the next such statement of *place*, once."""
        self._cues.append(Cue(place, statement, action))

    def loses_answer(self, place: str) -> None:
        """Have the next commit of *place* take effect, and its answer get lost."""
        self._is_answer_lost = place

    def _at_point(self, what: str) -> None:
        place = str(here())
        for cue in self._cues:
            if cue.place == place and what.startswith(cue.statement):
                self._cues.remove(cue)
                with self.stage.aside():
                    cue.action()
                return

    def tries(self, action: Callable[[], object]) -> bool:
        """Have *action* happen, unless a lock or a guard stands in its way; tell whether it did."""
        try:
            action()
        except self.world.mishaps:
            return False
        return True

    # Time and claims

    def passes(self, seconds: float) -> None:
        """Let time go on."""
        self.stage.now += seconds

    def at(self) -> Any:
        """Return the instant that the clock on the wall shows."""
        return self.stage.wall()

    def hold(self, claim: bool, otherwise: str) -> None:
        """Raise Violation unless *claim* is true."""
        if not claim:
            raise Violation(otherwise)

    @contextmanager
    def refused(self, kind: type[Exception], otherwise: str) -> Iterator[None]:
        """Raise Violation unless the block is refused by an error of *kind*."""
        try:
            yield
        except kind:
            return
        raise Violation(otherwise)

    def run(self, run_id: UUID) -> RunRow:
        """Return a run as it is on record."""
        return self.checker.runs[run_id]

    def is_in(self, run_id: UUID, *states: RunState) -> None:
        """Raise Violation unless a run is in one of *states*."""
        run = self.run(run_id)
        name = f"run {short(run_id)}"
        self.hold(run.state in states, f"{name} is {run.state}, not {' or '.join(states)}")

    # People

    def session(self) -> Session:
        return self.store.database.session()

    def job(self, name: str = "alpha", **says: Any) -> Job:
        """Create a manual job whose runs may overlap; *says* replaces fields of it."""
        definition = _definition(name, says)
        with self.session() as session:
            job = service.create(session, definition, app=TASKS, by="ann", at=self.at())
        self.world.redis.write([job])
        return job

    def change(self, job: Job, *, version: int | None = None, **says: Any) -> None:
        """Change the definition of a job."""
        definition = _definition(job.name, says)
        with self._changing(job) as session:
            service.change(
                session, job, definition, version=version, app=TASKS, by="ann", at=self.at()
            )

    def pause(self, job: Job, *, seconds: int | None = None) -> None:
        """Pause a job, with *seconds* only for so long."""
        until = None if seconds is None else self.at() + timedelta(seconds=seconds)
        with self._changing(job) as session:
            service.pause(session, job, reason=None, by="ann", at=self.at(), until=until)

    def resume(self, job: Job, on_missed: service.OnMissed = "skip") -> None:
        with self._changing(job) as session:
            service.resume(session, job, on_missed=on_missed, by="ann", at=self.at())

    def remove(self, job: Job) -> None:
        with self._changing(job) as session:
            service.remove(session, job, version=None, by="ann", at=self.at())

    def start(self, job: Job, policy: OverlapPolicy | None = None) -> UUID:
        """Start a job by hand; return its run."""
        with self._changing(job) as session:
            started = start_job(
                session, job, app=TASKS, by="ann", at=self.at(), overlap_policy=policy
            )
        self._send(started.message)
        return started.run.id

    def start_task(self, key: str | None = None, limit: int | None = None) -> UUID:
        """Start a task without a job; return its run."""
        start = TaskStart(
            "sleep",
            {"duration": 0},
            concurrency_key=key,
            concurrency_limit=limit,
            limits=RunLimits(time_limit_seconds=3600),
        )
        with self.session() as session:
            started = start_task(session, start, app=TASKS, by="ann", at=self.at())
        self._send(started.message)
        return started.run.id

    def promote(self, job: Job) -> None:
        """Promote the run that waits for others of its job, as a janitor does."""
        with self.session() as session:
            message = overlap.promote(session, job.id, at=self.at())
        self._send(message)

    def cancel(self, run_id: UUID, mode: CancelMode = CancelMode.GRACEFUL) -> None:
        """Cancel a run without promoting another one: the janitor does that."""
        with self.session() as session, self.stage.on(Operation(cancels=run_id)):
            runs_cancel.cancel(
                session, run_id, mode=mode, by="ann", reason="cancelled", at=self.at()
            )

    @contextmanager
    def _changing(self, job: Job) -> Iterator[Session]:
        with self.session() as session, self.stage.on(Operation(changes=job.id)):
            yield session

    def _send(self, message: Message | None) -> None:
        if message is not None:
            self.world.redis.publish([message])

    # Workers

    def worker(self, name: str) -> SimulatedWorker:
        """Return a worker that is on record and has a lease."""
        worker = self.world.worker(name)
        worker.heartbeat.register()
        return worker

    def work(
        self,
        worker: SimulatedWorker,
        run_id: UUID,
        attempt: int = 1,
        *,
        during: Callable[[RunContext], None] | None = None,
    ) -> None:
        """Have a worker take a message, and do *during* while it works."""
        worker.during = during
        worker.handle(Message(run_id, attempt, "sleep", "default"))
        worker.during = None

    def claim(self, worker: SimulatedWorker, run_id: UUID, attempt: int = 1) -> ClaimedRun:
        """Have a worker claim an attempt, which it gets."""
        claimed = worker.claim(run_id, attempt)
        if claimed is None:
            raise Violation(f"attempt {attempt} of run {short(run_id)} is not to be had")
        return claimed

    def claim_once(
        self, worker: SimulatedWorker, run_id: UUID, attempt: int = 1
    ) -> ClaimedRun | None:
        """Have a worker claim an attempt; it does not try again where the database says no."""
        with self.stage.on(Operation(claims=(run_id, attempt))), self.session() as session:
            claimed = runs_claim.claim(
                session, run_id, attempt, worker_id=worker.lease.worker_id, at=self.at()
            )
        if claimed is not None:
            self.checker.count_start(run_id, attempt)
        return claimed

    def finish_and_claim(
        self, worker: SimulatedWorker, ended: ClaimedRun, run_id: UUID, attempt: int = 1
    ) -> ClaimedRun | None:
        """Have a busy worker end one attempt well and claim another, in one transaction."""
        operation = Operation(claims=(run_id, attempt), ends=(ended.run_id, ended.attempt))
        with self.stage.on(operation), self.store.database.single() as connection:
            _, claimed = finish_and_claim.finish_and_claim(
                connection,
                ended.run_id,
                ended.attempt,
                Outcome(RunState.SUCCEEDED, result=ended.attempt),
                finished_at=self.at(),
                run_id=run_id,
                attempt=attempt,
                worker_id=worker.lease.worker_id,
                at=self.at(),
            )
        if claimed is not None:
            self.checker.count_start(run_id, attempt)
        return claimed

    def succeed(self, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
        """Have a worker end an attempt with a success."""
        worker.finish(claimed, Outcome(RunState.SUCCEEDED, result=claimed.attempt))

    def fail(self, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
        """Have a worker end an attempt with a failure."""
        error = RunError("ValueError", "simulated")
        worker.finish(claimed, Outcome(RunState.FAILED, error=error))

    def bury(self, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
        """Have the process die that works on an attempt, and its worker see it."""
        self.checker.leave((claimed.run_id, claimed.attempt))
        worker.heartbeat.report_dead(claimed.run_id, claimed.attempt, "simulated")
        worker.beat()

    def lose(self, worker: SimulatedWorker, *others: SimulatedWorker) -> None:
        """Let a worker freeze until it is given up, and *others* beat meanwhile."""
        self.passes(LONG_SECONDS)
        for other in others:
            other.beat()
        with self.session() as session:
            workers.give_up(session, worker.lease.worker_id, beats=None, at=self.at())

    def lose_and_retry(self, worker: SimulatedWorker, *others: SimulatedWorker) -> None:
        """Let a worker be given up, and its runs have their next attempts queued."""
        self.lose(worker, *others)
        self.scheduler.janitor.finish_orphans(at=self.at())
        self.retry()

    def retry(self) -> None:
        """Queue the next attempts of all runs that wait for a retry."""
        self.passes(6)
        self.scheduler.janitor.queue_retries(at=self.at())


def _definition(name: str, says: dict[str, Any]) -> Definition:
    quiet = _QUIET if _WHEN & set(says) else _QUIET | {"schedule": None}
    return definition(name=name, **(quiet | says))
