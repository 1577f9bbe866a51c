"""A run of the task `celery` hands its wait on when its worker stops."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import rescue
from jobs_app.runs import sent_task as runs_sent_task
from jobs_app.runs.claim import ClaimedRun
from jobs_app.worker import execution, sent_task
from jobs_app.worker.liveness.cancellation import CancellableRun
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.pool_process import Process
from jobs_app.worker.sent_task import SentTask
from tests.factories import make_run, run

SENT = {"id": "7", "task": "shop.report", "queue": "celery", "state": "SENT"}


def claimed(process: Process, run_id: UUID, attempt: int = 1) -> ClaimedRun:
    made = execution._claim(process, run_id, attempt, at=clock.now())
    assert made is not None
    return made


def cancellable(run_id: UUID) -> CancellableRun:
    return CancellableRun(run_id, 1, 0, RunLimits(), is_cooperative=True)


@pytest.fixture
def active(database: Database, process: Process) -> CancellableRun:
    """A run of the task `celery` that its worker may stop."""
    return cancellable(make_run(database, task="celery", at=clock.now()))


@pytest.fixture
def store(process: Process, active: CancellableRun) -> SentTask:
    """What the run has sent, once the worker has claimed it."""
    return SentTask(process, claimed(process, active.run_id), active)


def test_a_wait_is_handed_on_when_its_worker_stops_once_it_is_on_record(
    database: Database, process: Process, active: CancellableRun, store: SentTask
) -> None:
    assert store.before() == (None, False)
    active.is_stopped = True
    assert not store.is_handed_on(), "nothing is on record"

    store.keep(SENT)

    assert store.is_handed_on()
    assert run(database, active.run_id).result == {**SENT, "attempt": 1}
    active.is_stopped = False
    assert not store.is_handed_on(), "the worker goes on"
    process.lease.renew(lease_now() - 60)
    assert store.is_handed_on(), "the worker has lost its lease"


def test_a_run_that_is_no_longer_ours_hands_nothing_on(
    database: Database, active: CancellableRun, store: SentTask
) -> None:
    run_id = active.run_id
    with database.session() as session:
        rescue.finish_lost(session, run(database, run_id), 1, reason="gone", at=clock.now())

    store.keep(SENT)

    active.is_stopped = True
    assert not store.is_handed_on()
    assert (run(database, run_id).state, run(database, run_id).result) == (RunState.LOST, None)


def test_an_outage_of_the_database_neither_fails_the_run_nor_sends_its_task_again(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_run(database, task="celery", at=clock.now())
    with database.session() as session:
        session.get_one(Run, run_id).attempt = 2
        session.commit()
    store = SentTask(process, claimed(process, run_id, 2), cancellable(run_id))
    outages = [OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)]
    monkeypatch.setattr(sent_task, "RETRY_DATABASE_SECONDS", 0.01)
    real: Any = runs_sent_task.sent_before

    def fails_once(*arguments: object) -> object:
        if outages:
            raise outages.pop()
        return real(*arguments)

    monkeypatch.setattr(runs_sent_task, "sent_before", fails_once)

    assert store.before() == (None, False)

    def fails(*_arguments: object) -> bool:
        raise OperationalError("UPDATE", {}, Exception("gone"))

    monkeypatch.setattr(runs_sent_task, "keep_sent", fails)
    store.keep(SENT)
    assert run(database, run_id).state is RunState.RUNNING
