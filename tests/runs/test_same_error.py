"""How often the error of a run has come before."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.same_error import MOST_RUNS, SameError, same_error
from tests.factories import MINUTE, NOON, make_job, make_run
from tests.plans import captured, kept_plans


def failed(
    database: Database,
    job: Job | None,
    minutes: int,
    message: str,
    state: RunState = RunState.FAILED,
    **facts: Any,
) -> UUID:
    """Record a run that ended with an error, and return its id."""
    at = NOON + minutes * MINUTE
    run_id = make_run(database, job, state=state, at=at)
    error = {"type": "OSError", "message": message, "traceback": None}
    with database.session() as session:
        facts = {"error": error, "finished_at": at + timedelta(seconds=1)} | facts
        session.execute(update(Run).where(Run.id == run_id).values(facts))
        session.commit()
    return run_id


def of(database: Database, run_id: UUID) -> SameError | None:
    with database.reading() as session:
        return same_error(session, history.get(session, run_id))


def test_errors_that_differ_in_numbers_only_are_counted_up_to_the_run(database: Database) -> None:
    job, other = (make_job(database, schedule=None) for _ in range(2))
    failed(database, job, 0, "The disk is full")
    first = failed(database, job, 1, "No answer of 10.0.0.7 after 31 s")
    failed(database, job, 2, "No answer of 10.0.0.8 after 30 s", exit_code=3)
    failed(database, job, 3, "No answer of 10.0.0.8 after 30 s", state=RunState.TIMED_OUT)
    failed(database, other, 4, "No answer of 10.0.0.8 after 30 s")
    second = failed(database, job, 5, "No answer of 10.0.0.9 after 30.5 s")
    third = failed(database, job, 6, "No answer of 10.0.0.7 after 4 s")

    assert of(database, first) is None
    assert of(database, second) == SameError(2, NOON + MINUTE)
    assert of(database, third) == SameError(3, NOON + MINUTE)


def test_a_run_without_a_job_an_error_or_an_end_has_none(database: Database) -> None:
    job = make_job(database, schedule=None)
    for minutes in range(2):
        plain = failed(database, None, minutes, "x")
        silent = failed(database, job, minutes, "x", error=None)
    later = failed(database, job, 3, "x", state=RunState.RETRYING, finished_at=None)

    assert [of(database, run_id) for run_id in (plain, silent, later)] == [None, None, None]


def test_one_statement_reads_so_many_rows_of_an_index(database: Database) -> None:
    job = make_job(database, schedule=None)
    for minutes in range(MOST_RUNS + 2):
        run_id = failed(database, job, minutes, "x")

    with database.reading() as session:
        run = history.get(session, run_id)
        with captured(database, "SELECT") as statements:
            assert same_error(session, run) == SameError(MOST_RUNS, NOON + 2 * MINUTE)
    plan = "\n".join(kept_plans(database, lambda session: same_error(session, run)))

    assert len(statements) == 1
    if database.engine.dialect.name == "sqlite":
        assert "ix_runs_outcome" in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    "count, text", {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 22: "22nd"}.items()
)
def test_a_count_has_its_ending(count: int, text: str) -> None:
    assert SameError(count, NOON).ordinal == text
