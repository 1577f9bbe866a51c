"""Who acts: schedulers, workers and people, made of the product's own functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import inspect, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jobs_app import jobs, runs, starts
from jobs_app.context import Fenced, RunContext, TimedOut, current_run
from jobs_app.definitions import Definition
from jobs_app.dispatch import Message
from jobs_app.errors import BrokerUnavailable, JobsError, StaleVersion
from jobs_app.models import Job, Run
from jobs_app.retry import RetryPolicy
from jobs_app.runs import Claimed, Outcome
from jobs_app.scheduling.janitor import Janitor, WorkerWatch
from jobs_app.scheduling.ticker import Ticker
from jobs_app.states import CancelMode, CatchupPolicy, OverlapPolicy, RunState
from jobs_app.worker import execution
from jobs_app.worker.at_work import AtWork
from jobs_app.worker.ends import End, Ends
from jobs_app.worker.heartbeat import TRY_SECONDS, Heartbeat
from jobs_app.worker.lease import Lease
from jobs_app.worker.strays import Strays
from jobs_app.worker.watch import Watch, Watched
from jobs_app.workers import Registration
from tests.factories import TASKS, definition
from tests.simulation.invariants import Checker, Effect, short
from tests.simulation.stage import Errand, Process, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

HEARTBEAT_SECONDS = 5.0
FENCE_SECONDS = 20.0
LOST_SECONDS = 30.0

#: Time that the janitor counts between two looks, at most: less than the lease leaves it.
MOST_STEP_SECONDS = 9.0

#: Looks at the database after which a task knows that it is to end.
LOOKS = 4


class SimulatedScheduler:
    """A scheduler process: the ticker and the janitor, in the order that the seed likes."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self.process = process
        database, redis = world.store.database, world.redis
        self.ticker = Ticker(database, redis, redis.publish, batch=10)
        watch = WorkerWatch(lost_seconds=LOST_SECONDS, most_step_seconds=MOST_STEP_SECONDS)
        self.janitor = Janitor(database, redis, redis.publish, watch, queue_prefix="")
        # Sweeping deletes nothing that the protocol uses.
        self.rules = [rule for period, rule in self.janitor.rules() if period < 600]

    def enter(self) -> None:
        """Begin to act."""
        self._world.stage.enter(self.process.name, self.process, self._act)

    def _act(self) -> None:
        stage = self._world.stage
        is_new = True
        while True:
            try:
                if is_new:
                    self.janitor.take_over(at=stage.wall())
                is_new = False
                self._look()
            except BrokerUnavailable:
                stage.note("finds Redis down")
            except self._world.mishaps as error:
                stage.note(f"finds the database down: {type(error).__name__}")
                stage.sleep(1.0)
            stage.sleep(stage.random.choice(self._world.climate.patience))

    def _look(self) -> None:
        stage = self._world.stage
        at, monotonic = stage.wall(), stage.monotonic()
        if self._world.climate.chores:
            for chore in self._world.climate.chores:
                self._do(chore)
            return
        what = stage.random.random()
        if what < 0.4:
            self.tick()
        elif what < 0.5:
            self.ticker.scan(at=at, due_before=at)
        for rule in stage.random.sample(self.rules, 3):
            rule(at, monotonic)

    def _do(self, chore: str) -> None:
        stage = self._world.stage
        at = stage.wall()
        match chore:
            case "tick":
                self.tick()
            case "give_up_workers":
                self.janitor.give_up_workers(at=at, monotonic=stage.monotonic())
            case _:
                getattr(self.janitor, chore)(at=at)

    def tick(self) -> None:
        """Tick as the scheduler does, with or without Redis."""
        at = self._world.stage.wall()
        try:
            ticked = self.ticker.tick(at=at)
            if not ticked.is_projected:
                self.janitor.recover(at=at)
        except BrokerUnavailable:
            self.ticker.scan(at=at, due_before=at)


class SimulatedLease(Lease):
    """The lease, as the processes around the tasks see it: one that ran out is not renewed."""

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


class SimulatedWatch(Watch):
    """The watch of a pool process, with no thread: the task itself has it look."""

    def add(self, watched: Watched) -> None:
        watched.began = float("-inf")
        self._runs[watched.run_id] = watched

    def look(self, run_id: UUID) -> None:
        """Ask the database whether a run is to end."""
        self._look([self._runs[run_id]])


class PoolProcessDied(BaseException):
    """The process of the pool that worked on a run is gone, and the run's slot with it."""


class SimulatedWorker:
    """A worker process: its heart, and a slot that claims, works and finishes.

    It has the attributes that `execution` wants of a process.
    """

    settings = SimpleNamespace(log_limit_bytes=1024, result_limit_bytes=1024)
    is_prefork = True

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self.process = process
        self.app: Any = TASKS
        self.name = process.name
        self.database = world.store.database
        self.effects: list[Effect] = []
        self.lease = SimulatedLease(process, world.checker, self.effects, lambda: world.stage.now)
        said = Registration(process.name, 1, ("default",), 1, "prefork")
        self.at_work = AtWork()
        self.heartbeat = Heartbeat(
            self.database,
            self.lease,
            said,
            seconds=HEARTBEAT_SECONDS,
            strays=Strays(self.at_work, lambda: world.stage.now),
        )
        self.watch = SimulatedWatch(self.database, self.lease, may_kill_process=False)
        #: Celery's way into a task, for the one task that all runs here have.
        self.tracers = {"sleep": self._task}
        self.ends = Ends()
        #: What the next task does, where a scene says so.
        self.during: Callable[[RunContext], None] | None = None

    def enter(self) -> None:
        """Begin to act."""
        stage = self._world.stage
        stage.enter(f"{self.process.name}.heart", self.process, self._beat)
        for _ in range(self._world.climate.slots):
            stage.enter(f"{self.process.name}.slot", self.process, self._serve)

    def _beat(self) -> None:
        stage = self._world.stage
        self.heartbeat.register()
        while True:
            stage.sleep(HEARTBEAT_SECONDS)
            self.beat()

    def beat(self) -> None:
        """Beat once, and report what died."""
        stage = self._world.stage
        try:
            with stage.on(Errand(beats=self.lease.worker_id)):
                self.heartbeat._beat(stage.now)
            with stage.on(Errand(buries=True)):
                self.heartbeat._end_dead_attempts()
        except OperationalError:
            stage.sleep(TRY_SECONDS)

    def _serve(self) -> None:
        stage = self._world.stage
        while self.lease.seconds_left() <= 0:
            stage.sleep(1.0)
        while True:
            message = self._world.redis.next_message()
            if message is None:
                stage.sleep(stage.random.choice(self._world.climate.patience))
                continue
            stage.point("takes a message")
            self.handle(message)

    def handle(self, message: Message) -> None:
        """Do with a message what the worker's task does."""
        process: Any = self
        stage = self._world.stage
        claimed = self.claim(message.run_id, message.attempt)
        if claimed is None:
            return
        stage.point("has a claim", at_work=True)
        try:
            outcome = execution._work(process, claimed)
        except PoolProcessDied:
            # No other one is there in the same microsecond, by which a claim knows itself.
            stage.sleep(0.01)
            return
        stage.point("has an outcome", at_work=True)
        self.finish(claimed, outcome)

    def claim(self, run_id: UUID, attempt: int) -> Claimed | None:
        """Claim an attempt, as for a message that names it."""
        process: Any = self
        with self._world.stage.on(Errand(claims=(run_id, attempt))):
            claimed = execution._claim(process, run_id, attempt)
        if claimed is not None:
            self._world.checker.count_start(claimed.run_id, claimed.attempt)
        return claimed

    def finish(self, claimed: Claimed, outcome: Outcome) -> None:
        """Write how an attempt ended, and make room for the next."""
        process: Any = self
        with self._world.stage.on(Errand(ends=(claimed.run_id, claimed.attempt))):
            execution._finish(process, End(claimed, outcome, self._world.stage.wall()))

    def _task(self, *_: object) -> tuple[Any, None]:
        """Be the task: work for a while, and end well, badly, or as asked."""
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
        ends_at = stage.now + stage.random.choice(self._world.climate.work_seconds)
        looks_in_vain = 0
        while stage.now < ends_at:
            stage.sleep(min(5.0, ends_at - stage.now))
            stage.point("works", at_work=True)
            is_unwanted = self.asks(context)
            # The database may be away for some of the looks.
            looks_in_vain = looks_in_vain + 1 if is_unwanted else 0
            if looks_in_vain == (LOOKS if stage.weather.no_database else 1):
                raise Violation(f"run {short(context.run_id)} works on, though nobody wants it to")
            self.tell_progress(context)
        if stage.happens(0.1):
            self.heartbeat.report_dead(context.run_id, context.attempt, "simulated")
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
        self.watch.look(context.run_id)
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

    def tell_progress(self, context: RunContext | Claimed) -> None:
        """Tell how far an attempt has come."""
        tells = Errand(tells=(context.run_id, context.attempt))
        try:
            with self._world.stage.on(tells), self.database.session() as session:
                told = {"attempt": context.attempt}
                runs.report_progress(session, context.run_id, context.attempt, told)
        except OperationalError:
            self._world.stage.note("cannot tell its progress")


class Person:
    """Somebody at a web process: every request is one change, told to Redis afterwards."""

    NAMES = ("alpha", "beta")

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self.process = process
        every = (
            self.create,
            self.edit,
            self.pause,
            self.resume,
            self.start,
            self.start_task,
            self.cancel,
            self.remove,
        )
        random, wanted = world.stage.random, world.climate.wishes
        self._wishes = [self.start, *(wish for wish in every if random.random() < 0.5)]
        if wanted:
            self._wishes = [wish for wish in every if wish.__name__ in wanted]

    def enter(self) -> None:
        """Begin to act."""
        self._world.stage.enter(self.process.name, self.process, self._act)

    def _act(self) -> None:
        stage = self._world.stage
        while True:
            wish = stage.random.choice(self._wishes)
            stage.note(f"wants: {wish.__name__}")
            try:
                wish()
            except (BrokerUnavailable, JobsError) as error:
                stage.note(f"gets: {type(error).__name__}")
            except self._world.mishaps as error:
                stage.note(f"gets: {type(error).__name__}")
            stage.sleep(stage.random.choice(self._world.climate.rests))

    def create(self, name: str | None = None) -> None:
        """Create a job with whatever policies."""
        wanted = self._definition(name or self._name())
        with self._session() as session:
            job = jobs.create(session, wanted, app=TASKS, by="ann", at=self._at())
        self._tell([job], [])

    def edit(self) -> None:
        """Change what a job says, most often its schedule."""
        name = self._name()
        random = self._world.stage.random
        with self._session() as session:
            job = jobs.get(session, name)
            version = job.version
            session.rollback()
            wanted = self._definition(name)
            expected = random.choice((version, None))
            with self._changing(job):
                try:
                    changed = jobs.change(
                        session, job, wanted, version=expected, app=TASKS, by="ann", at=self._at()
                    )
                except StaleVersion as error:
                    if self._world.checker.jobs[job.id].version == expected:
                        raise Violation(f"version {expected} is the last, and refused") from error
                    raise
            if expected not in (None, changed.version - 1):
                raise Violation(f"version {changed.version} takes the place of {expected}")
        self._tell([changed], [])

    def pause(self) -> None:
        """Pause a job."""
        with self._session() as session:
            job = jobs.get(session, self._name())
            with self._changing(job):
                job = jobs.pause(session, job, reason=None, by="ann", at=self._at())
            _read_anew(session, job)
        self._tell([job], [])

    def resume(self) -> None:
        """Resume a job, its missed fires left out or not."""
        on_missed: jobs.OnMissed = self._world.stage.random.choice(("skip", "last", "all"))
        with self._session() as session:
            job = jobs.get(session, self._name())
            with self._changing(job):
                job = jobs.resume(session, job, on_missed=on_missed, by="ann", at=self._at())
            _read_anew(session, job)
        self._tell([job], [])

    def start(self) -> None:
        """Run a job now."""
        random = self._world.stage.random
        policy = random.choice((None, None, *OverlapPolicy))
        if "overlap_policy" in self._world.climate.says:
            policy = None
        with self._session() as session:
            job = jobs.get(session, self._name())
            session.rollback()
            with self._changing(job):
                started = starts.start_job(
                    session, job, app=TASKS, by="ann", at=self._at(), overlap_policy=policy
                )
        self._tell([], [started.message])

    def start_task(self) -> None:
        """Run a task without a job."""
        key, limit = self._world.stage.random.choice(self._world.climate.keys)
        start = starts.TaskStart(
            "sleep", {"duration": 0}, concurrency_key=key, concurrency_limit=limit
        )
        with self._session() as session:
            started = starts.start_task(session, start, app=TASKS, by="ann", at=self._at())
        self._tell([], [started.message])

    def cancel(self) -> None:
        """Cancel one of the newest runs."""
        random = self._world.stage.random
        with self._session() as session:
            newest = select(Run.id, Run.job_id).order_by(Run.id.desc()).limit(3)
            found = list(session.execute(newest))
            session.rollback()
            if not found:
                return
            run_id, job_id = random.choice(found)
            mode = random.choice(tuple(CancelMode))
            at = self._at()
            with self._world.stage.on(Errand(cancels=run_id)):
                was = runs.cancel(session, run_id, mode=mode, by="ann", reason="cancelled", at=at)
            message = None
            if was is RunState.CANCELLED and job_id is not None:
                message = runs.promote(session, job_id, at=at)
        self._tell([], [message])

    def remove(self) -> None:
        """Delete a job."""
        with self._session() as session:
            job = jobs.get(session, self._name())
            with self._changing(job):
                job = jobs.remove(session, job, version=None, by="ann", at=self._at())
        self._tell([job], [])

    def _changing(self, job: Job) -> AbstractContextManager[None]:
        return self._world.stage.on(Errand(changes=job.id))

    def _session(self) -> Any:
        return self._world.store.database.session()

    def _at(self) -> Any:
        return self._world.stage.wall()

    def _name(self) -> str:
        return self._world.stage.random.choice(self._world.names)

    def _tell(self, changed: list[Job], messages: list[Message | None]) -> None:
        redis = self._world.redis
        if changed:
            redis.write(changed)
        redis.publish([message for message in messages if message is not None])

    def _definition(self, name: str) -> Definition:
        random = self._world.stage.random
        when: dict[str, Any] = random.choice(
            (
                {"interval_seconds": 20},
                {"interval_seconds": 20},
                {"interval_seconds": 60},
                {"cron": "* * * * *"},
                {"interval_seconds": 60, "jitter_seconds": 20},
                {"schedule": None},
            )
        )
        retry = RetryPolicy(
            max_attempts=random.choice((1, 3)), delay_seconds=5, backoff="constant", jitter=False
        )
        key, limit = random.choice(self._world.climate.keys)
        drawn: dict[str, Any] = {
            "name": name,
            "concurrency_key": key,
            "concurrency_limit": limit,
            "overlap_policy": random.choice(tuple(OverlapPolicy)),
            "catchup_policy": random.choice(tuple(CatchupPolicy)),
            "starting_deadline_seconds": random.choice((5, 60)),
            "catchup_max_runs": 3,
            "retry": retry,
            "max_runs": random.choice((None, None, None, 3)),
            "pause_after_failures": random.choice((None, None, 2)),
        }
        says = self._world.climate.says
        return definition(**((drawn | says) if "schedule" in says else (drawn | when | says)))


def _read_anew(session: Session, job: Job) -> None:
    """Read a job that was rolled back because there was nothing to change, as a request does."""
    if inspect(job).expired:
        session.refresh(job)
