"""A run whose worker is lost waits on for the task that workers elsewhere have."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import rescue, workers
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.sent_task import MOST_ATTEMPTS, keep_sent, sent_before, sent_by
from tests.factories import NOON, claim, finish, make_run, make_worker, run

SENT = {"id": "7", "task": "shop.report", "queue": "celery", "state": "SENT"}


def keep(database: Database, run_id: UUID, attempt: int = 1) -> bool:
    with database.session() as session:
        return keep_sent(session, run_id, attempt, SENT)


def before(database: Database, run_id: UUID, attempt: int) -> tuple[dict[str, Any] | None, bool]:
    with database.reading() as session:
        return sent_before(session, run_id, attempt)


def lose(database: Database, worker_id: UUID) -> None:
    """Let the janitor find that a worker is gone, and finish its runs."""
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)
        for orphan in rescue.orphans(session):
            rescue.finish_lost(session, orphan, orphan.attempt, reason="gone", at=NOON)


def next_attempt(database: Database, run_id: UUID, *, attempt: int, after: float = 0) -> UUID:
    """Queue the retry that is due and claim it; return its worker."""
    worker_id = make_worker(database)
    at = NOON + timedelta(seconds=after)
    with database.session() as session:
        assert [message.attempt for message in queue_due_retries(session, at=at)] == [attempt]
    assert claim(database, run_id, worker_id, attempt=attempt) is not None
    return worker_id


@pytest.mark.parametrize(
    "retry", [RetryPolicy(), RetryPolicy(max_attempts=3), RetryPolicy(on=(RunState.FAILED,))]
)
def test_a_lost_run_that_has_sent_its_task_goes_on_at_once_by_any_policy(
    database: Database, retry: RetryPolicy
) -> None:
    run_id = make_run(database, task="celery", retry=retry.as_json())
    worker_id = make_worker(database)
    claim(database, run_id, worker_id)
    assert keep(database, run_id)

    lose(database, worker_id)

    row = run(database, run_id)
    assert (row.state, row.not_before) == (RunState.RETRYING, NOON)
    assert row.error is not None
    assert "does not send it again" in row.error["message"]
    next_attempt(database, run_id, attempt=2)
    assert before(database, run_id, 2) == ({**SENT, "attempt": 1}, True)


def test_a_run_that_is_lost_again_still_waits_for_the_first_task(database: Database) -> None:
    run_id, worker_id = make_run(database, task="celery"), make_worker(database)
    claim(database, run_id, worker_id)
    keep(database, run_id)
    lose(database, worker_id)
    second = next_attempt(database, run_id, attempt=2)
    assert keep(database, run_id, 2)

    lose(database, second)

    next_attempt(database, run_id, attempt=3)
    assert before(database, run_id, 3) == ({**SENT, "attempt": 2}, True)


def test_an_attempt_that_is_lost_before_it_keeps_anything_is_lost_by_policy(
    database: Database,
) -> None:
    """It may have sent its task: nobody knows, so nothing waits for it."""
    run_id, worker_id = make_run(database, task="celery"), make_worker(database)
    claim(database, run_id, worker_id)
    keep(database, run_id)
    lose(database, worker_id)
    second = next_attempt(database, run_id, attempt=2)

    lose(database, second)

    assert run(database, run_id).state is RunState.LOST


def test_the_task_of_an_attempt_that_failed_is_known_and_not_waited_for(
    database: Database,
) -> None:
    retry = RetryPolicy(max_attempts=2, delay_seconds=1, jitter=False)
    run_id = make_run(database, task="celery", retry=retry.as_json())
    claim(database, run_id, make_worker(database))
    keep(database, run_id)
    finish(database, run_id, RunState.FAILED, retry=retry)

    next_attempt(database, run_id, attempt=2, after=60)

    assert before(database, run_id, 2) == ({**SENT, "attempt": 1}, False)


def test_a_run_of_another_task_keeps_no_task(database: Database) -> None:
    run_id, worker_id = make_run(database, task="sleep"), make_worker(database)
    claim(database, run_id, worker_id)

    lose(database, worker_id)

    assert run(database, run_id).state is RunState.LOST


def test_only_the_running_attempt_keeps_and_reads_what_was_sent(database: Database) -> None:
    run_id, other_id = (make_run(database, task="celery") for _ in range(2))
    assert not keep(database, run_id), "it is queued"
    claim(database, run_id, make_worker(database))

    assert not keep(database, run_id, 2), "it is at attempt 1"
    assert run(database, run_id).result is None
    assert keep(database, run_id)

    assert run(database, other_id).result is None
    assert before(database, run_id, 2) == (None, False), "it is at attempt 1"
    assert before(database, other_id, 1) == (None, False), "it is queued"
    finish(database, run_id, RunState.SUCCEEDED, result="done")
    assert not keep(database, run_id), "it is over"
    assert run(database, run_id).result == "done"


def test_a_run_that_ends_each_of_its_workers_is_lost_in_the_end(database: Database) -> None:
    run_id, worker_id = make_run(database, task="celery"), make_worker(database)
    with database.session() as session:
        session.get_one(Run, run_id).attempt = MOST_ATTEMPTS
        session.commit()
    claim(database, run_id, worker_id, attempt=MOST_ATTEMPTS)
    keep(database, run_id, MOST_ATTEMPTS)

    lose(database, worker_id)

    assert run(database, run_id).state is RunState.LOST


@pytest.mark.parametrize("result", [None, "text", [1], {"id": "7"}, {"id": "7", "attempt": 2}])
def test_other_results_are_nothing_that_an_attempt_has_sent(result: Any) -> None:
    assert sent_by(result, 1) is None
