"""A claim brings all that a worker needs of a run, however the run was made."""

from collections.abc import Callable
from uuid import UUID

import pytest

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.start import RepeatRequest, TaskStart, repeat, start_job, start_task
from jobs_app.runs import history
from tests.factories import (
    HOUR,
    NOON,
    TASKS,
    claim,
    finish,
    make_job,
    make_worker,
    record,
    run,
    runs_of,
)

#: Each differs from its default and from the others.
LIMITS = RunLimits(soft_time_limit_seconds=11, time_limit_seconds=12, kill_grace_seconds=13)


def fired(database: Database, job: Job) -> UUID:
    record(database, job, at=NOON)
    return runs_of(database, job)[-1].id


def started_by_hand(database: Database, job: Job) -> UUID:
    with database.session() as session:
        return start_job(session, job, app=TASKS, by="ann", at=NOON).run.id


def started_without_a_job(database: Database, _job: Job) -> UUID:
    task = TaskStart("sleep", {"duration": 0}, limits=LIMITS)
    with database.session() as session:
        return start_task(session, task, app=TASKS, by="ann", at=NOON).run.id


def repeated_without_a_job(database: Database, job: Job) -> UUID:
    first = started_without_a_job(database, job)
    claim(database, first, make_worker(database))
    finish(database, first)
    with database.session() as session:
        over = history.get(session, first)
        again = repeat(session, over, RepeatRequest(), app=TASKS, by="ann", at=NOON)
        return again.run.id


@pytest.mark.parametrize(
    "make", [fired, started_by_hand, started_without_a_job, repeated_without_a_job]
)
def test_limits_arrive_whole_at_the_worker(
    database: Database, make: Callable[[Database, Job], UUID]
) -> None:
    job = make_job(database, limits=LIMITS)

    claimed = claim(database, make(database, job), make_worker(database))

    assert claimed is not None
    assert claimed.limits == LIMITS


def test_a_message_of_another_attempt_claims_nothing(database: Database) -> None:
    run_id = started_by_hand(database, make_job(database))

    assert claim(database, run_id, make_worker(database), attempt=2, at=NOON + HOUR) is None
    assert run(database, run_id).state is RunState.QUEUED
