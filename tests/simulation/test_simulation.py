"""Schedulers, workers and people, interleaved at every statement, keep the invariants.

Seeds draw the order of events at random; scenarios (scenarios.py) define it.

The default profile plays the first part of the seeds, `--nightly` all of them. More seeds, new
ones each time: `pytest tests/simulation --simulation-seeds 10000`. One seed again, with its
course: `pytest tests/simulation -s --simulation-seed 42`.
"""

import math
from random import SystemRandom
from typing import Any

import pytest

from jobs_app.tasks.context import RunContext
from jobs_app.worker.liveness import stalled_runs
from jobs_app.worker.liveness.heartbeat import Heartbeat
from tests.simulation.director import Director
from tests.simulation.fault_profiles import BUSY, KEYS, NOTIFIED, SEVERAL, UNSEEN
from tests.simulation.mutation_testing import scenarios
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.stage import SimulationFailed, Violation
from tests.simulation.store import Store
from tests.simulation.world import FaultProfile, World, simulate

#: Seeds that are always the same, in parts that may be played side by side.
PARTS = 64
SQLITE_SEEDS = 1_000
POSTGRES_SEEDS = 64
#: The same for each fault profile that makes one kind of race likely.
SQLITE_PROFILE_SEEDS = 128
POSTGRES_PROFILE_SEEDS = 8

#: The words in the trace for a statement that waits for the database.
WAIT = "waits for a lock"


#: Runs a test for each of PARTS; the default profile has the first one.
in_parts = pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.nightly) for part in range(1, PARTS))]
)


def _seeds(config: pytest.Config, part: int, usual: int) -> range:
    """Return the seeds of one part of PARTS."""
    # The options exist only when this folder is named on the command line.
    seeds = config.getoption("--simulation-seeds", default=None)
    count = -(-(seeds or usual) // PARTS)
    first = SystemRandom().randrange(10**9) if seeds else part * count
    return range(first, first + count)


@pytest.mark.timeout(0)
@in_parts
def test_no_course_of_events_on_sqlite_breaks_an_invariant(
    sqlite_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, SQLITE_SEEDS):
        simulate(sqlite_store, seed)


@pytest.mark.timeout(0)
@in_parts
def test_no_course_of_events_on_postgresql_breaks_an_invariant(
    postgres_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, POSTGRES_SEEDS):
        simulate(postgres_store, seed)


@pytest.mark.timeout(0)
@in_parts
def test_no_slot_of_a_key_is_taken_twice_or_stays_empty_on_sqlite(
    sqlite_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, SQLITE_PROFILE_SEEDS):
        simulate(sqlite_store, seed, KEYS)


@pytest.mark.timeout(0)
@in_parts
def test_no_slot_of_a_key_is_taken_twice_or_stays_empty_on_postgresql(
    postgres_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, POSTGRES_PROFILE_SEEDS):
        simulate(postgres_store, seed, KEYS)


@pytest.mark.timeout(0)
@in_parts
def test_every_finish_is_notified_exactly_once_on_sqlite(
    sqlite_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, SQLITE_PROFILE_SEEDS):
        simulate(sqlite_store, seed, NOTIFIED)


@pytest.mark.timeout(0)
@in_parts
def test_every_finish_is_notified_exactly_once_on_postgresql(
    postgres_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, POSTGRES_PROFILE_SEEDS):
        simulate(postgres_store, seed, NOTIFIED)


@pytest.mark.timeout(0)
@in_parts
def test_each_fire_of_several_schedules_is_on_record_once_on_sqlite(
    sqlite_store: Store, pytestconfig: pytest.Config, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, SQLITE_PROFILE_SEEDS):
        simulate(sqlite_store, seed, SEVERAL)


@pytest.mark.timeout(0)
@in_parts
@pytest.mark.parametrize("fault_profile", [BUSY, UNSEEN], ids=["busy", "unseen"])
def test_no_end_that_is_held_back_and_no_death_breaks_an_invariant_on_sqlite(
    sqlite_store: Store, pytestconfig: pytest.Config, fault_profile: FaultProfile, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, SQLITE_PROFILE_SEEDS):
        simulate(sqlite_store, seed, fault_profile)


@pytest.mark.timeout(0)
@in_parts
@pytest.mark.parametrize(
    "fault_profile",
    [pytest.param(BUSY, id="busy", marks=pytest.mark.nightly), pytest.param(UNSEEN, id="unseen")],
)
def test_no_end_that_is_held_back_and_no_death_breaks_an_invariant_on_postgresql(
    postgres_store: Store, pytestconfig: pytest.Config, fault_profile: FaultProfile, part: int
) -> None:
    for seed in _seeds(pytestconfig, part, POSTGRES_PROFILE_SEEDS):
        simulate(postgres_store, seed, fault_profile)


@pytest.mark.parametrize(
    "module, name, value",
    [(Heartbeat, "_report_stalled", lambda _: None), (stalled_runs, "STALLED_SECONDS", math.inf)],
    ids=["nobody looks", "it never is long enough"],
)
def test_a_run_that_its_worker_loses_sight_of_breaks_a_rule(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: Any
) -> None:
    monkeypatch.setattr(module, name, value)

    def play() -> None:
        for seed in range(20):
            simulate(sqlite_store, seed, UNSEEN)

    with pytest.raises(SimulationFailed, match="is running, and nobody works on it"):
        play()


# Those on SQLite are played by test_mutants.py, which looks at their guards too.
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "step", [pytest.param(12, id="some"), pytest.param(1, id="all", marks=pytest.mark.nightly)]
)
def test_no_scenario_on_postgresql_breaks_an_invariant(postgres_store: Store, step: int) -> None:
    for play in [*scenarios("postgresql")][::step]:
        simulate(postgres_store, 0, scenario=SCENARIOS[play.name])


def test_a_broken_rule_in_a_task_ends_the_simulation(sqlite_store: Store) -> None:
    def scenario(world: World) -> None:
        def during(_: RunContext) -> None:
            raise Violation("broken on purpose")

        director = Director(world)
        director.work(director.worker("worker"), director.start_task(), during=during)

    with pytest.raises(SimulationFailed, match="broken on purpose"):
        simulate(sqlite_store, 0, scenario=scenario)


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 5), marks=pytest.mark.nightly)])
def test_a_seed_takes_the_same_course_each_time(sqlite_store: Store, seeds: range) -> None:
    first = [simulate(sqlite_store, seed) for seed in seeds]

    assert [simulate(sqlite_store, seed) for seed in seeds] == first


def test_a_seed_given_by_hand_is_played_and_printed(
    sqlite_store: Store, pytestconfig: pytest.Config
) -> None:
    seed = pytestconfig.getoption("--simulation-seed", default=None)

    trace = simulate(sqlite_store, 0 if seed is None else seed)

    print("\n".join(trace))
    assert "peace" in "\n".join(trace)


@pytest.mark.nightly
def test_actors_on_postgresql_wait_for_the_locks_of_others(postgres_store: Store) -> None:
    # About one course in seventy has such a wait; the first that has ends the search.
    courses = (simulate(postgres_store, seed) for seed in range(600))

    assert any(WAIT in line for course in courses for line in course)
