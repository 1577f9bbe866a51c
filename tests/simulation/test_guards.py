"""The conjuncts of a statement are found in its text, and can be taken out of it."""

import pytest

from tests.simulation.guards import Place, cuts, guards_of, without

CLAIM = (
    "UPDATE runs SET state=?, worker_id=? WHERE runs.id = ? AND runs.state = ?"
    " AND (EXISTS (SELECT * \nFROM workers \nWHERE workers.id = ? AND workers.gone_at IS NULL))"
    " RETURNING job_id, (SELECT jobs.name FROM jobs WHERE jobs.id = runs.job_id) AS job"
)


def conjuncts(statement: str) -> list[str]:
    return [cut.conjunct.partition(" (beside")[0] for cut in cuts(statement)]


def removed(statement: str, number: int) -> str:
    cut = cuts(statement)[number]
    return " ".join((statement[: cut.start] + cut.without + statement[cut.end :]).split())


def test_each_conjunct_of_a_guard_is_found_also_in_what_it_asks_for_in_parentheses() -> None:
    assert conjuncts(CLAIM) == [
        "runs.id = ?",
        "runs.state = ?",
        "EXISTS (SELECT …)",
        "workers.id = ?",
        "workers.gone_at IS NULL",
    ]


def test_a_returning_clause_guards_nothing() -> None:
    assert "jobs.id = runs.job_id" not in conjuncts(CLAIM)


@pytest.mark.parametrize(
    "where, names",
    [
        ("a BETWEEN 1 AND 2 AND b", ["a BETWEEN 1 AND 2", "b"]),
        ("(a OR b) AND c", ["a OR b", "c"]),
        ("a AND b OR a AND c", ["a AND b OR a AND c"]),
        ("(a AND b) AND c", ["a", "b", "c"]),
        ("NOT (a OR (b)) AND c", ["NOT a", "NOT b", "c"]),
        ("CASE WHEN a AND b THEN c END AND d", ["CASE WHEN a AND b THEN c END", "d"]),
        ("a = ' AND ' AND b", ["a = ' AND '", "b"]),
        ("a IN (?, ?, ?) AND b IN (1,2)", ["a IN (?)", "b IN (?)"]),
        ("a = %(a_1)s::TIMESTAMP WITH TIME ZONE AND b = %(b)s::INTEGER", ["a = ?", "b = ?"]),
    ],
)
def test_a_condition_is_split_where_all_of_it_must_hold(where: str, names: list[str]) -> None:
    assert conjuncts(f"UPDATE runs SET a = 1 WHERE {where}") == names


def test_a_lock_and_a_conflict_that_is_passed_over_are_guards() -> None:
    select = "SELECT jobs.id FROM jobs WHERE jobs.id = ? FOR UPDATE SKIP LOCKED"
    insert = "INSERT INTO runs (id) VALUES (?), (?) ON CONFLICT (job_id, scheduled_for) DO NOTHING"

    assert conjuncts(select) == ["jobs.id = ?", "SKIP LOCKED", "FOR UPDATE"]
    assert removed(select, 2) == "SELECT jobs.id FROM jobs WHERE jobs.id = ?"
    assert conjuncts(insert) == ["ON CONFLICT (job_id, scheduled_for) DO NOTHING"]


def test_a_conjunct_is_removed_with_its_parameters_left_in_place() -> None:
    update = "UPDATE runs SET a = ? WHERE b = ? AND NOT (c = ? OR d = ?)"

    assert removed(update, 0).endswith(" WHERE (b = ? OR 1=1) AND NOT (c = ? OR d = ?)")
    assert removed(update, 2).endswith(" WHERE b = ? AND NOT (c = ? OR (d = ? AND 1=0))")


def test_a_guard_is_known_again_whatever_a_flush_writes_and_only_in_its_place() -> None:
    place = Place("runs.claim", "claim")
    first, second = (f"UPDATE jobs SET {what} WHERE jobs.id = ?" for what in ("a=?", "a=?, b=?"))
    [guard] = guards_of(place, first, is_deciding=False)

    assert without(guard, place, second).endswith("WHERE (jobs.id = ? OR 1=1)")
    assert without(guard, Place("jobs", "pause"), second) == second
