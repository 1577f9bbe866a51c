"""Overruns: which runs take much longer than usual, and who is notified of them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core.states import Event, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import overruns
from jobs_app.notifications.lateness import Overrun
from tests.factories import DAY, MINUTE, NOON, make_job, make_run
from tests.notification_checks import make_channel, notified_events, rows
from tests.plans import plans
from tests.profiles import sqlite_nightly


def ran(database: Database, job: Job, *, minutes_ago: float, minutes: float | None) -> Any:
    """Record a run that started then and took so many minutes, or goes on; return its id."""
    state = RunState.RUNNING if minutes is None else RunState.SUCCEEDED
    start = NOON - timedelta(minutes=minutes_ago)
    end = None if minutes is None else start + timedelta(minutes=minutes)
    run_id = make_run(database, job, state=state, at=start)
    with database.session() as session:
        times = {"started_at": start, "finished_at": end}
        session.execute(update(Run).where(Run.id == run_id).values(**times))
        session.commit()
    return run_id


def usual_job(database: Database, *, minutes: float, runs: int = 5, **values: Any) -> Job:
    """Make a job whose last runs took so many minutes."""
    job = make_job(database, overlap_policy="allow_all", **values)
    for number in range(runs):
        ran(database, job, minutes_ago=(number + 2) * 1440, minutes=minutes)
    return job


def notify(database: Database) -> None:
    with database.session() as session:
        found = overruns.find(session, at=NOON)
        overruns.notify(session, found, at=NOON)


@pytest.mark.parametrize(
    "usual, runs, minutes, expected",
    [
        (10, 5, 31, True),
        (10, 5, 30, False),
        # Ten minutes at least.
        (0.1, 5, 10.1, True),
        (0.1, 5, 10, False),
        # Nobody knows what is usual.
        (1, 4, 600, False),
    ],
)
def test_a_run_overruns_after_three_times_the_usual_and_ten_minutes(
    database: Database, usual: float, runs: int, minutes: float, expected: bool
) -> None:
    make_channel(database, events=(Event.OVERRUN,))
    job = usual_job(database, minutes=usual, runs=runs)
    ran(database, job, minutes_ago=minutes, minutes=None)

    notify(database)

    assert notified_events(database) == ([("ops", "overrun")] if expected else [])


def test_each_channel_is_notified_once_of_an_overrun(database: Database) -> None:
    make_channel(database, events=(Event.OVERRUN,))
    make_channel(database, "deaf", events=(Event.FAILED,))
    job = usual_job(database, minutes=2)
    run_id = ran(database, job, minutes_ago=20, minutes=None)

    for _ in range(2):
        notify(database)
    with database.session() as session:
        again = [Overrun(run_id, 1200.0, 120.0)]
        overruns.notify(session, again, at=NOON + MINUTE)

    (row,) = rows(database)
    assert (row.channel, row.run_id) == ("ops", run_id)
    assert row.detail == {"seconds": 1200.0, "usual_seconds": 120.0}


def test_nobody_is_notified_of_a_job_that_is_gone(database: Database) -> None:
    make_channel(database, events=(Event.OVERRUN,))
    job = usual_job(database, minutes=2)
    ran(database, job, minutes_ago=20, minutes=None)
    with database.session() as session:
        session.execute(
            update(Job).values(deleted_at=NOON - DAY, next_fire_at=None, next_due_at=None)
        )
        session.commit()

    notify(database)

    assert rows(database) == []


@sqlite_nightly
def test_finding_overruns_reads_no_history(long_history: Database) -> None:
    plan = plans(long_history, lambda session: overruns.find(session, at=NOON))

    assert "ix_runs_unfinished" in plan
    assert "ix_runs_outcome" in plan
