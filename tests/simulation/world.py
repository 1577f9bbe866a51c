"""One simulation: a world from a seed, a time of faults, and a time without, to finish all."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy.exc import OperationalError

from jobs_app.core.states import FINAL
from jobs_app.db import columns
from jobs_app.runs import fires
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.planning import Plan, PlanInput, plan
from jobs_app.worker import completer, execution, finish_run, outcomes, runner
from jobs_app.worker.liveness import cancellation, heartbeat, lease
from tests.simulation import notification_checks, workers
from tests.simulation.actors import Person, SimulatedScheduler
from tests.simulation.fakes import FakeRedis
from tests.simulation.invariants import Checker, instant
from tests.simulation.stage import (
    Crash,
    FaultRates,
    PoolProcessDied,
    Process,
    SimulationFailed,
    Stage,
    Violation,
)
from tests.simulation.store import Store
from tests.simulation.workers import SimulatedWorker

#: Turns with faults, and turns without, in which the living actors go on.
TROUBLE_STEPS = (30, 80, 150)
CALM_STEPS = 30

#: The pauses between the rounds without faults, seconds. Resends back off to 10 minutes.
PEACE_SECONDS = (
    1.0,
    16.0,
    16.0,
    16.0,
    16.0,
    31.0,
    61.0,
    121.0,
    241.0,
    600.0,
    1200.0,
    1200.0,
    1200.0,
)


@dataclass(frozen=True)
class FaultProfile:
    """The settings of all seeds; each seed draws those that are None or () for itself."""

    fault_rates: FaultRates | None = None
    steps: int | None = None
    names: tuple[str, ...] | None = None
    schedulers: int | None = None
    workers: int | None = None
    slots: int = 1
    #: The kinds of slots of a worker: processes, each of which may die alone, or threads.
    pools: tuple[str, ...] = ("prefork", "threads")
    wishes: tuple[str, ...] = ()
    people: int = 1
    #: The chores of a scheduler in each turn, in this order; () draws some of all.
    chores: tuple[str, ...] = ()
    #: How long schedulers, and workers without work, pause, seconds.
    idle_seconds: tuple[float, ...] = (0.2, 1.0, 1.0, 5.0)
    #: How long somebody rests between two wishes, seconds.
    rests: tuple[float, ...] = (0.0, 5.0, 20.0)
    work_seconds: tuple[float, ...] = (0.0, 0.0, 2.0, 10.0, 40.0)
    #: The concurrency keys, with their limits, of which each definition has one.
    keys: tuple[tuple[str | None, int | None], ...] = (
        (None, None),
        (None, None),
        ("key", 1),
        ("key", 2),
    )
    #: Whether a channel gets every event of every job.
    has_channel: bool = False
    #: The fields that every definition of a job has.
    says: dict[str, Any] = field(default_factory=dict)


#: Everything may happen.
ANY_FAULT_PROFILE = FaultProfile()


@dataclass
class World:
    """The parts that the actors share."""

    store: Store
    stage: Stage
    checker: Checker
    redis: FakeRedis
    names: tuple[str, ...]
    fault_profile: FaultProfile
    #: The errors after which one goes on.
    mishaps: tuple[type[Exception], ...] = (OperationalError,)

    def scheduler(self, name: str) -> SimulatedScheduler:
        """Return a new scheduler process."""
        return SimulatedScheduler(self, self._process(name))

    def worker(self, name: str) -> SimulatedWorker:
        """Return a new worker process."""
        return SimulatedWorker(self, self._process(name))

    def person(self, name: str) -> Person:
        """Return a person at a new web process."""
        return Person(self, self._process(name))

    def _process(self, name: str) -> Process:
        random = self.stage.random
        skew = random.choice((0.0, 0.0, 0.0, 2.0, -2.0, 30.0, -30.0))
        return Process(name, skew=skew, monotonic_offset=random.random() * 1e6)


class SimulatedTime:
    """The replacement of `clock` and `time` in the modules of the product."""

    def __init__(self, stage: Stage) -> None:
        self.now = stage.wall
        self.monotonic = stage.monotonic
        self.sleep = stage.sleep


def _no_capture(*_: object, **__: object) -> AbstractContextManager[None]:
    return nullcontext()


def _sometimes_failing(stage: Stage) -> Callable[..., Plan]:
    """Return `plan` as it is where it now and then fails a scheduler."""

    def planned(facts: PlanInput, *, at: datetime) -> Plan:
        if stage.current.process.name.startswith("scheduler") and stage.happens(
            stage.fault_rates.no_plan
        ):
            stage.note("cannot work out a schedule")
            raise LookupError("simulated")
        return plan(facts, at=at)

    return planned


def _guarded(call: Callable[[], Outcome], then: Callable[[], None]) -> Outcome:
    """Guard a task as `working` does, but for what no task raises: its process is no more."""
    ended: list[BaseException] = []

    def called() -> Outcome:
        try:
            return call()
        except (Crash, Violation, PoolProcessDied) as error:
            ended.append(error)
            raise

    outcome = _really_guarded(called, then)
    if ended:
        raise ended[0]
    return outcome


_really_guarded = runner.guarded


@contextmanager
def _instead_of_the_real_world(world: World) -> Iterator[None]:
    """Give the product's modules simulated clocks, ids and messages."""
    stage, numbers = world.stage, count(1)

    def next_id() -> UUID:
        return UUID(int=(next(numbers) << 64) | stage.random.getrandbits(64))

    time, true_now = SimulatedTime(stage), lambda: stage.now
    replaced: list[tuple[Any, str, Any]] = [
        (columns, "uuid7", next_id),
        (fires, "plan", _sometimes_failing(stage)),
        (execution, "clock", time),
        (execution, "time", time),
        (finish_run, "clock", time),
        (finish_run, "time", time),
        (finish_run, "publish", lambda _app, messages: world.redis.publish(messages)),
        (outcomes, "clock", time),
        (runner, "time", time),
        (runner, "capture_output", _no_capture),
        (runner, "guarded", _guarded),
        (completer, "time", time),
        (heartbeat, "clock", time),
        (heartbeat, "time", time),
        (heartbeat, "lease_now", true_now),
        (lease, "now", true_now),
        (cancellation, "time", time),
        *workers.steps(world),
    ]
    with ExitStack() as stack:
        for module, name, value in replaced:
            stack.enter_context(patch.object(module, name, value))
        yield


def simulate(
    store: Store,
    seed: int,
    fault_profile: FaultProfile = ANY_FAULT_PROFILE,
    *,
    stumbles: tuple[type[Exception], ...] = (),
    scenario: Callable[[World], None] | None = None,
) -> list[str]:
    """Play one seed to its end and return its trace.

    A *scenario* leaves nothing to chance: it is played in place of the time of
    faults. An actor goes on after an error of *stumbles*, as after one of the database.
    Raises SimulationFailed, which tells the seed and the trace.
    """
    random = Random(seed)
    stage = Stage(random)
    checker = Checker(store.rows)
    world = World(
        store,
        stage,
        checker,
        FakeRedis(stage, checker.is_on_record),
        names=fault_profile.names or (("alpha",) if random.random() < 0.6 else ("alpha", "beta")),
        fault_profile=fault_profile,
        mishaps=(OperationalError, *stumbles),
    )
    checker.unsent = world.redis.unsent
    stage.on_commit = checker.check
    stage.on_publish = store.witness.publishes
    store.begin(stage)
    try:
        with _instead_of_the_real_world(world):
            if scenario is None:
                _play(world)
            else:
                scenario(world)
            _settle(world)
    except (Exception, Violation) as error:
        raise SimulationFailed(
            f"seed {seed}: {type(error).__name__}: {error}\n{stage.last_lines()}\n"
            f"play it again with --simulation-seed {seed}"
        ) from error
    finally:
        _end(stage)
        store.end()
    return stage.trace


def _end(stage: Stage) -> None:
    """End all threads, also after an error."""
    stage.failure = None
    stage.fault_rates = FaultRates()
    stage.current = stage.main
    stage.on_commit = lambda actor, touched: None
    stage.on_point = lambda what: None
    stage.clear()


def _play(world: World) -> None:
    stage, random = world.stage, world.stage.random
    if world.fault_profile.has_channel:
        notification_checks.add_channel(world.store, stage.wall())
    for name in world.names:
        world.person("founder").create(name)
    made: dict[str, Any] = {"scheduler": world.scheduler, "worker": world.worker}
    fault_profile = world.fault_profile
    cast = ["scheduler"] * (fault_profile.schedulers or random.choice((1, 2)))
    cast += ["worker"] * (fault_profile.workers or random.choice((1, 2)))
    kinds: dict[str, str] = {}
    numbers = count(1)

    def enter(kind: str) -> None:
        name = f"{kind}-{next(numbers)}"
        kinds[name] = kind
        made[kind](name).enter()

    def replace(process: Process) -> None:
        if kind := kinds.get(process.name):
            enter(kind)

    for kind in cast:
        enter(kind)
    made["person"] = world.person
    for _ in range(fault_profile.people):
        enter("person")
    stage.on_death = replace
    stage.fault_rates = fault_profile.fault_rates or FaultRates.drawn(random)
    stage.play(fault_profile.steps or random.choice(TROUBLE_STEPS))
    if random.random() < 0.5:
        stage.note("the fault_rates is fine again")
        stage.fault_rates = FaultRates(stay=stage.fault_rates.stay)
        world.redis.down_until = 0.0
        stage.play(CALM_STEPS)
    stage.on_death = lambda process: None
    stage.clear()


def _settle(world: World) -> None:
    """Run one scheduler and one worker without faults: all runs must end."""
    stage, checker, redis = world.stage, world.checker, world.redis
    stage.note("peace")
    redis.down_until = 0.0
    owed = set(checker.runs)
    scheduler = SimulatedScheduler(world, stage.main.process)
    worker = SimulatedWorker(world, stage.main.process)
    worker.heartbeat.register()
    worker.threads.can_hold_finish = True
    for seconds in PEACE_SECONDS:
        stage.now += seconds
        worker.beat()
        worker.look()
        scheduler.tick()
        for rule in scheduler.rules:
            rule(stage.wall(), stage.monotonic())
            while message := redis.next_message():
                worker.handle(message)
            worker.write_held_finish()
        if not _unfinished(checker, owed):
            break
    else:
        left = [checker.runs[run_id] for run_id in _unfinished(checker, owed)]
        raise Violation(f"these runs never end: {left}")
    scheduler.tick()
    entries = scheduler.janitor.entries
    entries.remove_leftovers(monotonic=math.inf)
    entries.compare_next(monotonic=math.inf)
    _check_projection(world)
    if world.fault_profile.has_channel:
        notification_checks.check(world.store, checker)


def _unfinished(checker: Checker, owed: set[UUID]) -> list[UUID]:
    return [run_id for run_id in owed if checker.runs[run_id].state not in FINAL]


def _check_projection(world: World) -> None:
    expected = world.store.rows("SELECT id, next_due_at FROM jobs WHERE next_due_at IS NOT NULL")
    scores = {job_id: instant(at).timestamp() for job_id, at in expected}
    if scores != world.redis.entries:
        raise Violation(f"Redis has {world.redis.entries}, the rows say {scores}")
