"""The table of plays that kill mutants: each is repeated, and replaced if it kills no more.

A play is a scenario, or a seed in one of the fault profiles. It kills a mutant if it breaks
a rule, or stops the product with an error, without the guard, and passes with the guard.
"""

import fcntl
import re
import traceback
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tests.simulation.fault_profiles import FAULT_PROFILES
from tests.simulation.mutants import (
    BEHIND,
    HARMLESS,
    Decided,
    Mutant,
    decided,
    observed,
    unconstrained,
    watching,
)
from tests.simulation.scenarios import ONLY_ON, SCENARIOS
from tests.simulation.stage import SimulationFailed, Violation
from tests.simulation.store import Store
from tests.simulation.world import simulate

TABLE = Path(__file__).with_name("mutation_table.txt")
TITLE = (
    "# The mutant of the product, the scenario or seed that finds it, and the rule that is"
    " broken then: see test_mutants.py.\n"
)

#: The writer of the table holds this lock: both databases may be searched at once.
LOCK = Path(gettempdir()) / "jobs-app-mutants.lock"

#: Seeds of each fault profile that are tried before a mutant counts as a survivor.
TRIES = 3

#: The errors of a guard that runs after a missing one.
STUMBLES = (IntegrityError, RuntimeError)

#: The word in the table for the play of a scenario, in place of a fault profile.
SCENARIO = "scenario"


class Seed(NamedTuple):
    """A play: a scenario, or a number that seeds a fault profile."""

    fault_profile: str
    name: str

    def __str__(self) -> str:
        return f"{self.fault_profile} {self.name}"


class Kill(NamedTuple):
    """A line of the table: on this database, this seed finds this missing guard."""

    database: str
    seed: Seed
    mutant: str
    #: The broken rule, which shows the reader that the kill is no accident.
    rule: str = ""

    def __str__(self) -> str:
        return f"{self.database} {self.seed} {self.mutant} => {self.rule}"


def kills() -> list[Kill]:
    """Return the table."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    table = []
    for line in lines:
        if line and not line.startswith("#"):
            head, _, rule = line.partition(" => ")
            database, fault_profile, name, mutant = head.split(" ", 3)
            table.append(Kill(database, Seed(fault_profile, name), mutant, rule))
    return table


def write(database: str, lines: Iterable[Kill]) -> None:
    """Write the lines of one database; those of the other stay as they are."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        others = [kill for kill in kills() if kill.database != database]
        TABLE.write_text(TITLE + "".join(f"{kill}\n" for kill in sorted([*others, *lines])))


def part_of(table: Iterable[Kill], database: str, part: int, parts: int) -> list[Kill]:
    """Return one part of the lines for *database*; those of one seed stay together."""
    lines = sorted(kill for kill in table if kill.database == database)
    by_seed = [list(group) for _, group in groupby(lines, key=lambda kill: kill.seed)]
    by_seed.sort(key=len)
    return [kill for group in by_seed[part::parts] for kill in group]


def scenarios(database: str) -> Iterator[Seed]:
    """Yield the scenarios for a database."""
    for name in SCENARIOS:
        if ONLY_ON.get(name, database) == database:
            yield Seed(SCENARIO, name)


def seeds(database: str) -> Iterator[Seed]:
    """Yield the plays of a search, the cheapest first."""
    yield from scenarios(database)
    for number in range(TRIES):
        for fault_profile in FAULT_PROFILES:
            yield Seed(fault_profile, str(number))


@dataclass
class Review:
    """The present result of some lines of the table, and other kills of the same plays."""

    kept: list[Kill] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    #: Guards on the list of the harmless without which a play fails.
    harmful: list[Kill] = field(default_factory=list)


class MutationTester:
    """Plays seeds on a store, with all guards, and without one of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.database = store.engine.dialect.name
        mutants = decided() if store.is_sqlite else unconstrained()
        self.seedless: dict[str, Mutant] = {mutant.name: mutant for mutant in mutants}
        #: Guards that no play reveals: those of the schema.
        self._always = set() if store.is_sqlite else set(self.seedless)
        self._is_main = store.is_sqlite
        self._seen: dict[Seed, dict[str, Mutant]] = {}

    def mutants_of(self, seed: Seed) -> dict[str, Mutant]:
        """Play *seed* with all guards, which must pass; return the mutants of its guards."""
        if seed not in self._seen:
            with watching(self._store) as observer:
                self._play(seed)
            self._seen[seed] = observed(observer)
        return self._seen[seed]

    def kills(self, seed: Seed, name: str) -> Kill | None:
        """Tell how *seed*, which passes with all guards, fails without the guard *name*.

        A guard behind another one is removed after that one, and must hold alone until then:
        it may stop an actor that comes that far with an error.
        """
        mutant, first = self._mutant(seed, name), BEHIND.get(name)
        if mutant is None:
            return None
        with ExitStack() as stack:
            if first is not None:
                before = self._mutant(seed, first)
                if before is None:
                    return None
                stack.enter_context(before.on(self._store))
                if self._broken(seed, stumbles=STUMBLES) is not None:
                    return None
            stack.enter_context(mutant.on(self._store))
            rule = self._broken(seed, stumbles=STUMBLES if first else ())
        return None if rule is None else Kill(self.database, seed, name, rule)

    def _mutant(self, seed: Seed, name: str) -> Mutant | None:
        mutant = self.mutants_of(seed).get(name)
        if mutant is None:
            mutant = self.seedless.get(name)
            # If the condition had this answer anyway, the mutant changes nothing.
            mutant = None if isinstance(mutant, Decided) else mutant
        return mutant

    def _play(self, seed: Seed, *, stumbles: tuple[type[Exception], ...] = ()) -> None:
        if seed.fault_profile == SCENARIO:
            simulate(self._store, 0, stumbles=stumbles, scenario=SCENARIOS[seed.name])
        else:
            simulate(
                self._store, int(seed.name), FAULT_PROFILES[seed.fault_profile], stumbles=stumbles
            )

    def _broken(self, seed: Seed, *, stumbles: tuple[type[Exception], ...]) -> str | None:
        """Play *seed*; return which rule is broken, None if none is."""
        try:
            self._play(seed, stumbles=stumbles)
        except SimulationFailed as failed:
            return _rule(failed.__cause__)
        return None

    def search(self, table: Collection[Kill]) -> Review:
        """Keep the lines that still hold, and search new ones for mutants without a line.

        SQLite comes first. PostgreSQL has the same lines for the statements of SQLite, where
        they hold there too, and its own lines for its own guards.
        """
        review, killed = Review(), dict[str, Kill]()
        elsewhere = {kill.mutant for kill in table if kill.database != self.database}
        own = [kill for kill in table if kill.database == self.database]
        of_statements = [kill for kill in table if _is_of_statement(kill.mutant)]
        for kill in own if self._is_main else [*own, *of_statements]:
            if kill.mutant not in killed:
                still = self.kills(kill.seed, kill.mutant)
                if still is not None:
                    killed[kill.mutant] = still
        for seed in seeds(self.database):
            done = set(killed) if self._is_main else {*killed, *elsewhere}
            for name in sorted({*self.mutants_of(seed), *self._always} - done):
                new_kill = self.kills(seed, name)
                if new_kill is not None and name in HARMLESS:
                    review.harmful.append(new_kill)
                elif new_kill is not None:
                    killed[name] = new_kill
            write(self.database, killed.values())
            print(seed, f"{len(killed)} are killed by now", flush=True)
        review.kept = list(killed.values())
        known = {*killed, *HARMLESS} | (set() if self._is_main else elsewhere)
        review.survivors = sorted(self._new(self.seedless) - known)
        return review

    def seek(self, name: str) -> Kill | None:
        """Return the kill by the first seed that kills a mutant, None if no seed does."""
        tried = (self.kills(seed, name) for seed in seeds(self.database))
        return next((kill for kill in tried if kill is not None), None)

    def review(self, known: Collection[Kill], *, also: Collection[str], listed: set[str]) -> Review:
        """Play the *known* lines, and all mutants of *also* and of the plays beside *listed*."""
        review = Review()
        for kill in known:
            still = self.kills(kill.seed, kill.mutant)
            if still is not None:
                review.kept.append(still)
            else:
                self._judge(kill.mutant, review)
        while new := self._new(also) - listed:
            listed = listed | new
            for name in sorted(new):
                self._judge(name, review)
        return review

    def _new(self, also: Collection[str]) -> set[str]:
        return set(also).union(*self._seen.values())

    def _judge(self, name: str, review: Review) -> None:
        """Try other seeds for a mutant; one that no seed has is gone, or has a new name."""
        kill = self.seek(name)
        if kill is not None:
            review.kept.append(kill)
        elif name in self._new(self.seedless):
            review.survivors.append(name)
        elif _alone(name) not in {_alone(other) for other in self._new(())}:
            review.gone.append(name)


def _is_of_statement(name: str) -> bool:
    return name.partition(": ")[2].startswith(("SELECT ", "INSERT ", "UPDATE ", "DELETE "))


def _alone(name: str) -> str:
    return name.partition(" (beside ")[0]


def is_listed(table: Collection[Kill]) -> set[str]:
    """Return the names on any list."""
    return {kill.mutant for kill in table} | set(HARMLESS)


def _rule(error: BaseException | None) -> str | None:
    """Return the broken rule, or the product's error; None for others, and for SQL errors."""
    if isinstance(error, Violation):
        # The message names runs and instants; the rule is the same for all.
        sentence = re.sub(r"\W*(?:RunRow|UUID)\(.*", "", str(error).partition(": ")[0], flags=re.S)
        return re.sub(r"#?\b\d+\b", "#", sentence)
    if error is None or isinstance(error, ProgrammingError | OperationalError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_globals.get("__name__", "") for frame in frames]
    ours = [
        (name, frame.f_code.co_qualname)
        for name, frame in zip(names, frames, strict=True)
        if name.startswith(("jobs_app.", "tests.")) and name != Store.__module__
    ]
    if ours and ours[-1][0].startswith("jobs_app."):
        place = ".".join(ours[-1]).removeprefix("jobs_app.")
        return f"{place} stops with {type(error).__name__}"
    return None
