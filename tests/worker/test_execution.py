"""Claim, work, finish in one process: however a task ends, its run ends too."""

import decimal
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from billiard.pool import SIG_SOFT_TIMEOUT
from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.worker import execution, invocation, runner
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.pool_process import Process
from tests.factories import make_run, make_worker, run
from tests.worker.conftest import WorkOn


@shared_task(name="tests.ends_with")
def ends_with(code: Any) -> None:
    """End as a script does."""
    sys.exit(code)


@shared_task(name="tests.wants_retry", bind=True, max_retries=None)
def wants_retry(self: Task[Any, Any], what: str) -> None:
    """Ask to be tried again, in the ways that tasks do."""
    if what == "in 30,000 years":
        raise self.retry(countdown=10**12)
    if what == "never":
        raise self.retry(countdown=float("nan"))
    if what == "with a date":
        raise self.retry(kwargs={"what": datetime(2026, 6, 15, tzinfo=UTC)})
    raise self.retry(eta=datetime(2027, 6, 15))  # noqa: DTZ001  # Celery takes it as UTC


@shared_task(name="tests.interrupted_by_the_pool")
def interrupted_by_the_pool(after: float) -> None:
    """Run until the pool sends SIGTERM to this process, which becomes SystemExit."""
    time.sleep(after)
    sys.exit(-(256 - signal.SIGTERM))


@shared_task(name="tests.divides_exactly")
def divides_exactly() -> str:
    """Divide as the module has set it, and change that for later."""
    third = str(decimal.Decimal(1) / 3)
    decimal.getcontext().prec = 2
    return third


@shared_task(name="tests.nothing")
def nothing() -> str:
    """Do nothing."""
    return "done"


@pytest.mark.parametrize(
    "code, state",
    [
        (0, RunState.SUCCEEDED),
        (3, RunState.FAILED),
        (True, RunState.FAILED),
        (10**12 + 7, RunState.FAILED),
        ("no\x00disk", RunState.FAILED),
    ],
)
def test_a_task_that_exits_ends_its_run_whatever_the_code(
    database: Database, work_on: WorkOn, code: Any, state: RunState
) -> None:
    run_id = make_run(database, task="tests.ends_with", kwargs={"code": code})

    work_on(run_id)

    assert run(database, run_id).state is state


@pytest.mark.parametrize("what", ["in 30,000 years", "never", "with a date"])
def test_a_retry_that_cannot_be_stored_fails_the_run_and_says_why(
    database: Database, work_on: WorkOn, what: str
) -> None:
    run_id = make_run(database, task="tests.wants_retry", kwargs={"what": what})

    work_on(run_id)

    failed = run(database, run_id)
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert "could not be stored" in failed.error["message"]


def test_a_run_has_the_decimal_context_of_the_import_and_leaves_it(
    database: Database, work_on: WorkOn
) -> None:
    run_ids = [make_run(database, task="tests.divides_exactly") for _ in range(2)]

    with decimal.localcontext(prec=40):
        for run_id in run_ids:
            work_on(run_id)

    assert [run(database, run_id).result for run_id in run_ids] == ["0." + "3" * 40] * 2


def test_an_eta_without_a_zone_is_taken_as_utc_as_celery_does(
    database: Database, work_on: WorkOn
) -> None:
    run_id = make_run(database, task="tests.wants_retry", kwargs={"what": "next summer"})

    work_on(run_id)

    retrying = run(database, run_id)
    assert retrying.state is RunState.RETRYING
    assert retrying.not_before is not None
    assert abs((retrying.not_before - datetime(2027, 6, 15, tzinfo=UTC)).total_seconds()) < 1


def test_a_time_limit_that_strikes_after_the_task_does_not_lose_its_result(
    database: Database, work_on: WorkOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_run(database, task="tests.nothing")
    # The database keeps the finish waiting, and meanwhile the soft limit is reached.
    held = database.session()
    release = threading.Timer(0.8, held.rollback)
    call = invocation.call

    def call_and_hold(*args: Any) -> Any:
        outcome = call(*args)
        held.execute(update(Run).where(Run.id == run_id).values(note="held"))
        threading.Timer(0.3, os.kill, (os.getpid(), SIG_SOFT_TIMEOUT)).start()
        release.start()
        return outcome

    def strike(*_: object) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(SIG_SOFT_TIMEOUT, strike)
    monkeypatch.setattr(runner, "call", call_and_hold)
    try:
        work_on(run_id)
    finally:
        is_listening_again = signal.signal(SIG_SOFT_TIMEOUT, before) is strike
        release.join()
        held.close()

    assert run(database, run_id).state is RunState.SUCCEEDED
    assert run(database, run_id).result == "done"
    assert is_listening_again


@pytest.mark.parametrize(
    "limit, state",
    [(None, RunState.LOST), (3600, RunState.LOST), (1, RunState.TIMED_OUT)],
)
def test_a_process_that_the_pool_ends_at_the_time_limit_says_that_it_was_that(
    database: Database, work_on: WorkOn, limit: int | None, state: RunState
) -> None:
    run_id = make_run(
        database,
        task="tests.interrupted_by_the_pool",
        kwargs={"after": 0.6},
        limits=RunLimits(time_limit_seconds=limit),
    )

    work_on(run_id)

    assert run(database, run_id).state is state


def test_a_worker_whose_lease_has_run_out_claims_nothing(
    database: Database, process: Process, work_on: WorkOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_run(database, task="tests.nothing")
    monkeypatch.setattr(execution, "LEASE_WAIT_SECONDS", 0.2)
    process.lease.renew(lease_now() - 60)

    work_on(run_id)

    assert run(database, run_id).state is RunState.QUEUED


def test_what_a_worker_claimed_before_it_was_given_up_is_fenced_after_it_comes_back(
    database: Database, process: Process
) -> None:
    run_id = make_run(database, task="tests.nothing")
    claimed = execution._claim(process, run_id, 1, at=clock.now())
    assert claimed is not None
    assert process.lease.seconds_left(of=claimed.worker_id) > 0

    process.lease.adopt(make_worker(database))
    process.lease.renew(lease_now())

    assert process.lease.seconds_left(of=claimed.worker_id) <= 0
    assert process.lease.seconds_left() > 0
