"""The actors beside workers: schedulers and people, made of the product's own functions."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from jobs_app.core.errors import BrokerUnavailable, JobsError, StaleVersion
from jobs_app.core.states import CancelMode, CatchupPolicy, OverlapPolicy, RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.document import Definition
from jobs_app.jobs.start import TaskStart, start_job, start_task
from jobs_app.runs import cancel as runs_cancel
from jobs_app.runs import overlap
from jobs_app.runs.messages import Message
from jobs_app.runs.retry import RetryPolicy
from jobs_app.scheduler.heartbeat_monitor import HeartbeatMonitor
from jobs_app.scheduler.janitor import Janitor
from jobs_app.scheduler.tick import Ticker
from tests.factories import TASKS, definition
from tests.simulation.stage import Operation, Process, Violation

if TYPE_CHECKING:
    from tests.simulation.world import World

LOST_SECONDS = 30.0

#: Time that the janitor counts between two looks, at most: less than the lease leaves it.
MOST_STEP_SECONDS = 9.0


class SimulatedScheduler:
    """A scheduler process: the ticker and the janitor, in the order that the seed draws."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self.process = process
        database, redis = world.store.database, world.redis
        self.ticker = Ticker(database, redis, redis.publish, batch=10)
        watch = HeartbeatMonitor(lost_seconds=LOST_SECONDS, most_step_seconds=MOST_STEP_SECONDS)
        self.janitor = Janitor(database, redis, redis.publish, watch, queue_prefix="")
        self.rules = [rule.apply for rule in self.janitor.rules()]

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
            stage.sleep(stage.random.choice(self._world.fault_profile.idle_seconds))

    def _look(self) -> None:
        stage = self._world.stage
        at, monotonic = stage.wall(), stage.monotonic()
        if self._world.fault_profile.chores:
            for chore in self._world.fault_profile.chores:
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
                self.ticker.scan(at=at, due_before=at)
        except BrokerUnavailable:
            self.ticker.scan(at=at, due_before=at)


class Person:
    """A person at a web process: each request is one change, and then notifies Redis."""

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
        random, wishes = world.stage.random, world.fault_profile.wishes
        self._wishes = [self.start, *(wish for wish in every if random.random() < 0.5)]
        if wishes:
            self._wishes = [wish for wish in every if wish.__name__ in wishes]

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
            stage.sleep(stage.random.choice(self._world.fault_profile.rests))

    def create(self, name: str | None = None) -> None:
        """Create a job with whatever policies."""
        definition = self._definition(name or self._name())
        with self._session() as session:
            job = service.create(session, definition, app=TASKS, by="ann", at=self._at())
        self._tell([job], [])

    def edit(self) -> None:
        """Change a field of a job, most often its schedule."""
        name = self._name()
        random = self._world.stage.random
        with self._session() as session:
            job = service.get(session, name)
            version = job.version
            session.rollback()
            definition = self._definition(name)
            expected = random.choice((version, None))
            with self._changing(job):
                try:
                    changed = service.change(
                        session,
                        job,
                        definition,
                        version=expected,
                        app=TASKS,
                        by="ann",
                        at=self._at(),
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
            job = service.get(session, self._name())
            with self._changing(job):
                job = service.pause(session, job, reason=None, by="ann", at=self._at())
            _read_anew(session, job)
        self._tell([job], [])

    def resume(self) -> None:
        """Resume a job, its missed fires left out or not."""
        on_missed: service.OnMissed = self._world.stage.random.choice(("skip", "last", "all"))
        with self._session() as session:
            job = service.get(session, self._name())
            with self._changing(job):
                job = service.resume(session, job, on_missed=on_missed, by="ann", at=self._at())
            _read_anew(session, job)
        self._tell([job], [])

    def start(self) -> None:
        """Run a job now."""
        random = self._world.stage.random
        policy = random.choice((None, None, *OverlapPolicy))
        if "overlap_policy" in self._world.fault_profile.says:
            policy = None
        with self._session() as session:
            job = service.get(session, self._name())
            session.rollback()
            with self._changing(job):
                started = start_job(
                    session, job, app=TASKS, by="ann", at=self._at(), overlap_policy=policy
                )
        self._tell([], [started.message])

    def start_task(self) -> None:
        """Run a task without a job."""
        key, limit = self._world.stage.random.choice(self._world.fault_profile.keys)
        start = TaskStart("sleep", {"duration": 0}, concurrency_key=key, concurrency_limit=limit)
        with self._session() as session:
            started = start_task(session, start, app=TASKS, by="ann", at=self._at())
        self._tell([], [started.message])

    def cancel(self) -> None:
        """Cancel one of the newest runs."""
        random = self._world.stage.random
        with self._session() as session:
            newest = select(Run.id, Run.job_id).order_by(Run.id.desc()).limit(3)
            rows = list(session.execute(newest))
            session.rollback()
            if not rows:
                return
            run_id, job_id = random.choice(rows)
            mode = random.choice(tuple(CancelMode))
            at = self._at()
            with self._world.stage.on(Operation(cancels=run_id)):
                was = runs_cancel.cancel(
                    session, run_id, mode=mode, by="ann", reason="cancelled", at=at
                )
            message = None
            if was is RunState.CANCELLED and job_id is not None:
                message = overlap.promote(session, job_id, at=at)
        self._tell([], [message])

    def remove(self) -> None:
        """Delete a job."""
        with self._session() as session:
            job = service.get(session, self._name())
            with self._changing(job):
                job = service.remove(session, job, version=None, by="ann", at=self._at())
        self._tell([job], [])

    def _changing(self, job: Job) -> AbstractContextManager[None]:
        return self._world.stage.on(Operation(changes=job.id))

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
        key, limit = random.choice(self._world.fault_profile.keys)
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
        says = self._world.fault_profile.says
        return definition(**((drawn | says) if "schedule" in says else (drawn | when | says)))


def _read_anew(session: Session, job: Job) -> None:
    """Read a job that was rolled back because there was nothing to change, as a request does."""
    if inspect(job).expired:
        session.refresh(job)
