"""The programs that a task in Python starts end with its run, however that ends."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode, RunState
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import history, messages
from jobs_app.runs.cancel import cancel
from tests.faults.installation import Installation
from tests.faults.program_tasks import HELPERS, STARTS
from tests.servers import is_alive, wait_until

TASKS = "tests.faults.program_tasks"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(params=["prefork"])
def worker(
    request: pytest.FixtureRequest,
    make_installation: Callable[..., Installation],
    database_url: str,
) -> Installation:
    """A worker for one run at a time, which knows the tasks that start programs."""
    installation = make_installation(
        database_url, imports=TASKS, worker_concurrency=1, worker_pool=request.param
    )
    installation.start_ready("worker")
    return installation


def start(installation: Installation, task: str, /, *, limits: Any = None, **kwargs: Any) -> UUID:
    given = TaskStart(f"{TASKS}.{task}", kwargs, limits=RunLimits(**(limits or {})))
    with installation.database.session() as session:
        started = start_task(session, given, app=installation.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(installation.app, [started.message])
    return started.run.id


def log_of(installation: Installation, run_id: UUID) -> str:
    with installation.database.reading() as session:
        return "".join(chunk.text for chunk in history.log(session, run_id, attempt=1))


def pids_in(file: Path, count: int = 1) -> list[int]:
    wait_until(lambda: file.exists() and file.read_text().count("\n") >= count, f"{file} is there")
    return list(map(int, file.read_text().split()))


@pytest.mark.parametrize(
    "worker", ["prefork", pytest.param("solo", marks=pytest.mark.nightly)], indirect=True
)
def test_what_a_task_leaves_behind_is_ended_and_named_in_its_log(
    worker: Installation, tmp_path: Path
) -> None:
    pid = worker.wait_for_end(start(worker, "greets")).result
    for number, what in enumerate(STARTS):
        file = tmp_path / f"pids-{number}"

        run_id = start(worker, "leaves", what=what, file=str(file))
        run = worker.wait_for_end(run_id)

        assert run.state is RunState.SUCCEEDED, (what, run.error)
        [left] = pids_in(file)
        assert not is_alive(left), what
        assert f"({left})" in log_of(worker, run_id), what
        assert "still running" in log_of(worker, run_id), what
        after = start(worker, "greets")
        assert worker.wait_for_end(after).result == pid, what
        assert log_of(worker, run_id).count("\n") == 1, what


@pytest.mark.parametrize(
    "limits, mode, state",
    [
        ({"time_limit_seconds": 2}, None, RunState.TIMED_OUT),
        ({"soft_time_limit_seconds": 1}, None, RunState.TIMED_OUT),
        ({}, CancelMode.GRACEFUL, RunState.CANCELLED),
        ({}, CancelMode.KILL, RunState.CANCELLED),
    ],
)
def test_a_run_that_is_stopped_takes_its_programs_along(
    worker: Installation, tmp_path: Path, limits: Any, mode: CancelMode | None, state: RunState
) -> None:
    file = tmp_path / "pids"
    run_id = start(worker, "waits", what="a daemon", file=str(file), limits=limits)
    pids = pids_in(file, 2)

    if mode is not None:
        with worker.database.session() as session:
            cancel(session, run_id, mode=mode, by="ann", reason="typo", at=clock.now())
    run = worker.wait_for_end(run_id)

    assert run.state is state
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("what", ["a daemon", "a stubborn one"])
def test_the_programs_of_a_pool_process_that_died_end_before_its_run(
    worker: Installation, tmp_path: Path, what: str
) -> None:
    file = tmp_path / "pids"

    run = worker.wait_for_end(start(worker, "dies", what=what, file=str(file)))

    assert run.state is RunState.LOST
    assert not any(map(is_alive, pids_in(file)))
    assert worker.wait_for_end(start(worker, "greets")).state is RunState.SUCCEEDED


def test_a_pool_process_that_somebody_kills_takes_its_programs_along(
    worker: Installation, tmp_path: Path
) -> None:
    pool_process = int(worker.wait_for_end(start(worker, "greets")).result)
    file = tmp_path / "pids"
    run_id = start(worker, "waits", what="a daemon", file=str(file))
    pids = pids_in(file, 2)

    os.kill(pool_process, signal.SIGKILL)

    assert worker.wait_for_end(run_id).state is RunState.LOST
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize(
    "method",
    [
        "fork",
        *(pytest.param(other, marks=pytest.mark.nightly) for other in ("spawn", "forkserver")),
    ],
)
def test_a_task_may_divide_its_work_among_processes(worker: Installation, method: str) -> None:
    for _ in range(2):
        run_id = start(worker, "divides", method=method)
        run = worker.wait_for_end(run_id, seconds=50)

        assert run.state is RunState.SUCCEEDED, run.error
        squares = [0, 1, 4, 9]
        assert run.result[:4] == ["hello", squares, squares, [1, 2, 3]]
        # Its services are no programs of the run.
        assert log_of(worker, run_id) == ""


def stop(worker: Installation, run_id: UUID) -> None:
    with worker.database.session() as session:
        mode = CancelMode.GRACEFUL
        cancel(session, run_id, mode=mode, by="ann", reason="typo", at=clock.now())


@pytest.mark.parametrize(
    "worker, method, helpers",
    [
        ("prefork", "fork", ["a pool"]),
        ("solo", "fork", ["a pool", "a lazy pool"]),
        ("threads", "fork", list(HELPERS)),
        *(
            pytest.param(pool, "spawn", list(HELPERS), marks=pytest.mark.nightly)
            for pool in ("prefork", "solo", "threads")
        ),
    ],
    indirect=["worker"],
)
def test_a_run_that_is_stopped_takes_its_processes_along(
    worker: Installation, tmp_path: Path, method: str, helpers: list[str]
) -> None:
    for by in helpers:
        file = tmp_path / by
        run_id = start(worker, "is_helped", by=by, method=method, file=str(file))
        pids = pids_in(file, 2)

        stop(worker, run_id)
        run = worker.wait_for_end(run_id)

        assert run.state is RunState.CANCELLED, by
        # It was interrupted: its process was not killed at the end of the grace.
        assert "cleaned up" in log_of(worker, run_id), by
        wait_until(lambda pids=pids: not any(map(is_alive, pids)), f"{by} ends")  # type: ignore[misc]  # a default


@pytest.mark.parametrize("worker", ["solo", "threads"], indirect=True)
def test_a_time_limit_ends_the_processes_of_a_task_in_every_pool(
    worker: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "pids"
    arguments = {"by": "a pool", "method": "fork", "file": str(file)}

    run = worker.wait_for_end(
        start(worker, "is_helped", limits={"time_limit_seconds": 1}, **arguments)
    )

    assert run.state is RunState.TIMED_OUT
    wait_until(lambda: not any(map(is_alive, pids_in(file))), "they end")


def test_a_program_of_a_task_gains_no_privileges_and_dumps_no_core(worker: Installation) -> None:
    run = worker.wait_for_end(start(worker, "has_rights"))

    assert run.result.split() == ["NoNewPrivs:", "1", "0"]
