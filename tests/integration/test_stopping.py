"""Runs that must stop do stop, even if their task ignores it or the database hangs."""

import os
import signal
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode, RunState
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import cancel as runs_cancel
from jobs_app.runs import messages, workers
from jobs_app.runs.retry import RetryPolicy
from tests.factories import make_run
from tests.integration.system import System, pool_process_of
from tests.profiles import postgresql_nightly, threads_nightly
from tests.running import pid_in
from tests.servers import ValkeyServer, is_alive, wait_until
from tests.tasks.builtin.shop_worker import running_shop

#: Celery's worker_soft_shutdown_timeout, as we set it.
SOFT_SHUTDOWN_SECONDS = 10


def start_dozing(system: System, pid_file: Path, *, kill_grace_seconds: int = 10) -> UUID:
    """Start a Python task that no exception reaches, and wait until it sleeps."""
    start = TaskStart(
        "tests.integration.user_tasks.doze",
        {"seconds": 90, "pid_file": str(pid_file)},
        limits=RunLimits(kill_grace_seconds=kill_grace_seconds),
    )
    with system.database.session() as session:
        started = start_task(session, start, app=system.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(system.app, [started.message])
    system.wait_for(started.run.id, lambda run: run.state is RunState.RUNNING, "it runs")
    return started.run.id


def cancel(system: System, run_id: UUID, mode: CancelMode) -> None:
    """Cancel a run, as the API does."""
    with system.database.session() as session:
        runs_cancel.cancel(session, run_id, mode=mode, by="tester", reason="test", at=clock.now())


@postgresql_nightly
def test_a_kill_ends_a_run_with_a_long_grace_at_once(system: System, tmp_path: Path) -> None:
    run_id = start_dozing(system, tmp_path / "pid", kill_grace_seconds=600)
    cancel(system, run_id, CancelMode.GRACEFUL)
    wait_until(lambda: _has_seen_cancel(system), "the worker saw the first one")

    cancel(system, run_id, CancelMode.KILL)

    run = system.wait_for_end(run_id, seconds=15)
    assert run.state is RunState.CANCELLED


def _has_seen_cancel(system: System) -> bool:
    return "run_interrupted" in system.log("worker")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_lease_that_runs_out_stops_a_task_also_while_the_database_hangs(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system(imports="tests.integration.user_tasks")
    system.start("worker")
    start_dozing(system, tmp_path / "pid")
    pid = pid_in(tmp_path / "pid")

    with system.database.session() as held:
        held.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        system.signal("worker", signal.SIGSTOP)

        wait_until(lambda: not is_alive(pid), "the task's process is gone", timeout_seconds=10)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_command_whose_worker_process_died_is_dead_before_its_run_is_lost(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system(worker_concurrency=1)
    system.start("scheduler")
    worker = system.start("worker")
    pid_file = tmp_path / "pid"
    run_id = system.start_run("shell", command=f"trap '' TERM; echo $$ > {pid_file}; sleep 60")
    command = pid_in(pid_file)

    os.kill(pool_process_of(worker), signal.SIGKILL)

    run = system.wait_for_end(run_id)
    assert not is_alive(command)
    assert run.state is RunState.LOST


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.few(2)
@pytest.mark.parametrize("pool", ["threads", "solo"])
@pytest.mark.parametrize(
    "limit",
    [pytest.param("soft_time_limit_seconds", marks=pytest.mark.nightly), "time_limit_seconds"],
)
def test_a_time_limit_holds_in_pools_that_know_none(
    make_system: Callable[..., System], pool: str, limit: str
) -> None:
    system = make_system(imports="tests.integration.user_tasks", worker_pool=pool)
    system.start("worker")
    limits = RunLimits(**{limit: 2})
    start = TaskStart("tests.integration.user_tasks.spin", {"seconds": 60}, limits=limits)
    with system.database.session() as session:
        started = start_task(session, start, app=system.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(system.app, [started.message])

    assert system.wait_for_end(started.run.id).state is RunState.TIMED_OUT


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_worker_that_is_asked_to_stop_lets_its_runs_finish(
    make_system: Callable[..., System], tmp_path: Path, pool: str
) -> None:
    system = make_system(worker_pool=pool)
    worker = system.start("worker")
    run_id = system.start_run("shell", command=f"echo $$ > {tmp_path}/pid; sleep 3; echo done")
    pid_in(tmp_path / "pid")

    # The second one changes nothing: a service manager may send several.
    system.signal("worker", signal.SIGTERM)
    system.signal("worker", signal.SIGTERM)

    assert worker.wait(timeout=30) == 0
    run = system.run(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_command_is_dead_before_its_run_is_lost_by_a_worker_that_must_stop_at_once(
    make_system: Callable[..., System], tmp_path: Path, pool: str
) -> None:
    system = make_system(worker_pool=pool)
    system.start("scheduler")
    worker = system.start("worker")
    written = tmp_path / "written"
    stubborn = "trap '' TERM; while :; do date +%s.%N >> $F; sleep 0.02; done"
    file = f"export F={written}"
    run_id = system.start_run("shell", command=f'{file}; setsid sh -c "{stubborn}" & {stubborn}')
    wait_until(lambda: written.exists(), "the command works", timeout_seconds=20)

    system.signal("worker", signal.SIGQUIT)
    wait_until(
        lambda: "Soft Shutdown" in system.log("worker"), "the worker has handled the first signal"
    )
    system.signal("worker", signal.SIGQUIT)

    run = system.wait_for_end(run_id, seconds=40)
    assert (run.state, run.reason) == (RunState.LOST, "The worker was stopped.")
    assert run.finished_at is not None
    lines = [float(line) for line in written.read_text().splitlines() if line[-10:-9] == "."]
    assert max(lines) < run.finished_at.timestamp()
    worker.wait(timeout=30)
    with system.database.reading() as session:
        assert workers.living(session) == {}, "it has not signed off"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("pool", ["prefork", threads_nightly])
def test_a_worker_that_must_stop_soon_goes_when_its_last_run_has_ended(
    make_system: Callable[..., System], tmp_path: Path, pool: str
) -> None:
    system = make_system(worker_pool=pool)
    worker = system.start("worker")
    go_on = tmp_path / "go-on"
    command = f"echo $$ > {tmp_path}/pid; while [ ! -e {go_on} ]; do sleep 0.02; done"
    run_id = system.start_run("shell", command=command)
    pid_in(tmp_path / "pid")

    system.signal("worker", signal.SIGQUIT)
    wait_until(lambda: "Soft Shutdown" in system.log("worker"), "the worker has handled the signal")
    go_on.touch()

    worker.wait(timeout=SOFT_SHUTDOWN_SECONDS - 2)
    assert system.run(run_id).state is RunState.SUCCEEDED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_whose_worker_must_stop_at_once_is_tried_again_by_policy(
    make_system: Callable[..., System], tmp_path: Path
) -> None:
    system = make_system()
    system.start("scheduler")
    worker = system.start("worker")
    written = tmp_path / "written"
    line = f"echo $JOBS_ATTEMPT $(date +%s.%N) >> {written}"
    command = f"{line}; [ $JOBS_ATTEMPT = 2 ] || while :; do sleep 0.05; {line}; done"
    job = system.create(
        task="shell",
        kwargs={"command": command},
        once_at=clock.now() + timedelta(seconds=1),
        retry=RetryPolicy(max_attempts=2, delay_seconds=0, jitter=False),
    )
    wait_until(lambda: written.exists(), "the command works", timeout_seconds=20)

    system.signal("worker", signal.SIGQUIT)
    wait_until(
        lambda: "Soft Shutdown" in system.log("worker"), "the worker has handled the first signal"
    )
    system.signal("worker", signal.SIGQUIT)
    worker.wait(timeout=30)
    system.start("worker-2")

    run = system.wait_for_end(system.runs(job)[0].id, seconds=30)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    lines = [line.split() for line in written.read_text().splitlines()]
    assert [attempt for attempt, _ in lines] == ["1"] * (len(lines) - 1) + ["2"]


@pytest.mark.nightly
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "stopped"])
@pytest.mark.parametrize("is_rpc", [True, False], ids=["rpc", "redis"])
def test_a_task_of_another_celery_is_waited_for_after_the_loss_of_a_worker_and_runs_once(
    make_system: Callable[..., System], tmp_path: Path, is_rpc: bool, is_killed: bool
) -> None:
    system = make_system()
    with closing(ValkeyServer(tcp=True)) as server:
        server.start()
        url = server.url.partition("?")[0]
        system.environment["JOBS_CELERY_ALLOW"] = "127.0.0.1, localhost"
        system.start("scheduler")
        worker = system.start("worker")
        kwargs = {
            "broker": url,
            "result_backend": "rpc://" if is_rpc else url,
            "task": "shop.work_by_rpc" if is_rpc else "shop.work",
            "kwargs": {"directory": str(tmp_path)},
        }
        run_id = make_run(system.database, task="celery", kwargs=kwargs, at=clock.now())
        system.wait_for(run_id, lambda run: run.result is not None, "the message is on record")
        if is_killed:
            os.killpg(worker.pid, signal.SIGKILL)
            system.kill("worker")
        else:
            system.signal("worker", signal.SIGQUIT)
        run = system.wait_for(run_id, lambda run: run.attempt == 2, "it tries again", seconds=40)
        assert run.finished_at is None
        (tmp_path / "gate").touch()
        with running_shop(tmp_path, broker=url, results=url) as log:
            wait_until(lambda: (tmp_path / "ended").exists(), "the shop has worked")

            system.start("worker-2")

            run = system.wait_for_end(run_id, seconds=40)
            received = log.read_text().count("] received")
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert (run.result["id"], run.result["result"]) == (str(run_id), "worked")
    assert received == 1
