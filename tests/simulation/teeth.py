"""Which seed kills which mutant: played again, and sought anew where it no longer does."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.exc import IntegrityError

from tests.simulation.climates import CLIMATES
from tests.simulation.mutants import (
    BEHIND,
    HARMLESS,
    Mutant,
    decided,
    observed,
    unconstrained,
    watching,
)
from tests.simulation.stage import SimulationFailed
from tests.simulation.store import Store
from tests.simulation.world import simulate

TABLE = Path(__file__).with_name("kills.txt")
TITLE = "# What is missing from the product, and the seed that finds out: see test_teeth.py.\n"

UNPROVEN = Path(__file__).with_name("unproven.txt")
UNPROVEN_TITLE = (
    "# What no seed has found to be missing so far, though somebody may be the worse for it.\n"
)

#: Seeds of each climate that are tried before a mutant counts as a survivor.
TRIES = 5

#: What a guard raises that finds the one before it gone.
STUMBLES = (IntegrityError, RuntimeError)


class Seed(NamedTuple):
    """A course of events: a number, and the climate that it is played in."""

    climate: str
    number: int


class Kill(NamedTuple):
    """A line of the table: on this database, this seed finds out that this is missing."""

    database: str
    seed: Seed
    mutant: str

    def __str__(self) -> str:
        return f"{self.database} {self.seed.climate} {self.seed.number} {self.mutant}"


def kills() -> list[Kill]:
    """Return the table."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    split = (line.split(" ", 3) for line in lines if line and not line.startswith("#"))
    return [Kill(words[0], Seed(words[1], int(words[2])), words[3]) for words in split]


def unproven() -> set[str]:
    """Return the names of the guards that the simulator has not been seen to need."""
    return {line for line in UNPROVEN.read_text().splitlines() if not line.startswith("#")}


def write(table: Iterable[Kill], survivors: Iterable[str]) -> None:
    """Write the table, and what is in vain sought for it."""
    TABLE.write_text(TITLE + "".join(f"{kill}\n" for kill in sorted(table)))
    UNPROVEN.write_text(UNPROVEN_TITLE + "".join(f"{name}\n" for name in sorted(survivors)))


def part_of(table: Iterable[Kill], database: str, part: int, parts: int) -> list[Kill]:
    """Return one part of the lines for *database*; those of one seed stay together."""
    lines = sorted(kill for kill in table if kill.database == database)
    by_seed = [list(group) for _, group in groupby(lines, key=lambda kill: kill.seed)]
    by_seed.sort(key=len)
    return [kill for group in by_seed[part::parts] for kill in group]


def seeds() -> Iterator[Seed]:
    """Yield what is tried in a search."""
    for number in range(TRIES):
        for climate in CLIMATES:
            yield Seed(climate, number)


@dataclass
class Review:
    """What has become of some lines of the table, and what was found beside them."""

    kept: list[Kill] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class Teeth:
    """Plays seeds on a store, with nothing missing, and with something."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.database = store.engine.dialect.name
        given = decided() if store.is_sqlite else unconstrained()
        self.given: dict[str, Mutant] = {mutant.name: mutant for mutant in given}
        self._seen: dict[Seed, dict[str, Mutant]] = {}

    def mutants_of(self, seed: Seed) -> dict[str, Mutant]:
        """Play *seed* with nothing missing, which must pass; return what its course relies on."""
        if seed not in self._seen:
            with watching(self._store) as observer:
                simulate(self._store, seed.number, CLIMATES[seed.climate])
            self._seen[seed] = observed(observer)
        return self._seen[seed]

    def kills(self, seed: Seed, name: str) -> bool:
        """Tell whether *seed* passes with nothing missing, and fails without what *name* says.

        What stands behind another guard is taken away once that one is gone, and must
        until then hold alone: it may stop whoever comes that far with an error.
        """
        mutant, first = self._mutant(seed, name), BEHIND.get(name)
        if mutant is None:
            return False
        with ExitStack() as stack:
            if first is not None:
                before = self._mutant(seed, first)
                if before is None:
                    return False
                stack.enter_context(before.on(self._store))
                if self._fails(seed, stumbles=STUMBLES):
                    return False
            stack.enter_context(mutant.on(self._store))
            return self._fails(seed, stumbles=STUMBLES if first else ())

    def _mutant(self, seed: Seed, name: str) -> Mutant | None:
        return self.mutants_of(seed).get(name) or self.given.get(name)

    def _fails(self, seed: Seed, *, stumbles: tuple[type[Exception], ...]) -> bool:
        try:
            simulate(self._store, seed.number, CLIMATES[seed.climate], stumbles=stumbles)
        except SimulationFailed:
            return True
        return False

    def seek(self, name: str) -> Seed | None:
        """Return the first seed that kills a mutant."""
        return next((seed for seed in seeds() if self.kills(seed, name)), None)

    def review(self, known: Collection[Kill], *, also: Collection[str], listed: set[str]) -> Review:
        """Play the *known* lines, and what is *also* given or comes up and is *listed* nowhere."""
        review = Review()
        for kill in known:
            if self.kills(kill.seed, kill.mutant):
                review.kept.append(kill)
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
        """Try other seeds for a mutant; what nobody has is gone, or stands beside others now."""
        seed = self.seek(name)
        if seed is not None:
            review.kept.append(Kill(self.database, seed, name))
        elif name in self._new(self.given):
            review.survivors.append(name)
        elif _alone(name) not in {_alone(other) for other in self._new(())}:
            review.gone.append(name)


def _alone(name: str) -> str:
    return name.partition(" (beside ")[0]


def is_listed(table: Collection[Kill]) -> set[str]:
    """Return the names on any list."""
    return {kill.mutant for kill in table} | set(HARMLESS) | unproven()
