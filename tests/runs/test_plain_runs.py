"""The plain case of a claim and of an end, by one statement: no other case passes for it."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from jobs_app.core.states import CancelMode, Event, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs import cancel as runs_cancel
from jobs_app.runs import claim as runs_claim
from jobs_app.runs import finish as runs_finish
from jobs_app.runs import outbox, workers
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from tests.factories import (
    NOON,
    SECOND,
    claim,
    columns,
    finish,
    job,
    make_job,
    make_run,
    make_worker,
    run,
)


def claim_plain(
    plain: Database, run_id: UUID, worker_id: UUID, *, attempt: int = 1
) -> ClaimedRun | None:
    with plain.single() as connection:
        return runs_claim.claim_plain(connection, run_id, attempt, worker_id=worker_id, at=NOON)


def finish_plain(
    plain: Database,
    run_id: UUID,
    state: RunState = RunState.SUCCEEDED,
    *,
    attempt: int = 1,
    **outcome: Any,
) -> bool | None:
    with plain.single() as connection:
        return runs_finish.finish_plain(
            connection, run_id, attempt, Outcome(state, **outcome), at=NOON + SECOND
        )


def test_it_writes_what_the_long_way_writes(database: Database, plain: Database) -> None:
    worker_id = make_worker(database)
    given: dict[str, Any] = {"kwargs": {"duration": 3}, "priority": 2}
    short, long = make_run(database, **given), make_run(database, **given)
    said: dict[str, Any] = {"result": [1], "exit_code": 0, "log_bytes": 7, "log_truncated": True}

    claims = [claim_plain(plain, short, worker_id), claim(database, long, worker_id)]
    ends = [finish_plain(plain, short, **said), finish(database, long, **said)]

    assert ends == [False, True]
    assert all(claims)
    written = [columns(database, each) for each in (short, long)]
    assert written[0] == written[1]
    assert written[0]["state"] is RunState.SUCCEEDED


def test_a_run_without_output_keeps_its_counts(database: Database, plain: Database) -> None:
    run_id = make_run(database)
    claim_plain(plain, run_id, make_worker(database))

    assert finish_plain(plain, run_id, result={"rows": 3}) is False

    ended = run(database, run_id)
    assert (ended.result, ended.log_bytes, ended.log_truncated) == ({"rows": 3}, 0, False)


@pytest.mark.parametrize("attempt", [0, 2])
def test_another_attempt_is_neither_claimed_nor_ended(
    database: Database, plain: Database, attempt: int
) -> None:
    worker_id, run_id = make_worker(database), make_run(database)

    assert claim_plain(plain, run_id, worker_id, attempt=attempt) is None
    claim_plain(plain, run_id, worker_id)
    assert finish_plain(plain, run_id, attempt=attempt) is None

    assert run(database, run_id).state is RunState.RUNNING


def test_a_run_is_claimed_once_and_ended_once(database: Database, plain: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)

    assert finish_plain(plain, run_id) is None
    assert claim_plain(plain, run_id, worker_id) is not None
    assert claim_plain(plain, run_id, worker_id) is None
    assert finish_plain(plain, run_id, result=1) is False
    assert finish_plain(plain, run_id, result=2) is None

    assert run(database, run_id).result == 1


def test_a_success_after_a_cancel_says_so(database: Database, plain: Database) -> None:
    run_id = make_run(database)
    claim_plain(plain, run_id, make_worker(database))
    mode = CancelMode.GRACEFUL
    with database.session() as session:
        runs_cancel.cancel(session, run_id, mode=mode, by="ann", reason="typo", at=NOON)

    assert finish_plain(plain, run_id) is False

    ended = run(database, run_id)
    assert ended.state is RunState.SUCCEEDED
    assert ended.reason == "It was asked to end (typo), and succeeded all the same."


def test_a_worker_that_was_given_up_claims_nothing(database: Database, plain: Database) -> None:
    worker_id, run_id = make_worker(database), make_run(database)
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)

    assert claim_plain(plain, run_id, worker_id) is None


def test_a_run_with_a_concurrency_key_is_left_to_the_long_way(
    database: Database, plain: Database
) -> None:
    worker_id = make_worker(database)
    run_id = make_run(database, concurrency_key="db-main", concurrency_limit=1)

    assert claim_plain(plain, run_id, worker_id) is None
    assert claim(database, run_id, worker_id) is not None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED])
def test_no_other_end_than_a_success_is_plain(
    database: Database, plain: Database, state: RunState
) -> None:
    run_id = make_run(database)
    claim_plain(plain, run_id, make_worker(database))

    assert finish_plain(plain, run_id, state) is None

    assert run(database, run_id).state is RunState.RUNNING


def test_a_success_after_failures_is_left_to_the_long_way(
    database: Database, plain: Database
) -> None:
    made = make_job(database)
    worker_id = make_worker(database)
    failed = make_run(database, made)
    claim(database, failed, worker_id)
    finish(database, failed, RunState.FAILED)
    succeeded = make_run(database, made)
    claim_plain(plain, succeeded, worker_id)

    assert finish_plain(plain, succeeded) is None

    assert run(database, succeeded).state is RunState.RUNNING
    assert job(database, made.name).failures_in_a_row == 1


def test_a_success_that_somebody_wants_to_hear_of_is_left_to_the_long_way(
    database: Database, plain: Database
) -> None:
    made = make_job(database)
    run_id = make_run(database, made)
    with database.session() as session:
        session.get_one(Job, made.id).subscribed_events = Event.SUCCEEDED.bit
        session.commit()
    claim_plain(plain, run_id, make_worker(database))

    assert finish_plain(plain, run_id) is None


def test_a_success_whose_output_somebody_wants_is_left_to_the_long_way(
    database: Database, plain: Database
) -> None:
    made = make_job(database)
    silent, printing = make_run(database, made), make_run(database, make_job(database, name="b"))
    with database.session() as session:
        session.execute(update(Job).values(subscribed_events=Event.OUTPUT.bit))
        session.commit()
    for run_id in (silent, printing):
        claim_plain(plain, run_id, make_worker(database))

    assert finish_plain(plain, printing, log_bytes=7, log_truncated=False) is None
    assert finish_plain(plain, silent) is False


@pytest.mark.parametrize(
    "policy, waits, has_waiting_run",
    [
        (OverlapPolicy.SKIP, False, False),
        (OverlapPolicy.ALLOW_ALL, False, False),
        # Somebody started it by hand, to wait for the other.
        (OverlapPolicy.SKIP, True, True),
        # The planner may have put one behind this run, and not committed it yet.
        (OverlapPolicy.BUFFER_ONE, False, True),
        (OverlapPolicy.BUFFER_ALL, False, True),
        (OverlapPolicy.CANCEL_OTHER, False, True),
        (OverlapPolicy.TERMINATE_OTHER, False, True),
    ],
)
def test_it_tells_whether_another_run_may_wait_for_the_end(
    database: Database, plain: Database, policy: OverlapPolicy, waits: bool, has_waiting_run: bool
) -> None:
    made: Job = make_job(database, overlap_policy=policy)
    run_id = make_run(database, made)
    claim_plain(plain, run_id, make_worker(database))
    if waits:
        make_run(database, made, state=RunState.WAITING)

    assert finish_plain(plain, run_id) is has_waiting_run


def test_a_session_beside_it_still_takes_back_what_is_not_committed(
    database: Database, plain: Database
) -> None:
    run_id = make_run(database)
    with plain.session() as session:
        outbox.mark_unsent(session, [run_id], at=NOON + SECOND)
    with plain.single() as connection:
        claimed = runs_claim.claim_plain(
            connection, run_id, 1, worker_id=make_worker(database), at=NOON
        )

    assert claimed is not None
    with plain.session() as session:
        session.get_one(Run, run_id).attempt = 7
        session.flush()
    assert run(database, run_id).attempt == 1


def test_an_end_that_brings_progress_along_is_not_plain(
    database: Database, plain: Database
) -> None:
    run_id = make_run(database)
    claim(database, run_id, make_worker(database))

    assert finish_plain(plain, run_id, progress={"fraction": 1.0}) is None
