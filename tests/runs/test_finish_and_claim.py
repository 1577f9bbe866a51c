"""One run's end and another's claim in one transaction: each as if it had been alone."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.runs import workers
from jobs_app.runs.claim import ClaimedRun, claim_plain
from jobs_app.runs.finish import finish_plain
from jobs_app.runs.finish_and_claim import finish_and_claim
from jobs_app.runs.outcome import Outcome
from tests.factories import NOON, SECOND, columns, job, make_job, make_run, make_worker, run

Together = Callable[..., tuple[bool | None, ClaimedRun | None]]


@pytest.fixture
def worker_id(database: Database) -> UUID:
    """A worker that is alive."""
    return make_worker(database)


@pytest.fixture
def together(plain: Database, worker_id: UUID) -> Together:
    """Ends one run as a success and claims another one."""

    def finish_one_and_claim_other(
        ended: UUID, claimed: UUID, *, finished_attempt: int = 1, attempt: int = 1, **outcome: Any
    ) -> tuple[bool | None, ClaimedRun | None]:
        with plain.single() as connection:
            return finish_and_claim(
                connection,
                ended,
                finished_attempt,
                Outcome(RunState.SUCCEEDED, **outcome),
                finished_at=NOON + SECOND,
                run_id=claimed,
                attempt=attempt,
                worker_id=worker_id,
                at=NOON + 2 * SECOND,
            )

    return finish_one_and_claim_other


def start(plain: Database, run_id: UUID, worker_id: UUID) -> None:
    with plain.single() as connection:
        assert claim_plain(connection, run_id, 1, worker_id=worker_id, at=NOON)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"result": [1], "exit_code": 0},
        {"result": {"rows": 3}, "log_bytes": 7, "log_truncated": True},
    ],
)
def test_both_write_what_each_writes_alone(
    database: Database, plain: Database, worker_id: UUID, together: Together, said: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"kwargs": {"duration": 3}, "priority": 2, "task": "sleep"}
    ended, claimed, also_ended, also_claimed = (make_run(database, **given) for _ in range(4))
    start(plain, ended, worker_id)
    start(plain, also_ended, worker_id)

    has_waiting_run, claim = together(ended, claimed, **said)

    with plain.single() as connection:
        outcome = Outcome(RunState.SUCCEEDED, **said)
        alone = finish_plain(connection, also_ended, 1, outcome, at=NOON + SECOND)
    with plain.single() as connection:
        at = NOON + 2 * SECOND
        other = claim_plain(connection, also_claimed, 1, worker_id=worker_id, at=at)
    assert has_waiting_run is alone is False
    assert columns(database, ended) == columns(database, also_ended)
    assert columns(database, claimed) == columns(database, also_claimed)
    assert claim is not None
    assert other is not None
    assert claim.run_id == claimed
    assert _without_id(claim) == _without_id(other)


def _without_id(claimed: ClaimedRun) -> dict[str, Any]:
    return {name: getattr(claimed, name) for name in ClaimedRun.__slots__ if name != "run_id"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_both_are_one_transaction(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    ended, claimed = make_run(database), make_run(database)
    start(plain, ended, worker_id)

    together(ended, claimed)

    with database.reading() as session:
        by = session.scalars(text("SELECT DISTINCT xmin::text FROM runs")).all()
    assert len(by) == 1


@pytest.mark.parametrize("attempt, key", [(2, None), (1, "db-main")])
def test_a_run_that_is_not_to_be_had_keeps_no_other_from_ending(
    database: Database,
    plain: Database,
    worker_id: UUID,
    together: Together,
    attempt: int,
    key: str | None,
) -> None:
    limit = None if key is None else 1
    ended = make_run(database)
    wanted = make_run(database, concurrency_key=key, concurrency_limit=limit)
    start(plain, ended, worker_id)

    assert together(ended, wanted, attempt=attempt, result=7) == (False, None)

    assert run(database, ended).result == 7
    assert run(database, wanted).state is RunState.QUEUED


def test_nothing_is_claimed_for_a_worker_that_was_given_up(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    ended, wanted = make_run(database), make_run(database)
    start(plain, ended, worker_id)
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)

    has_waiting_run, claimed = together(ended, wanted)

    assert claimed is None
    assert run(database, wanted).state is RunState.QUEUED
    # As ever, the attempt is its own until somebody has given it up too.
    assert has_waiting_run is False


def test_an_attempt_that_no_longer_counts_is_not_ended_and_the_claim_holds(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    ended, wanted = make_run(database), make_run(database)
    start(plain, ended, worker_id)

    has_waiting_run, claimed = together(ended, wanted, finished_attempt=2, result=7)

    assert has_waiting_run is None
    assert claimed is not None
    assert run(database, ended).state is RunState.RUNNING
    assert run(database, wanted).state is RunState.RUNNING


def test_a_success_that_is_news_to_its_job_is_left_to_the_long_way(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    failing = make_job(database)
    ended, wanted = make_run(database, failing), make_run(database)
    start(plain, ended, worker_id)
    with database.session() as session:
        session.get_one(Job, failing.id).failures_in_a_row = 1
        session.commit()

    has_waiting_run, claimed = together(ended, wanted)

    assert (has_waiting_run, claimed is not None) == (None, True)
    assert run(database, ended).state is RunState.RUNNING
    assert job(database, failing.name).failures_in_a_row == 1


def test_it_reports_that_a_run_waits_behind_the_finished_one(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    buffering = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ONE)
    ended, wanted = make_run(database, buffering), make_run(database)
    start(plain, ended, worker_id)

    has_waiting_run, claimed = together(ended, wanted)

    assert (has_waiting_run, claimed is not None) == (True, True)


def test_a_message_that_comes_twice_does_not_start_the_run_that_it_ends(
    database: Database, plain: Database, worker_id: UUID, together: Together
) -> None:
    ended = make_run(database)
    start(plain, ended, worker_id)

    assert together(ended, ended, result=7) == (False, None)

    assert run(database, ended).state is RunState.SUCCEEDED
