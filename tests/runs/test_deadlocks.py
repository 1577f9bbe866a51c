"""A run that ends while its job has it give way: on PostgreSQL, whose locks are of rows."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.runs import overlap
from jobs_app.runs.retry import RetryPolicy
from tests.factories import NOON, claim, finish, make_job, make_run, make_worker, run
from tests.servers import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@contextmanager
def paused_after_its_run(database: Database, meanwhile: Callable[[], None]) -> Iterator[None]:
    """Do *meanwhile* once the first run has been changed, before the next statement."""
    is_done = threading.Event()

    def note(_: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE runs") and not is_done.is_set():
            is_done.set()
            meanwhile()

    event.listen(database.engine, "after_cursor_execute", note)
    yield
    event.remove(database.engine, "after_cursor_execute", note)


def have_it_give_way(database: Database, job: Job) -> None:
    with database.session() as session:
        locked = service.lock(session, job)
        overlap.make_room(session, locked.id, CancelMode.GRACEFUL, drop_waiting=True, at=NOON)
        session.commit()


@pytest.mark.parametrize(
    "state, retry, left",
    [
        (RunState.FAILED, RetryPolicy(), RunState.FAILED),
        (RunState.FAILED, RetryPolicy(max_attempts=2), RunState.CANCELLED),
        (RunState.SUCCEEDED, RetryPolicy(), RunState.SUCCEEDED),
    ],
)
def test_a_run_that_ends_and_one_that_has_it_give_way_do_not_wait_for_each_other(
    plain: Database, database: Database, state: RunState, retry: RetryPolicy, left: RunState
) -> None:
    job = make_job(database)
    failed = make_run(database, job)
    claim(database, failed, make_worker(database))
    # A success is news after it.
    finish(database, failed, RunState.FAILED)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))

    def is_waiting() -> bool:
        with database.reading() as session:
            return session.scalars(WAITING).one() == 1

    with ThreadPoolExecutor(1) as pool:

        def meanwhile() -> None:
            others.append(pool.submit(have_it_give_way, database, job))
            wait_until(is_waiting, "the other one waits for a lock")

        others: list[Future[None]] = []
        with paused_after_its_run(plain, meanwhile):
            assert finish(plain, run_id, state, retry=retry)
        others[0].result(10)

    assert run(database, run_id).state is left
