"""How a job has done: what is counted, and what is made of it."""

from datetime import datetime, timedelta

import pytest

from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.jobs import stats
from jobs_app.jobs.stats import Spread, Stats
from jobs_app.runs import pruning
from tests.factories import HOUR, MINUTE, NOON, SECOND, make_job, make_run


def ended(
    database: Database,
    owner: Job,
    state: RunState = RunState.SUCCEEDED,
    *,
    at: datetime = NOON,
    late: timedelta = SECOND,
    took: timedelta = SECOND,
    attempt: int = 1,
) -> None:
    """Record a run that was due at *at*, with its times."""
    run_id = make_run(database, owner, state=state, at=at)
    with database.session() as session, session.begin():
        run = session.get_one(Run, run_id)
        run.started_at, run.finished_at, run.attempt = at + late, at + late + took, attempt


def of(database: Database, owner: Job, *, last: int = 100) -> Stats:
    with database.reading() as session:
        return stats.of_job(session, owner, last=last)


def test_of_a_job_that_never_ran_nothing_is_said(database: Database) -> None:
    found = of(database, make_job(database))

    assert (found.counts, found.kept, found.oldest_at) == ({}, 0, None)
    assert (found.success_rate, found.last_success, found.last_failure) == (None, None, None)
    assert (found.recent.runs, found.recent.duration_seconds, found.recent.delay_seconds) == (
        0,
        None,
        None,
    )


def test_runs_are_counted_by_state_those_of_other_jobs_left_out(database: Database) -> None:
    owner = make_job(database, overlap_policy=OverlapPolicy.ALLOW_ALL)
    other = make_job(database)
    for state in RunState:
        make_run(database, owner, state=state)
    make_run(database, other)

    found = of(database, owner)

    assert found.counts == dict.fromkeys(RunState, 1)
    assert found.kept == len(RunState)


def test_counts_and_rate_do_not_fall_when_runs_go(database: Database) -> None:
    owner = make_job(database)
    for hours in range(8):
        ended(database, owner, at=NOON - hours * HOUR)
    for hours in range(2):
        ended(database, owner, RunState.FAILED, at=NOON - hours * HOUR - MINUTE)
    before = of(database, owner)

    with database.session() as session:
        for state in (RunState.SUCCEEDED, RunState.FAILED):
            pruning.prune_runs(session, owner.id, state, before=NOON - MINUTE, limit=100)

    after = of(database, owner)
    assert before.counts == after.counts == {RunState.SUCCEEDED: 8, RunState.FAILED: 2}
    assert before.success_rate == after.success_rate == 0.8
    assert (before.kept, after.kept) == (10, 2)
    assert (before.oldest_at, after.oldest_at) == (NOON - 7 * HOUR, NOON - MINUTE)


def test_what_was_never_tried_or_cancelled_is_no_failure(database: Database) -> None:
    owner = make_job(database)
    ended(database, owner)
    for state in (RunState.SKIPPED, RunState.MISSED, RunState.CANCELLED):
        make_run(database, owner, state=state)

    found = of(database, owner)

    assert (found.success_rate, found.recent.runs) == (1.0, 1)
    assert found.last_failure is None


def test_times_are_those_of_the_newest_runs(database: Database) -> None:
    owner = make_job(database)
    for number in range(1, 101):
        at = NOON + number * MINUTE
        ended(database, owner, at=at, late=number * SECOND / 10, took=number * SECOND)
    ended(database, owner, RunState.TIMED_OUT, at=NOON - HOUR, took=HOUR)

    recent = of(database, owner).recent
    newest = of(database, owner, last=10).recent

    assert (recent.runs, recent.success_rate) == (100, 1.0)
    assert recent.duration_seconds == Spread(50.0, 95.0, 100.0)
    assert recent.delay_seconds == Spread(5.0, 9.5, 10.0)
    assert newest.duration_seconds == Spread(95.0, 100.0, 100.0)


def test_a_run_that_was_tried_again_counts_from_the_start_of_its_first_attempt(
    database: Database,
) -> None:
    owner = make_job(database)
    run_id = make_run(database, owner, state=RunState.SUCCEEDED, at=NOON)
    with database.session() as session, session.begin():
        run = session.get_one(Run, run_id)
        run.started_at, run.finished_at, run.attempt = NOON + HOUR, NOON + HOUR + SECOND, 3
        for attempt, late in ((1, 2 * SECOND), (2, MINUTE)):
            session.add(
                Attempt(
                    run_id=run_id,
                    attempt=attempt,
                    state=RunState.FAILED,
                    started_at=NOON + late,
                    finished_at=NOON + late + SECOND,
                )
            )

    recent = of(database, owner).recent

    assert recent.delay_seconds == Spread(2.0, 2.0, 2.0)
    assert recent.duration_seconds == Spread(3599.0, 3599.0, 3599.0)


def test_the_delay_is_not_known_without_the_first_attempt(database: Database) -> None:
    owner = make_job(database)
    ended(database, owner, at=NOON, late=2 * SECOND)
    ended(database, owner, at=NOON + MINUTE, late=HOUR, attempt=3)

    assert of(database, owner).recent.delay_seconds == Spread(2.0, 2.0, 2.0)


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.TIMED_OUT, RunState.LOST])
def test_the_last_success_and_the_last_failure_are_named(
    database: Database, state: RunState
) -> None:
    owner = make_job(database)
    ended(database, owner, at=NOON - 2 * HOUR)
    ended(database, owner, at=NOON - HOUR)
    ended(database, owner, RunState.FAILED, at=NOON - 3 * HOUR)
    ended(database, owner, state, at=NOON)

    found = of(database, owner)

    assert found.last_success is not None
    assert found.last_failure is not None
    assert found.last_success.created_at == NOON - HOUR
    assert (found.last_failure.created_at, found.last_failure.state) == (NOON, state)
