"""What the janitor is told of the work that there is: all of it, and nothing else."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.runs import workers
from jobs_app.runs.retry import RetryPolicy
from jobs_app.scheduler.pending_work import Work, pending_work
from tests.factories import (
    MINUTE,
    NOON,
    SECOND,
    claim,
    finish,
    make_job,
    make_run,
    make_worker,
)
from tests.plans import captured, plans


def make_active(database: Database, **values: Any) -> tuple[UUID, UUID]:
    """Return a running run and its worker."""
    run_id, worker_id = make_run(database, **values), make_worker(database)
    assert claim(database, run_id, worker_id)
    return run_id, worker_id


def make_due_retry(database: Database) -> None:
    run_id, _ = make_active(database)
    policy = RetryPolicy(max_attempts=2, delay_seconds=59, jitter=False)
    finish(database, run_id, RunState.FAILED, retry=policy, at=NOON + SECOND)


def make_unsent_message(database: Database) -> None:
    run_id = make_run(database)
    with database.session() as session, session.begin():
        session.execute(update(Run).where(Run.id == run_id).values(send_at=NOON + MINUTE))


def make_orphan(database: Database) -> None:
    _, worker_id = make_active(database)
    with database.session() as session:
        workers.give_up(session, worker_id, beats=None, at=NOON)


def make_parked_run(database: Database) -> None:
    _, worker_id = make_active(database, concurrency_key="db", concurrency_limit=1)
    parked = make_run(database, concurrency_key="db", concurrency_limit=1)
    assert claim(database, parked, worker_id) is None


def make_waiting_run(database: Database) -> None:
    job = make_job(database, overlap_policy=OverlapPolicy.BUFFER_ALL)
    make_run(database, job, state=RunState.WAITING)


def make_ended_pause(database: Database) -> None:
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND, until=NOON + MINUTE)


MAKE: dict[Work, Callable[[Database], None]] = {
    Work.DUE_RETRIES: make_due_retry,
    Work.UNSENT_MESSAGES: make_unsent_message,
    Work.ORPHANS: make_orphan,
    Work.PARKED_RUNS: make_parked_run,
    Work.WAITING_RUNS: make_waiting_run,
    Work.ENDED_PAUSES: make_ended_pause,
}

#: Kinds of work that come due with the time.
TIMED = {Work.DUE_RETRIES, Work.UNSENT_MESSAGES, Work.ENDED_PAUSES}


@pytest.mark.parametrize("work", Work)
def test_each_kind_of_work_is_found_when_it_is_due(database: Database, work: Work) -> None:
    MAKE[work](database)

    with database.reading() as session:
        early, due = (
            pending_work(session, at=at) for at in (NOON + MINUTE - SECOND, NOON + MINUTE)
        )

    assert early == ({work} - TIMED)
    assert due == {work}


def test_what_goes_its_usual_way_is_no_work(database: Database) -> None:
    job = make_job(database)
    make_active(database, job=job)
    finished, _ = make_active(database)
    finish(database, finished)
    make_run(database, at=NOON)
    with database.session() as session:
        paused = service.get(session, make_job(database).name)
        service.pause(session, paused, reason=None, by="ann", at=NOON - SECOND)

    with database.reading() as session:
        assert pending_work(session, at=NOON + SECOND) == frozenset()


def test_a_deleted_job_has_no_pause_to_end(database: Database) -> None:
    make_ended_pause(database)
    with database.session() as session, session.begin():
        session.execute(update(Job).values(deleted_at=NOON))

    with database.reading() as session:
        assert pending_work(session, at=NOON + MINUTE) == frozenset()


def test_all_of_it_is_one_statement_that_reads_no_whole_table(long_history: Database) -> None:
    with captured(long_history, "SELECT", "WITH") as statements, long_history.reading() as session:
        pending_work(session, at=NOON)
    plan = plans(long_history, lambda session: pending_work(session, at=NOON))

    assert len(statements) == 1
    scans = [line for line in plan.splitlines() if "Seq Scan" in line or line.startswith("SCAN")]
    # PostgreSQL reads small tables whole; SQLite names the constant row, and an empty index.
    allowed = ("on workers", "on jobs", "CONSTANT ROW", "ix_runs_awaited")
    assert [line for line in scans if not any(word in line for word in allowed)] == []
