"""A finish is held only while the next message comes at once, and is never lost."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from celery import shared_task
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Attempt
from jobs_app.runs.finish_and_claim import finish_and_claim
from jobs_app.runs.outcome import Outcome
from jobs_app.worker import completer, execution
from jobs_app.worker.completer import FinishedRun
from jobs_app.worker.execution import write_held_finish
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.output.log_store import SqlChunkStore
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.pool_process import Process
from tests.factories import NOON, claim, make_run, run
from tests.worker.conftest import process_without_worker

#: Which runs the task below has worked on.
WORKED: list[str] = []


@shared_task(name="tests.counts", bind=True)
def counts(self: Any, fails: bool = False) -> None:
    """Note that it was called."""
    WORKED.append(self.request.id)
    if fails:
        raise ValueError("no")


@pytest.fixture
def process(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    """The surroundings of runs in this very process, which is as busy as can be."""
    settings = Settings(database_url=database_url, redis_url="redis://127.0.0.1:1/0")
    # However slow the machine: the next message came at once.
    monkeypatch.setattr(completer, "BUSY_SECONDS", 60.0)
    with process_without_worker(database, settings) as process:
        process.can_hold_finish = True
        process.completer.note_idle()
        yield process


@pytest.fixture
def queued(database: Database) -> Callable[..., UUID]:
    """Records a run of the task above."""

    def queue(**given: Any) -> UUID:
        return make_run(database, **{"task": "tests.counts"} | given)

    return queue


def work_on(*run_ids: UUID) -> None:
    for run_id in run_ids:
        execution.run(str(run_id), 1)


def states(database: Database, *run_ids: UUID) -> list[RunState]:
    return [run(database, each).state for each in run_ids]


def test_a_held_finish_is_written_with_the_next_claim(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    first, second = queued(), queued()

    work_on(first)
    assert states(database, first) == [RunState.RUNNING]
    work_on(second)

    assert states(database, first, second) == [RunState.SUCCEEDED, RunState.RUNNING]
    ended, begun = run(database, first).finished_at, run(database, second).started_at
    assert ended is not None
    assert begun is not None
    assert ended <= begun
    write_held_finish()
    assert states(database, second) == [RunState.SUCCEEDED]


def test_a_worker_that_is_not_busy_holds_no_finish(
    database: Database,
    process: Process,
    queued: Callable[..., UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(completer, "BUSY_SECONDS", 0.0)
    run_id = queued()

    work_on(run_id)

    assert states(database, run_id) == [RunState.SUCCEEDED]


def test_a_pool_without_the_hook_holds_no_finish(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    process.can_hold_finish = False
    run_id = queued()

    work_on(run_id)

    assert states(database, run_id) == [RunState.SUCCEEDED]


def test_a_failure_is_written_at_once(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    run_id = queued(kwargs={"fails": True})

    work_on(run_id)

    assert states(database, run_id) == [RunState.FAILED]


def test_a_keyed_run_releases_its_slot_at_once(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    run_id = queued(concurrency_key="db-main", concurrency_limit=1)

    work_on(run_id)

    assert states(database, run_id) == [RunState.SUCCEEDED]


def test_a_held_finish_is_written_once_when_no_message_comes(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    run_id = queued()
    work_on(run_id)
    holds = [process.completer.has_own]

    write_held_finish()
    holds.append(process.completer.has_own)
    written = run(database, run_id)
    write_held_finish()

    assert holds == [True, False]
    assert written.state is RunState.SUCCEEDED
    assert run(database, run_id).finished_at == written.finished_at


def test_a_dropped_message_also_writes_the_held_finish(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    run_id, cancelled = queued(), queued(state=RunState.CANCELLED)

    work_on(run_id, cancelled)

    assert states(database, run_id, cancelled) == [RunState.SUCCEEDED, RunState.CANCELLED]
    assert process.take_dropped() == 1


def test_any_thread_writes_the_finish_that_another_thread_holds(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    first, second = queued(), queued()
    other = threading.Thread(target=work_on, args=(first,))
    other.start()
    other.join()
    # A thread that holds nothing back itself has nothing to write when it waits.
    write_held_finish()
    assert states(database, first) == [RunState.RUNNING]

    work_on(second)

    assert states(database, first, second) == [RunState.SUCCEEDED, RunState.RUNNING]


def test_a_thread_takes_its_own_held_finish_first(
    database: Database, process: Process, queued: Callable[..., UUID]
) -> None:
    first, second = queued(), queued()
    claims = [execution._claim(process, each, 1, at=clock.now()) for each in (first, second)]
    theirs, mine = (
        FinishedRun(c, Outcome(RunState.SUCCEEDED), NOON) for c in claims if c is not None
    )
    process.completer.note_message()
    other = threading.Thread(target=process.completer.hold, args=(theirs,))
    other.start()
    other.join()
    process.completer.hold(mine)

    # Else it would hold back the next one, and nobody would write this one when none comes.
    assert process.completer.take() is mine
    assert process.completer.take() is theirs
    assert process.completer.take() is None


@pytest.mark.parametrize("takes_effect", [False, True])
def test_a_database_that_does_not_answer_in_between_neither_loses_nor_doubles(
    database: Database,
    process: Process,
    queued: Callable[..., UUID],
    monkeypatch: pytest.MonkeyPatch,
    takes_effect: bool,
) -> None:
    first, second = queued(), queued()
    work_on(first)
    together = finish_and_claim
    failures = []

    def without_an_answer(*args: Any, **given: Any) -> Any:
        if takes_effect:
            together(*args, **given)
        failures.append(given["run_id"])
        raise OperationalError("UPDATE", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(execution, "finish_and_claim", without_an_answer)
    monkeypatch.setattr(execution, "RETRY_DATABASE_SECONDS", 0.01)
    WORKED.clear()

    work_on(second)
    write_held_finish()

    assert failures == [second]
    assert states(database, first, second) == [RunState.SUCCEEDED, RunState.SUCCEEDED]
    assert [str(second)] == WORKED
    with database.reading() as session:
        assert session.scalars(select(Attempt)).all() == []


def test_a_late_heartbeat_does_not_delay_a_held_finish(
    database: Database,
    process: Process,
    queued: Callable[..., UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = queued(), queued()
    work_on(first)
    monkeypatch.setattr(execution, "LEASE_WAIT_SECONDS", 0.2)
    process.lease.renew(lease_now() - 60)

    work_on(second)

    # Nobody has given the worker up so far: its run is its own to end.
    assert states(database, first, second) == [RunState.SUCCEEDED, RunState.QUEUED]


def test_the_last_run_of_a_dead_process_is_reported_once(process: Process) -> None:
    reported: list[tuple[UUID, int]] = []
    process.report_dead = lambda run_id, attempt, _reason: reported.append((run_id, attempt))
    first, second = UUID(int=1), UUID(int=2)
    process.note_last_run(100, first, 1)
    process.note_last_run(100, second, 3)
    process.note_last_run(200, first, 2)

    for pid in (300, 100, 100):
        process.report_gone(pid)

    assert reported == [(second, 3)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_finish_whose_log_is_not_stored_is_not_held(process: Process, database: Database) -> None:
    claimed = claim(database, make_run(database), process.lease.worker_id)
    assert claimed is not None
    log = RunLog(SqlChunkStore(database, claimed.run_id, claimed.attempt))
    outcome = Outcome(RunState.SUCCEEDED)
    process.completer.note_message()

    assert not process.completer.hold(FinishedRun(claimed, outcome, NOON, log))
    assert process.completer.hold(FinishedRun(claimed, outcome, NOON))
    log.close(timeout_seconds=0)
