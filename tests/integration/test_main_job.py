"""A job is created, a scheduler fires it, a worker runs it, and its result is there."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobs_app.core import clock
from jobs_app.core.states import CancelMode, OverlapPolicy, RunState
from jobs_app.runs import history
from jobs_app.runs.cancel import cancel
from tests.integration.system import System
from tests.profiles import postgresql_nightly, sqlite_nightly
from tests.servers import ValkeyServer, crowding, wait_until


def log_of(system: System, run_id: object, attempt: int = 1) -> str:
    with system.database.reading() as session:
        # None asks for the newest attempt.
        chunks = history.log(session, run_id, attempt=attempt)  # type: ignore[arg-type]
    return "".join(chunk.text for chunk in chunks)


def test_a_shell_job_runs_at_its_fire_and_its_output_is_kept(system: System) -> None:
    wait_until_both_are_ready(system)
    at = clock.now().replace(microsecond=0) + timedelta(seconds=2)
    command = 'echo "$JOBS_JOB $JOBS_SCHEDULED_FOR $JOBS_ATTEMPT"; echo oops >&2'
    job = system.create(name="hello", task="shell", kwargs={"command": command}, once_at=at)

    wait_until(lambda: system.runs(job), "the job fires", timeout_seconds=10)
    run = system.wait_for_end(system.runs(job)[0].id)

    assert (run.state, run.result, run.error) == (RunState.SUCCEEDED, {"exit_code": 0}, None)
    assert run.exit_code == 0
    assert run.scheduled_for == at
    assert run.started_at is not None
    assert timedelta(0) <= run.started_at - at < timedelta(seconds=2) * crowding()
    stamp = at.isoformat().replace("+00:00", "Z")
    assert sorted(log_of(system, run.id).splitlines()) == [f"hello {stamp} 1", "oops"]


@postgresql_nightly
def test_an_interval_job_fires_every_time_and_on_time(system: System) -> None:
    wait_until_both_are_ready(system)
    job = system.create(interval_seconds=1, overlap_policy=OverlapPolicy.ALLOW_ALL)

    wait_until(
        lambda: sum(run.state is RunState.SUCCEEDED for run in system.runs(job)) >= 6,
        "six runs have succeeded",
        timeout_seconds=20,
    )

    runs = system.runs(job)
    fires = [run.scheduled_for for run in runs if run.scheduled_for is not None]
    assert {later - fire for fire, later in itertools.pairwise(fires)} == {timedelta(seconds=1)}
    late = [
        run.started_at - run.scheduled_for
        for run in runs
        if run.started_at is not None and run.scheduled_for is not None
    ]
    assert max(late) < timedelta(seconds=1) * crowding()


def wait_until_both_are_ready(system: System) -> None:
    """Return once both processes are ready: until then no run can be on time."""
    for name in ("worker", "scheduler"):
        system.wait_until_ready(name)


@postgresql_nightly
def test_a_users_own_tasks_run_unmodified(system: System) -> None:
    name = "tests.integration.user_tasks"

    added = system.wait_for_end(system.start_run(f"{name}.add", x=2, y=3))
    asked = system.wait_for_end(system.start_run(f"{name}.whoami"))
    failed = system.wait_for_end(system.start_run(f"{name}.fail", text="no such table"))
    odd = system.wait_for_end(system.start_run(f"{name}.odd"))

    assert (added.state, added.result) == (RunState.SUCCEEDED, 5)
    assert log_of(system, added.id).splitlines() == [
        "adding 2 and 3",
        "INFO tests.integration.user_tasks: with Celery's logger",
        "WARNING mine: with my own",
    ]
    assert asked.result == {
        "id": str(asked.id),
        "retries": 0,
        "routing_key": "default",
        "called_directly": False,
    }
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error["type"] == "ValueError"
    assert failed.error["message"] == "no such table"
    assert "raise ValueError(text)" in failed.error["traceback"]
    assert odd.state is RunState.SUCCEEDED


# test_retries.py has each way by default.
@pytest.mark.nightly
@postgresql_nightly
def test_celerys_own_retries_are_attempts(system: System) -> None:
    name = "tests.integration.user_tasks"

    flaky, auto = system.start_run(f"{name}.flaky"), system.start_run(f"{name}.auto")
    flaky_run, auto_run = system.wait_for_end(flaky), system.wait_for_end(auto)

    assert (flaky_run.state, flaky_run.result, flaky_run.attempt) == (RunState.SUCCEEDED, 2, 3)
    assert (auto_run.state, auto_run.attempt) == (RunState.FAILED, 2)
    with system.database.reading() as session:
        attempts = history.get(session, flaky).attempts
    assert [(attempt.attempt, attempt.state) for attempt in attempts] == [
        (1, "failed"),
        (2, "failed"),
    ]
    assert attempts[0].error is not None
    assert attempts[0].error["message"] == "try 0"


@postgresql_nightly
def test_a_run_whose_process_is_killed_is_lost_and_says_so(system: System) -> None:
    run = system.wait_for_end(system.start_run("tests.integration.user_tasks.vanish"))

    assert run.state is RunState.LOST
    assert run.reason is not None
    assert "signal 9" in run.reason


# What a cancel does to a task is the same on both, and that it arrives is tested on both.
@sqlite_nightly
@pytest.mark.parametrize(
    "task", ["shell", pytest.param("sleep", marks=pytest.mark.nightly), "spin"]
)
def test_a_running_run_is_cancelled_within_seconds(system: System, task: str) -> None:
    kwargs: dict[str, dict[str, Any]] = {
        "shell": {"command": "sleep 60"},
        "sleep": {"duration": 60},
        "spin": {"seconds": 60},
    }
    name = "tests.integration.user_tasks.spin" if task == "spin" else task
    run_id = system.start_run(name, **kwargs[task])
    system.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "the run starts")

    asked_at = clock.now()
    with system.database.session() as session:
        cancel(session, run_id, mode=CancelMode.GRACEFUL, by="ann", reason="typo", at=asked_at)
    run = system.wait_for_end(run_id)

    assert (run.state, run.cancelled_by, run.reason) == (RunState.CANCELLED, "ann", "typo")
    assert run.finished_at is not None
    assert run.finished_at - asked_at < timedelta(seconds=3) * crowding()


@postgresql_nightly
def test_redis_emptied_loses_nothing(
    make_system: Callable[..., System], own_valkey: ValkeyServer
) -> None:
    system = make_system()
    job = system.create(interval_seconds=1, overlap_policy=OverlapPolicy.ALLOW_ALL)
    system.start("scheduler")
    wait_until(lambda: len(system.runs(job)) >= 2, "runs are recorded", timeout_seconds=15)

    with own_valkey.client() as client:
        client.flushall()
    recorded = len(system.runs(job))
    wait_until(
        lambda: len(system.runs(job)) >= recorded + 3, "it goes on firing", timeout_seconds=10
    )
    system.start("worker")

    wait_until(
        lambda: all(run.state is RunState.SUCCEEDED for run in system.runs(job)[:-2]),
        "also the runs whose messages were lost have run",
        timeout_seconds=40,
    )
    fires = [run.scheduled_for for run in system.runs(job) if run.scheduled_for is not None]
    assert fires == [fires[0] + timedelta(seconds=n) for n in range(len(fires))]
