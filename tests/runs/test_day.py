"""The outcomes of a day, by the hour."""

from datetime import timedelta

import pytest

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs import day
from jobs_app.runs.day import day_since
from tests.factories import HOUR, NOON, SECOND, make_job, make_run


def test_runs_are_counted_by_hour_and_outcome(database: Database) -> None:
    almost = timedelta(milliseconds=1)
    for state, at in (
        (RunState.SUCCEEDED, NOON - almost),
        (RunState.SUCCEEDED, NOON),
        (RunState.SUCCEEDED, NOON + HOUR - almost),
        (RunState.FAILED, NOON + HOUR),
        (RunState.MISSED, NOON + 3 * HOUR + SECOND),
        (RunState.RUNNING, NOON),
    ):
        make_run(database, state=state, at=at)

    with database.reading() as session:
        today = day_since(session, NOON)

    assert today.hours == {
        0: {RunState.SUCCEEDED: 2},
        1: {RunState.FAILED: 1},
        3: {RunState.MISSED: 1},
    }
    assert today.totals == {RunState.SUCCEEDED: 2, RunState.FAILED: 1, RunState.MISSED: 1}
    assert today.cut == frozenset()


def test_the_last_failure_may_be_of_another_day(database: Database) -> None:
    job = make_job(database, name="invoices", schedule=None)
    make_run(database, job, state=RunState.FAILED, at=NOON - 50 * HOUR)
    last = make_run(database, job, state=RunState.LOST, at=NOON - 30 * HOUR)
    make_run(database, job, state=RunState.SKIPPED, at=NOON - 20 * HOUR)

    with database.reading() as session:
        failure = day_since(session, NOON).last_failure

    assert failure is not None
    assert (failure.run, failure.job, failure.state) == (last, "invoices", RunState.LOST)
    assert failure.instant == NOON - 30 * HOUR


def test_no_more_runs_are_read_than_are_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day, "MOST_COUNTED", 2)
    for _ in range(3):
        make_run(database, state=RunState.SUCCEEDED, at=NOON)
    make_run(database, state=RunState.FAILED, at=NOON)

    with database.reading() as session:
        today = day_since(session, NOON)

    assert today.totals == {RunState.SUCCEEDED: 2, RunState.FAILED: 1}
    assert today.cut == {RunState.SUCCEEDED}
