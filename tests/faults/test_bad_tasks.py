"""Tasks that behave badly: their own run says how it ended, and the others never notice."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from jobs_app.core import clock
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs.start import TaskStart, start_task
from jobs_app.runs import history, messages
from jobs_app.runs.cancel import cancel
from jobs_app.worker.output.error_text import MESSAGE_CHARS
from tests.faults.bad_tasks import ERRORS, RESULTS
from tests.faults.installation import Installation
from tests.running import pid_in
from tests.servers import is_alive, wait_until

TASKS = "tests.faults.bad_tasks"


@pytest.fixture
def worker(make_worker: Callable[..., Installation]) -> Installation:
    """A worker with one pool process: what a task does to it, the next one would feel."""
    return make_worker()


def start(installation: Installation, task: str, /, *, given: Any = None, **kwargs: Any) -> UUID:
    """Start a bad task; *given* are the limits of the run."""
    start = TaskStart(f"{TASKS}.{task}", kwargs, limits=RunLimits(**(given or {})))
    with installation.database.session() as session:
        started = start_task(session, start, app=installation.app, by="tester", at=clock.now())
    assert started.message is not None
    messages.publish(installation.app, [started.message])
    return started.run.id


def end_of(installation: Installation, task: str, /, **kwargs: Any) -> Run:
    """Start a bad task, and return its run when it has ended."""
    return installation.wait_for_end(start(installation, task, **kwargs), seconds=40)


def log_of(installation: Installation, run: Run) -> str:
    with installation.database.reading() as session:
        return "".join(chunk.text for chunk in history.log(session, run.id, attempt=1))


@pytest.mark.parametrize(
    "database_url, pool",
    [
        ("sqlite", "prefork"),
        pytest.param("postgresql", "threads", marks=pytest.mark.nightly),
    ],
    indirect=["database_url"],
)
def test_whatever_a_task_returns_or_raises_its_run_ends_and_says_what_it_was(
    make_worker: Callable[..., Installation], pool: str
) -> None:
    installation = make_worker(worker_pool=pool, worker_concurrency=2)
    returned = {what: start(installation, "returns", what=what) for what in RESULTS}
    raised = {what: start(installation, "raises", what=what) for what in ERRORS}

    results = {w: installation.wait_for_end(i, seconds=60) for w, i in returned.items()}
    errors = {w: installation.wait_for_end(i, seconds=60) for w, i in raised.items()}

    assert {what: run.state for what, run in results.items()} == dict.fromkeys(
        RESULTS, RunState.SUCCEEDED
    )
    assert results["100 MB"].result["bytes"] == 100_000_002
    assert results["a set"].result == [1, 2]
    assert "cannot be read" in results["a mute object"].result["who"]
    assert results["no number"].result == {"share": None, "most": None}
    assert "neither NaN nor infinity" in (results["no number"].reason or "")
    assert {what: run.state for what, run in errors.items()} == dict.fromkeys(
        ERRORS, RunState.FAILED
    )
    details = {name: run.error or {} for name, run in errors.items()}
    assert details["unpicklable"]["type"] == "UnpicklableError"
    assert "MuteError" in details["mute"]["message"]
    assert len(details["100 MB"]["message"]) < MESSAGE_CHARS + 100
    assert details["Ctrl-C"]["type"] == "KeyboardInterrupt"
    assert end_of(installation, "fine").state is RunState.SUCCEEDED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_task_does_to_its_process_is_undone_before_the_next_run(
    worker: Installation, tmp_path: Path
) -> None:
    home = end_of(worker, "says_where_it_is").result
    first = end_of(worker, "fine")

    for task, kwargs in {
        "moves_house": {"directory": str(tmp_path)},
        "closes_its_streams": {},
        "replaces_stdout": {},
        "leaves_a_printing_thread": {},
        "leaves_a_daemon": {"pid_file": str(tmp_path / "daemon")},
        "leaves_a_transaction": {"file": str(tmp_path / "other.db")},
        "eats_memory": {},
        "goes_deaf": {},
    }.items():
        bad = end_of(worker, task, **kwargs)
        wanted = RunState.FAILED if task == "eats_memory" else RunState.SUCCEEDED
        assert bad.state is wanted, task
        next_run = end_of(worker, "fine")
        assert next_run.result == first.result, f"{task} cost us the process"
        assert log_of(worker, next_run) == "all is well\n", task

    assert end_of(worker, "says_where_it_is").result == home
    # Deaf no more: the limit is a signal.
    began = time.monotonic()
    limited = end_of(worker, "naps", seconds=30, given={"soft_time_limit_seconds": 1})
    assert limited.state is RunState.TIMED_OUT
    assert time.monotonic() - began < 15
    assert not is_alive(pid_in(tmp_path / "daemon"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_child_that_a_task_lets_come_back_does_not_act_as_the_worker(
    worker: Installation,
) -> None:
    run = end_of(worker, "comes_back_twice")

    assert (run.state, run.result) == (RunState.SUCCEEDED, "parent")
    assert end_of(worker, "fine").state is RunState.SUCCEEDED
    assert "late_result" not in worker.log("worker")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_task_that_ends_its_process_loses_its_own_run_only(worker: Installation) -> None:
    ended = {
        "exits": end_of(worker, "exits", code=3),
        "aborts": end_of(worker, "aborts"),
    }
    defiant = end_of(
        worker,
        "defies_its_limit",
        given={"soft_time_limit_seconds": 1, "time_limit_seconds": 2},
    )

    assert {run.state for run in ended.values()} == {RunState.LOST}
    assert "exitcode 3" in str(ended["exits"].reason)
    assert "signal 6" in str(ended["aborts"].reason)
    assert defiant.state is RunState.TIMED_OUT
    assert log_of(worker, defiant) == "so what\n"
    assert end_of(worker, "fine").state is RunState.SUCCEEDED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "mode", [CancelMode.GRACEFUL, pytest.param(CancelMode.KILL, marks=pytest.mark.nightly)]
)
def test_a_task_that_lets_nothing_run_beside_it_is_cancelled_from_outside(
    worker: Installation, tmp_path: Path, mode: CancelMode
) -> None:
    pid_file = tmp_path / "pid"
    given = {"kill_grace_seconds": 2}
    run_id = start(worker, "spins_in_c", pid_file=str(pid_file), given=given)
    pid = pid_in(pid_file)

    with worker.database.session() as session:
        cancel(session, run_id, mode=mode, by="ann", reason="typo", at=clock.now())
    asked = time.monotonic()
    run = worker.wait_for_end(run_id)

    assert (run.state, run.cancelled_by) == (RunState.CANCELLED, "ann")
    assert time.monotonic() - asked < 10
    assert not is_alive(pid)
    assert end_of(worker, "fine").state is RunState.SUCCEEDED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_process_without_free_descriptors_is_replaced(worker: Installation) -> None:
    main = psutil.Process(worker.processes["worker"].pid)
    [pool_process] = [each for each in main.children() if each.cmdline() == main.cmdline()]
    pool_process.rlimit(resource.RLIMIT_NOFILE, (128, 128))

    greedy = end_of(worker, "keeps_files_open")
    after = [end_of(worker, "fine") for _ in range(3)]
    shell = worker.wait_for_end(worker.start_run("shell", command="echo hello"))

    assert greedy.state is RunState.FAILED
    assert greedy.error is not None
    assert "Too many open files" in greedy.error["message"]
    states = {run.state for run in [*after, shell]}
    assert states == {RunState.SUCCEEDED}, [run.error for run in after]
    wait_until(lambda: not is_alive(pool_process.pid), "the worn-out process is gone")
