"""Workers: a heart, and a pool of processes or threads that claim, work and finish.

They run the product's own `execution.run` for each message. This module only declares each
step to the checker, so that its commits may touch nothing else.
"""

from collections.abc import Callable
from copy import copy
from datetime import datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.exc import OperationalError

from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.messages import Message
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.progress import report_progress
from jobs_app.runs.workers import Registration
from jobs_app.scheduler import janitor
from jobs_app.tasks.context import Fenced, RunContext, TimedOut, current_run
from jobs_app.worker import execution, finish_run, runner
from jobs_app.worker.completer import HOLD_SECONDS, Completer, FinishedRun
from jobs_app.worker.liveness import heartbeat
from jobs_app.worker.liveness.active_runs import ActiveRuns, Attempt
from jobs_app.worker.liveness.cancellation import CancellableRun, CancelListener
from jobs_app.worker.liveness.forced_cancellation import ForcedCancellation
from jobs_app.worker.liveness.heartbeat import DATABASE_RETRY_SECONDS, DEAD_POLL_SECONDS, Heartbeat
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.stalled_runs import StalledRuns
from tests.factories import TASKS
from tests.simulation.invariants import Checker, Effect, short
from tests.simulation.stage import Actor, Operation, PoolProcessDied, Process, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

HEARTBEAT_SECONDS = 5.0
FENCE_SECONDS = 20.0

#: Looks at the database after which a task knows that it is to end.
LOOKS = 4

_really_claim = execution._claim
_really_finish_and_claim = execution._finish_and_claim
_really_work = runner.work
_really_finish = finish_run.finish_run


class SimulatedLease(Lease):
    """The lease for the processes around the tasks: one that ran out is not renewed."""

    def __init__(
        self, process: Process, checker: Checker, effects: list[Effect], now: Callable[[], float]
    ) -> None:
        super().__init__(FENCE_SECONDS)
        self.process = process
        self.effects = effects
        self._checker = checker
        self._true_now = now

    def adopt(self, worker_id: UUID) -> None:
        before = self._checker.workers.get(self.worker_id)
        if before is not None and before.gone_at is None:
            raise Violation(f"{self.process.name} takes another id, and was not given up")
        super().adopt(worker_id)
        self._checker.adopted(worker_id, self.may_work)

    def may_work(self) -> bool:
        """Tell whether anything of this worker may still be at work."""
        return not self.process.is_dead and self._true_now() < self.until()

    def until(self) -> float:
        """Return the true time at which it runs out."""
        return float(self._renewed.value) + FENCE_SECONDS

    def renew(self, begun: float) -> None:
        if self._true_now() >= self.until():
            for effect in self.effects:
                effect.is_over = True
        super().renew(begun)
        worker = self._checker.workers.get(self.worker_id)
        if worker is None or (worker.gone_at is not None and self.may_work()):
            raise Violation(f"{self.process.name} was given up, and may work again")


class SimulatedCancelListener(CancelListener):
    """The cancel listener of a pool process, with no thread: the task itself has it look."""

    def add(self, run: CancellableRun) -> None:
        run.began = float("-inf")
        self._runs[run.run_id] = run

    def look(self, run_id: UUID) -> None:
        """Ask the database whether a run is to end."""
        self._poll([self._runs[run_id]])


class PoolProcess:
    """A process of a worker's pool, or the one whose threads are the pool.

    It has the attributes that `execution` wants of a process. `place` is its own in the
    pool; None for the one with threads, which dies with its worker only.
    """

    settings = SimpleNamespace(
        log_limit_bytes=1024, result_limit_bytes=1024, events=False, tagged_env_files=()
    )
    app: Any = TASKS
    must_exit = False

    def __init__(self, worker: "SimulatedWorker", place: int | None = None) -> None:
        self.worker = worker
        self.name = worker.name
        self.place = place
        self.is_prefork = place is not None
        self.database, self.lease, self.cancel_listener = (
            worker.database,
            worker.lease,
            worker.cancel_listener,
        )
        self.tracers = worker.tracers
        self.completer = Completer()
        self.can_hold_finish = False
        self.active_runs = worker.active_runs
        self.is_dead = False
        #: The attempt of its last message: the worker remembers it.
        self.last: Attempt | None = None
        if place is not None:
            # A fork has the same table.
            self.active_runs = copy(worker.active_runs)
            self.active_runs.take_slot(place)

    @property
    def is_gone(self) -> bool:
        """Whether the process is gone, and will write nothing more."""
        return self.is_dead or self.worker.process.is_dead

    def die(self) -> None:
        """Die between two statements: its row in the shared table stays."""
        self.is_dead = True
        self.active_runs = ActiveRuns()

    def save_state(self) -> None:
        """Have nothing that a task may change."""

    def restore_state(self) -> None:
        """Have nothing to put back."""

    def note_failed_write(self, failures: object, error: BaseException) -> None:
        """Wait for the database, like a process that nothing has damaged."""

    def count_dropped(self) -> None:
        """Count nothing."""


class SimulatedWorker:
    """A worker process: its heart, and the slots of its pool."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self.process = process
        self.name = process.name
        self.database = world.store.database
        self.effects: list[Effect] = []
        self.lease = SimulatedLease(process, world.checker, self.effects, lambda: world.stage.now)
        registration = Registration(process.name, 1, ("default",), 1, "prefork")
        self.active_runs = ActiveRuns()
        self.heartbeat = Heartbeat(
            self.database,
            self.lease,
            registration,
            seconds=HEARTBEAT_SECONDS,
            stalled_runs=StalledRuns(self.active_runs, lambda: world.stage.now),
            forced_cancellation=ForcedCancellation(self.lease, dict),
        )
        self.cancel_listener = SimulatedCancelListener(
            self.database, self.lease, may_kill_process=False
        )
        #: Celery's way into a task, for the one task that all runs here have.
        self.tracers: Any = {"sleep": self._task}
        #: The pool of threads; a scenario has only one.
        self.threads = PoolProcess(self)
        #: The attempt of the message that each slot has.
        self.in_hand: dict[Actor, Attempt] = {}
        #: The work of the next task, where a scenario defines it.
        self.during: Callable[[RunContext], None] | None = None

    def enter(self) -> None:
        """Begin to act."""
        stage, fault_profile = self._world.stage, self._world.fault_profile
        stage.enter(f"{self.process.name}.heart", self.process, self._beat)
        is_prefork = stage.random.choice(fault_profile.pools) == "prefork"
        for number in range(fault_profile.slots):
            pool_process = PoolProcess(self, number) if is_prefork else self.threads

            def serve(pool_process: PoolProcess = pool_process) -> None:
                self._serve(pool_process)

            stage.enter(f"{self.process.name}.slot", self.process, serve)

    # The heart

    def _beat(self) -> None:
        self.heartbeat.register()
        while True:
            self._world.stage.sleep(HEARTBEAT_SECONDS)
            self.beat()
            self.look()

    def beat(self) -> None:
        """Beat once, and report what died."""
        stage = self._world.stage
        try:
            with stage.on(Operation(beats=self.lease.worker_id)):
                self.heartbeat._beat(stage.now)
            self._finish_dead_attempts()
        except OperationalError:
            stage.sleep(DATABASE_RETRY_SECONDS)

    def look(self) -> None:
        """Look for stalled runs; a run of an earlier look must have ended."""
        stage = self._world.stage
        try:
            self.heartbeat._report_stalled()
            if self.heartbeat._dead_attempts:
                stage.sleep(DEAD_POLL_SECONDS)
                self._finish_dead_attempts()
        except OperationalError:
            stage.sleep(DATABASE_RETRY_SECONDS)
        else:
            self._world.checker.count_look(self.lease.worker_id, set(self.in_hand.values()))

    def _finish_dead_attempts(self) -> None:
        with self._world.stage.on(Operation(buries=True)):
            self.heartbeat._finish_dead_attempts()

    # The pool

    def _serve(self, pool_process: PoolProcess) -> None:
        stage = self._world.stage
        while self.lease.seconds_left() <= 0:
            stage.sleep(1.0)
        while True:
            stage.current.dies_alone = pool_process.die if pool_process.is_prefork else None
            try:
                self._work_off(pool_process)
            except PoolProcessDied:
                stage.current.dies_alone = None
                self._lose(pool_process)
                stage.sleep(0.01)
                pool_process = PoolProcess(self, pool_process.place)

    def _lose(self, pool_process: PoolProcess) -> None:
        """Notice that a process of the pool is gone, or miss it."""
        stage = self._world.stage
        left = [self.in_hand.pop(stage.current, None), pool_process.last]
        if stage.happens(stage.fault_rates.unseen):
            stage.note("dies unseen")
            return
        for attempt in left:
            if attempt is not None:
                self.heartbeat.report_dead(*attempt, "simulated")

    def _work_off(self, pool_process: PoolProcess) -> None:
        pool_process.can_hold_finish = True
        while True:
            message = self._next_message(pool_process)
            self._world.stage.point("takes a message")
            self.handle(message, pool_process)

    def _next_message(self, pool_process: PoolProcess) -> Message:
        """Wait for a message; write the outcome that is held back if that takes long."""
        stage, redis = self._world.stage, self._world.redis
        message = redis.next_message()
        if message is None and pool_process.completer.has_own:
            stage.point("holds back an end")
            stage.sleep(HOLD_SECONDS)
            message = redis.next_message()
            if message is None:
                self.write_held_finish(pool_process)
        while message is None:
            stage.sleep(stage.random.choice(self._world.fault_profile.idle_seconds))
            message = redis.next_message()
        return message

    def write_held_finish(self, pool_process: PoolProcess | None = None) -> None:
        """Write the outcome that this slot holds back, as before a wait."""
        self._world.stage.current.pool_process = pool_process or self.threads
        execution.write_held_finish()

    def handle(self, message: Message, pool_process: PoolProcess | None = None) -> None:
        """Process a message as the worker's task does."""
        actor, attempt = self._world.stage.current, (message.run_id, message.attempt)
        actor.pool_process = pool_process = pool_process or self.threads
        self.in_hand[actor] = attempt
        # No two are taken in the same microsecond, by which a claim knows itself.
        self._world.stage.now += 1e-6
        execution.run.run(str(message.run_id), message.attempt)
        del self.in_hand[actor]
        pool_process.last = attempt

    def claim(self, run_id: UUID, attempt: int) -> ClaimedRun | None:
        """Claim an attempt, as for a message that names it."""
        process: Any = self.threads
        at = self._world.stage.wall()
        return execution._claim(process, run_id, attempt, at=at)

    def finish(self, claimed: ClaimedRun, outcome: Outcome) -> None:
        """Write how an attempt ended, and make room for the next."""
        process: Any = self.threads
        vars(execution)["finish_run"](
            process, FinishedRun(claimed, outcome, self._world.stage.wall())
        )

    def _task(self, *_: object) -> tuple[Any, None]:
        """Act as the task: work for a while, and then succeed, fail, or end as asked."""
        checker, stage, context = self._world.checker, self._world.stage, current_run.get()
        run = checker.runs[context.run_id]
        effect = Effect(run, context.attempt, self.process, self.lease.until)
        checker.begin(effect, stage.now)
        self.effects.append(effect)
        during, self.during = self.during, None
        try:
            if during is not None:
                with stage.aside():
                    during(context)
            elif stage.current is not stage.main:
                self._toil(context)
        finally:
            effect.is_over = True
        return context.attempt, None

    def _toil(self, context: RunContext) -> None:
        stage = self._world.stage
        ends_at = stage.now + stage.random.choice(self._world.fault_profile.work_seconds)
        looks_in_vain = 0
        while stage.now < ends_at:
            stage.sleep(min(5.0, ends_at - stage.now))
            stage.point("works", at_work=True)
            is_unwanted = self.asks(context)
            # The database may be away for some of the looks.
            looks_in_vain = looks_in_vain + 1 if is_unwanted else 0
            if looks_in_vain == (LOOKS if stage.fault_rates.no_database else 1):
                raise Violation(f"run {short(context.run_id)} works on, though nobody wants it to")
            self.tell_progress(context)
        dies_alone = stage.current.dies_alone
        if stage.happens(0.1) and dies_alone is not None:
            dies_alone()
            raise PoolProcessDied
        if stage.happens(0.4):
            error: type[Exception] = stage.random.choice((ValueError, TimedOut))
            raise error(f"attempt {context.attempt}")

    def asks(self, context: RunContext) -> bool:
        """Ask, as a task does, whether to end; tell whether it goes on though nobody wants that.

        It is stopped without a lease, and with one only if somebody wants it to end.
        """
        checker = self._world.checker
        claimed_by = checker.runs[context.run_id].worker_id
        is_unwanted = checker.is_unwanted(context.run_id, context.attempt)
        self.cancel_listener.look(context.run_id)
        is_fenced = not self.lease.may_work() or (
            not is_unwanted and claimed_by != self.lease.worker_id
        )
        try:
            context.stop_if_asked(elapsed_seconds=0)
        except Fenced as error:
            if not is_fenced and not is_unwanted:
                raise Violation(
                    f"run {short(context.run_id)} is fenced off from its lease"
                ) from error
            raise
        if is_fenced:
            raise Violation(f"run {short(context.run_id)} works on without a lease")
        return is_unwanted

    def tell_progress(self, context: RunContext | ClaimedRun) -> None:
        """Report the progress of an attempt."""
        tells = Operation(tells=(context.run_id, context.attempt))
        try:
            with self._world.stage.on(tells), self.database.session() as session:
                progress = {"attempt": context.attempt}
                report_progress(session, context.run_id, context.attempt, progress)
        except OperationalError:
            self._world.stage.note("cannot tell its progress")


def steps(world: "World") -> list[tuple[Any, str, Any]]:
    """Return what tells the stage, in place of the steps of `execution`, which step is taken."""
    stage, checker = world.stage, world.checker

    def claim(process: Any, run_id: UUID, attempt: int, *, at: datetime) -> ClaimedRun | None:
        with stage.on(Operation(claims=(run_id, attempt))):
            claimed = _really_claim(process, run_id, attempt, at=at)
        if claimed is not None:
            checker.count_start(run_id, attempt)
            checker.owns(process, (run_id, attempt))
            stage.point("has a claim", at_work=True)
        return claimed

    def finish_and_claim(
        process: Any, last: FinishedRun, run_id: UUID, attempt: int, **options: Any
    ) -> ClaimedRun | None:
        ended = (last.claimed.run_id, last.claimed.attempt)
        with stage.on(Operation(claims=(run_id, attempt), ends=ended)):
            return _really_finish_and_claim(process, last, run_id, attempt, **options)

    def work(process: Any, claimed: ClaimedRun) -> Any:
        outcome = _really_work(process, claimed)
        stage.point("has an outcome", at_work=True)
        return outcome

    def finish(process: Any, finished_run: FinishedRun) -> None:
        ended = (finished_run.claimed.run_id, finished_run.claimed.attempt)
        with stage.on(Operation(ends=ended)):
            _really_finish(process, finished_run)
        checker.expect_end(ended)

    def refused(*_: object, **__: object) -> Any:
        raise Violation("the database refuses what it should take")

    return [
        (execution, "this_process", lambda: stage.current.pool_process),
        (execution, "_claim", claim),
        (execution, "_finish_and_claim", finish_and_claim),
        (execution, "work", work),
        (execution, "finish_run", finish),
        # No data are bad here: a write that is refused shows a guard that is missing.
        (execution, "finish_unreadable", refused),
        (finish_run, "unstorable", refused),
        (finish_run, "finish_alone", refused),
        (heartbeat, "finish_alone", refused),
        (janitor, "finish_alone", refused),
    ]
