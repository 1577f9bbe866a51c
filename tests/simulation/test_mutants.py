"""The simulator finds every mutant: without any one guard, a rule is broken.

`mutation_table.txt` says which scenario or seed finds a mutant, and which rule is broken
then. New guards are found automatically, and scenarios and seeds are tried for them; the
same happens where a line no longer holds. Mutants that do no harm are in
`mutants.HARMLESS`, with the reason. This brings the table up to date, with `-n 2` for
both databases side by side:

    nice pytest -m search tests/simulation/test_mutants.py -s --mutant-search
"""

import ast
from pathlib import Path

import pytest

import jobs_app
from tests.simulation.mutants import HARMLESS, NOT_PLAYED
from tests.simulation.mutation_testing import (
    MutationTester,
    Review,
    is_listed,
    kills,
    part_of,
    scenarios,
)

#: Parts of the table that may be played side by side.
PARTS = 4

#: Modules in which every function that writes under a guard is to be played.
GUARDED = ("runs/*.py", "jobs/service.py", "jobs/start.py", "jobs/starts.py", "jobs/write.py")

#: The calls of a function that writes under a guard, or that holds a row.
GUARDING = frozenset(
    (
        *("update", "delete", "with_for_update", "on_conflict_do_nothing"),
        *("move", "queue_runs", "cancel_runs", "request_cancel"),
    )
)


def _report(review: Review) -> str:
    survivors = "\n".join(review.survivors) or "none"
    gone = "\n".join(review.gone) or "none"
    return (
        f"Nothing fails without these guards:\n{survivors}\n"
        "Have the simulator need them: a rule in invariants.py, something that actors do, a"
        " fault_profile. If nobody can be the worse for it, say why in mutants.HARMLESS.\n"
        f"These lines of mutation_table.txt speak of guards that are no more:\n{gone}\n"
        "If that is meant, --mutant-search takes them out."
    )


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "store", ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.nightly)]
)
def test_every_scenario_passes_and_has_only_guards_that_are_listed(
    request: pytest.FixtureRequest, store: str
) -> None:
    """Whoever adds a guard learns it at once; the nightly profile tells whether it is needed."""
    tester = MutationTester(request.getfixturevalue(store))

    met = {name for play in scenarios(tester.database) for name in tester.mutants_of(play)}

    new = sorted((met | set(tester.seedless)) - is_listed(kills()))
    assert not new, f"{new} are in no list: run --mutant-search, as this module says above."


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("store", ["sqlite_store", "postgres_store"])
def test_with_any_guard_less_a_simulation_fails(
    request: pytest.FixtureRequest, store: str, part: int
) -> None:
    table, tester = kills(), MutationTester(request.getfixturevalue(store))
    known = part_of(table, tester.database, part, PARTS)
    also = sorted(tester.seedless)[part::PARTS]

    review = tester.review(known, also=also, listed=is_listed(table))

    assert (review.survivors, review.gone) == ([], []), _report(review)


def test_every_function_that_writes_under_a_guard_is_played() -> None:
    named = {kill.mutant.partition(":")[0] for kill in kills()}
    named |= {name.partition(":")[0] for name in HARMLESS}

    unplayed = set(_writers()) - named - set(NOT_PLAYED)

    assert not unplayed, (
        f"{sorted(unplayed)} write, but mutation_table.txt does not name them. Have actors.py"
        " call them and run --mutant-search, or say in mutants.NOT_PLAYED why not."
    )


def _writers() -> list[str]:
    """Return the functions of the GUARDED modules that call one of GUARDING."""
    package = Path(jobs_app.__file__).parent
    names = []
    for path in (path for pattern in GUARDED for path in sorted(package.glob(pattern))):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and GUARDING & _called(node):
                names.append(f"{module}.{node.name}")
    return names


def _called(function: ast.FunctionDef) -> set[str]:
    """Return the names of what a function calls, also those of methods."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    return names | {call.attr for call in calls if isinstance(call, ast.Attribute)}


def test_a_guard_is_on_one_list_only() -> None:
    killed = {kill.mutant for kill in kills()}

    assert not killed & set(HARMLESS)


@pytest.mark.search
@pytest.mark.timeout(0)
@pytest.mark.parametrize("store", ["sqlite_store", "postgres_store"])
def test_the_table_is_brought_up_to_date(request: pytest.FixtureRequest, store: str) -> None:
    tester = MutationTester(request.getfixturevalue(store))

    review = tester.search(kills())

    print(tester.database, _report(review), sep="\n")
    print(*sorted(review.kept), sep="\n")
    assert not review.survivors, "say why nobody is the worse for them, or have them killed"
    assert not review.harmful, f"in mutants.HARMLESS, and needed: {review.harmful}"
