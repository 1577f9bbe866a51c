"""The stage: actors take turns, one at a time; a seed decides the order and the time.

Every actor is a thread, but only the one that holds the baton runs. It hands the baton
on at its *points*: before each statement, commit, and call of Redis. There the seed
also decides what goes wrong: the process dies, freezes, its clock jumps, the database
or Redis does not answer. One seed, one course of events.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

#: When every simulation begins.
BEGINNING = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)

#: How long a process may be frozen; a worker that is frozen at work is given up meanwhile.
FREEZES = (1.0, 10.0, 25.0, 60.0, 90.0, 150.0)
LONG_FREEZES = (55.0, 70.0, 90.0)

#: Lines of the trace that a failure shows, the last ones.
TRACE_SHOWN = 400

#: A trace with more lines means a protocol that never comes to an end.
MOST_LINES = 10_000


class Crash(BaseException):
    """The process is gone: raised in its actors at a point, and never caught."""


class PoolProcessDied(BaseException):
    """The process of a pool is gone, with what it worked on; its worker lives."""


class Violation(BaseException):
    """An invariant does not hold. No `except Exception` of the product may hide that."""


class SimulationFailed(AssertionError):
    """A simulation failed: the seed, the error and the trace."""


@dataclass
class Process:
    """A process of the simulation: its clocks are its own, and its actors die together.

    `skew` is the error of its wall clock, seconds; its monotonic clock starts
    anywhere, but runs as true time does.
    """

    name: str
    skew: float = 0.0
    monotonic_offset: float = 0.0
    frozen_until: float = 0.0
    is_dead: bool = False


@dataclass
class FaultRates:
    """The probability of each fault at a point that can have it."""

    crash: float = 0.0
    #: That a process of a pool dies alone, and that its worker does not see it then.
    pool_crash: float = 0.0
    unseen: float = 0.0
    freeze: float = 0.0
    #: The same, between a claim and its end.
    freeze_at_work: float = 0.0
    jump: float = 0.0
    no_database: float = 0.0
    unanswered_commit: float = 0.0
    no_redis: float = 0.0
    flush: float = 0.0
    #: That a schedule cannot be worked out.
    no_plan: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    #: That an actor goes on although others could.
    stay: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> "FaultRates":
        """Draw the faults of this seed and their rates: few kinds at once find most errors."""
        rates = {
            "crash": 0.02,
            "pool_crash": 0.02,
            "unseen": 0.3,
            "freeze": 0.02,
            "freeze_at_work": 0.1,
            "jump": 0.02,
            "no_database": 0.02,
            "unanswered_commit": 0.05,
            "no_redis": 0.05,
            "flush": 0.05,
            "no_plan": 0.02,
            "lost": 0.2,
            "doubled": 0.2,
        }
        drawn = {
            name: rate * random.choice((0.5, 1.0, 3.0))
            for name, rate in rates.items()
            if random.random() < 0.4
        }
        return cls(**drawn, stay=random.choice((0.0, 0.5, 0.9)))


@dataclass(frozen=True)
class Operation:
    """The declared operation of an actor: its commits may touch nothing else.

    `claims` is the attempt that a message names. `ends` is the attempt whose outcome its
    worker writes, and `tells` the attempt whose progress it writes. `cancels` is the run
    that a person cancels, and `changes` the job that a person changes. `beats` is the
    worker that sends a heartbeat. With `buries`, a worker reports the death of one of its
    own processes.
    """

    claims: tuple[UUID, int] | None = None
    ends: tuple[UUID, int] | None = None
    tells: tuple[UUID, int] | None = None
    cancels: UUID | None = None
    changes: int | None = None
    beats: UUID | None = None
    buries: bool = False


class Actor:
    """An actor on the stage: a thread that runs *body* while it holds the baton."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.wakes_at = 0.0
        self.is_done = False
        self.is_doomed = False
        #: Inside a transaction that holds locks: others of the database would wait for it.
        self.is_writing = False
        self.is_in_transaction = False
        #: The tables that its transaction has written to.
        self.touched: frozenset[str] = frozenset()
        #: How many commits there were when its transaction began.
        self.began_after = 0
        #: Its present operation; the checker compares it with the changes of its commits.
        self.operation = Operation()
        #: The pool process that it acts as now, or whose thread it is.
        self.pool_process: Any = None
        #: Kills that process, where its worker can live on without it.
        self.dies_alone: Callable[[], None] | None = None
        #: Tells whether a statement still waits for a lock of another actor.
        self.is_blocked: Callable[[], bool] | None = None
        self._gate = threading.Lock()
        self._gate.acquire()

    def take_baton(self) -> None:
        """Wait for one's turn."""
        self._gate.acquire()

    def give_baton(self) -> None:
        """Let this actor run."""
        self._gate.release()


@dataclass
class Stage:
    """The actors, the baton, true time, and the course of events so far."""

    random: Random
    fault_rates: FaultRates = field(default_factory=FaultRates)
    now: float = 0.0
    steps_left: int = 0
    commits: int = 0
    trace: list[str] = field(default_factory=list)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.main = Actor("main", Process("main"))
        self.current = self.main
        self.actors: list[Actor] = []
        #: Called with the actor, and the tables it has written to, after each of its commits.
        self.on_commit: Callable[[Actor, frozenset[str]], None] = lambda actor, touched: None
        self.on_death: Callable[[Process], None] = lambda process: None
        #: Called when messages are about to be sent.
        self.on_publish: Callable[[], None] = lambda: None
        #: Called at each point of an empty stage: a scenario acts there.
        self.on_point: Callable[[str], None] = lambda what: None
        #: Whether a lock raises an error: on one thread, its holder would wait too.
        self.is_impatient = False
        self.most_lines = MOST_LINES

    # Time

    def wall(self) -> datetime:
        """Return what the clock on the wall of the current process shows."""
        return BEGINNING + timedelta(seconds=self.now + self.current.process.skew)

    def monotonic(self) -> float:
        """Return the monotonic clock of the current process."""
        return self.now + self.current.process.monotonic_offset

    def sleep(self, seconds: float) -> None:
        """Let the current actor wait; the rest of the world goes on."""
        if self.current is self.main:
            self.now += seconds
            return
        self.current.wakes_at = self.now + seconds
        self._switch()

    # Turns

    def enter(self, name: str, process: Process, body: Callable[[], None]) -> Actor:
        """Put an actor on the stage; it runs from its first turn on."""
        actor = Actor(name, process)
        self.actors.append(actor)
        thread = threading.Thread(target=self._live, args=(actor, body), name=name, daemon=True)
        thread.start()
        return actor

    def play(self, steps: int) -> None:
        """Let the actors take *steps* turns, or fewer if all are done. Raises Violation."""
        self.steps_left = steps
        following = self._pick()
        if following is not self.main:
            self._hand_to(following)
            self.main.take_baton()
        if self.failure is not None:
            raise self.failure

    def clear(self) -> None:
        """End every actor, as if all their processes were killed at once."""
        for actor in self.actors:
            actor.process.is_dead = True
            self.doom(actor)
        self.steps_left = 0
        while self.actors:
            doomed = next((actor for actor in self.actors if self._may_die(actor)), None)
            if doomed is None:
                # The database is about to choose the transaction that fails.
                time.sleep(0.01)
                continue
            self._hand_to(doomed)
            self.main.take_baton()
        if self.failure is not None:
            raise self.failure

    def doom(self, actor: Actor) -> None:
        """Have *actor* die at its next turn, which is the next of all."""
        actor.is_doomed = True

    def kill(self, process: Process) -> None:
        """Kill a process with all its actors."""
        self.note("is killed")
        process.is_dead = True
        for actor in self.actors:
            if actor.process is process:
                self.doom(actor)
        self.on_death(process)

    def point(self, what: str, *, may_switch: bool = True, at_work: bool = False) -> None:
        """Note a point, apply the faults that the seed draws, and let other actors run."""
        self.note(what)
        if self.current is self.main:
            self.on_point(what)
            return
        self._suffer()
        if may_switch:
            rate = self.fault_rates.freeze_at_work if at_work else self.fault_rates.freeze
            if at_work and any(actor.process.frozen_until > self.now for actor in self.actors):
                # Another actor must be there to take over.
                rate = 0.0
            if self.random.random() < rate:
                seconds = self.random.choice(LONG_FREEZES if at_work else FREEZES)
                self.current.process.frozen_until = self.now + seconds
                self.note(f"is frozen for {seconds:.0f} s")
            self._switch()

    @contextmanager
    def on(self, operation: Operation) -> Iterator[None]:
        """Declare the operation of the current actor for the length of the block."""
        actor = self.current
        before, actor.operation = actor.operation, operation
        try:
            yield
        finally:
            actor.operation = before

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let the current actor act outside its present operation and transaction."""
        actor = self.current
        before = vars(actor).copy()
        actor.operation, actor.touched = Operation(), frozenset()
        actor.is_writing = actor.is_in_transaction = False
        try:
            yield
        finally:
            vars(actor).update(before)

    def happens(self, rate: float) -> bool:
        """Draw whether a fault happens now; on an empty stage none does."""
        return self.current is not self.main and self.random.random() < rate

    def note(self, what: str) -> None:
        """Add a line to the trace."""
        if len(self.trace) >= self.most_lines and self.failure is None:
            raise Violation("this goes on and on")
        self.trace.append(f"{self.now:9.3f}  {self.current.name:<14} {what}")

    def last_lines(self) -> str:
        """Return the last lines of the trace."""
        return "\n".join(self.trace[-TRACE_SHOWN:])

    def _suffer(self) -> None:
        process = self.current.process
        if self.random.random() < self.fault_rates.crash:
            self.kill(process)
            raise Crash
        dies_alone = self.current.dies_alone
        if dies_alone is not None and self.random.random() < self.fault_rates.pool_crash:
            self.note("its process of the pool dies")
            dies_alone()
            raise PoolProcessDied
        if self.random.random() < self.fault_rates.jump:
            process.skew = self.random.choice((-3600.0, -40.0, -3.0, 0.0, 0.0, 3.0, 40.0, 3600.0))
            self.note(f"has its clock set to {process.skew:+.0f} s")

    def _live(self, actor: Actor, body: Callable[[], None]) -> None:
        actor.take_baton()
        try:
            if not actor.is_doomed:
                body()
        except Crash:
            pass
        except BaseException as error:  # noqa: BLE001 (the main thread raises it again)
            self.note(f"fails: {type(error).__name__}: {error}")
            if self.failure is None:
                self.failure = error
            self.steps_left = 0
        actor.is_done = True
        self.actors.remove(actor)
        self._hand_to(self._pick())

    def _switch(self) -> None:
        me = self.current
        following = self._pick()
        if following is not me:
            self._hand_to(following)
            me.take_baton()
        if me.is_doomed:
            raise Crash

    def wait_for_lock(self, is_blocked: Callable[[], bool]) -> None:
        """Let the others go on until the statement of the current actor has its lock."""
        me = self.current
        me.is_blocked = is_blocked
        self.note("waits for a lock")
        try:
            self._switch()
        finally:
            me.is_blocked = None

    def _hand_to(self, actor: Actor) -> None:
        self.current = actor
        actor.give_baton()

    def _may_die(self, actor: Actor) -> bool:
        return actor.is_doomed and not self._is_blocked(actor)

    def _is_blocked(self, actor: Actor) -> bool:
        return actor.is_blocked is not None and actor.is_blocked()

    def _pick(self) -> Actor:
        """Choose whose turn it is; time goes on a little, or to the next that wakes."""
        if self.failure is not None:
            return self.main
        for actor in self.actors:
            if self._may_die(actor):
                return actor
        self.steps_left -= 1
        if self.steps_left <= 0 or not self.actors:
            return self.main
        me = self.current
        if (
            self.random.random() < self.fault_rates.stay
            and me in self.actors
            and self._is_awake(me)
        ):
            return me
        self.now += self.random.choice((0.0, 0.0, 0.001, 0.05, 0.5))
        candidates = [actor for actor in self.actors if self._is_awake(actor)]
        if candidates:
            return candidates[self.random.randrange(len(candidates))]
        while not (asleep := [actor for actor in self.actors if not self._is_blocked(actor)]):
            # A deadlock: the database is about to choose the transaction that fails.
            time.sleep(0.01)
        first = min(asleep, key=self._wakes_at)
        self.now = self._wakes_at(first)
        return first

    def _wakes_at(self, actor: Actor) -> float:
        return max(actor.wakes_at, actor.process.frozen_until)

    def _is_awake(self, actor: Actor) -> bool:
        return self._wakes_at(actor) <= self.now and not self._is_blocked(actor)
