"""How a job stands."""

from typing import Any

import pytest
from sqlalchemy import select, update

from jobs_app.core.states import JobState, OverlapPolicy, RunState, Standing
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import PrunedRuns
from jobs_app.jobs import conditions
from tests.factories import HOUR, MINUTE, NOON, SECOND, make_job, make_run

OF_ACTIVE = {Standing.ACTIVE}
NEW = {Standing.ACTIVE, Standing.NEVER_RUN}

WITHOUT_FIRES = {"next_fire_at": None, "next_due_at": None}
OF_PAUSED: dict[str, Any] = {"state": JobState.PAUSED} | WITHOUT_FIRES
OF_ENDED: dict[str, Any] = {"state": JobState.ENDED} | WITHOUT_FIRES


def stands(database: Database, job: Job, **columns: Any) -> set[Standing]:
    """Return how *job* stands at noon, with *columns* of its row set."""
    with database.session() as session:
        if columns:
            session.execute(update(Job).where(Job.id == job.id).values(**columns))
            session.commit()
        return {
            standing
            for standing in Standing
            if session.scalars(
                select(Job.id).where(
                    Job.id == job.id, conditions.stands(session, standing, at=NOON)
                )
            ).all()
        }


def rule(after_failures: int) -> dict[str, Any]:
    return {"channel": "ops", "on": None, "after_failures": after_failures}


@pytest.mark.parametrize(
    "columns, is_failing",
    [
        ({"failures_in_a_row": 0}, False),
        ({"failures_in_a_row": 1}, True),
        ({"failures_carried": 1}, True),
        ({"failures_in_a_row": 1, "notify": []}, True),
        ({"failures_in_a_row": 1, "notify": [rule(3), rule(2)]}, False),
        ({"failures_in_a_row": 1, "failures_carried": 1, "notify": [rule(3), rule(2)]}, True),
    ],
)
def test_a_job_fails_once_a_channel_would_be_notified(
    database: Database, columns: dict[str, Any], is_failing: bool
) -> None:
    standing = stands(database, make_job(database), **columns)

    assert (Standing.FAILING in standing) is is_failing


def test_a_job_is_late_while_a_run_waits_for_a_worker(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.ALLOW_ALL)
    make_run(database, job, at=NOON - 5 * MINUTE + SECOND)
    assert stands(database, job) == OF_ACTIVE

    make_run(database, job, at=NOON - 5 * MINUTE)
    assert stands(database, job) == OF_ACTIVE | {Standing.LATE}


def test_a_job_is_late_while_its_fire_waits_for_a_scheduler(database: Database) -> None:
    job = make_job(database, cron="* * * * *")

    assert stands(database, job, next_due_at=NOON - 59 * SECOND) == NEW
    assert stands(database, job, next_due_at=NOON - MINUTE) == NEW | {Standing.LATE}


def test_a_job_runs_while_a_run_does(database: Database) -> None:
    job = make_job(database)
    make_run(database, job, state=RunState.RUNNING, at=NOON - HOUR)

    assert stands(database, job) == OF_ACTIVE | {Standing.RUNNING}


def test_a_job_has_run_also_if_its_runs_are_deleted(database: Database) -> None:
    job = make_job(database, schedule=None)
    assert stands(database, job) == NEW | {Standing.NO_NEXT_FIRE}

    with database.session() as session:
        pruned = {"state": RunState.SUCCEEDED, "count": 1, "latest_at": NOON}
        session.add(PrunedRuns(job_id=job.id, **pruned))
        session.commit()
    assert stands(database, job) == OF_ACTIVE | {Standing.NO_NEXT_FIRE}


def test_a_paused_job_is_neither_active_nor_ended(database: Database) -> None:
    standing = stands(database, make_job(database), **OF_PAUSED)

    assert standing == {Standing.PAUSED, Standing.NEVER_RUN, Standing.NO_NEXT_FIRE}


@pytest.mark.parametrize(
    "columns, shown",
    [
        (OF_PAUSED | {"failures_in_a_row": 1}, Standing.PAUSED),
        ({"failures_carried": 1, "next_due_at": NOON - HOUR}, Standing.FAILING),
        ({"failures_in_a_row": 1, "notify": [rule(2)]}, Standing.NEVER_RUN),
        (OF_ENDED | {"failures_in_a_row": 1}, Standing.FAILING),
        ({"next_due_at": NOON - MINUTE}, Standing.LATE),
        (OF_ENDED, Standing.ENDED),
        ({}, Standing.NEVER_RUN),
        ({"runs_started": 1}, Standing.ACTIVE),
    ],
)
def test_people_are_shown_what_matters_most(
    database: Database, columns: dict[str, Any], shown: Standing
) -> None:
    job = make_job(database)

    stands(database, job, **columns)

    with database.session() as session:
        assert conditions.standings(session, [job.id], at=NOON) == {job.id: shown}


def test_a_job_is_shown_as_active_after_a_run_as_running_in_it(database: Database) -> None:
    quiet, busy = make_job(database, name="quiet"), make_job(database, name="busy")
    for job in (quiet, busy):
        make_run(database, job, state=RunState.SUCCEEDED, at=NOON - HOUR)
    make_run(database, busy, state=RunState.RUNNING, at=NOON)

    with database.session() as session:
        shown = conditions.standings(session, [quiet.id, busy.id], at=NOON)

    assert shown == {quiet.id: Standing.ACTIVE, busy.id: Standing.RUNNING}


def test_a_job_that_only_watches_stands_so_also_while_it_is_paused(database: Database) -> None:
    job = make_job(database, observe=True)

    assert stands(database, job) == NEW | {Standing.OBSERVING}
    assert stands(database, job, **OF_PAUSED) >= {Standing.OBSERVING, Standing.PAUSED}
