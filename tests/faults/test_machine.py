"""The machine under the processes: it sleeps, has no descriptors left, loses files."""

import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from jobs_app.core.states import OverlapPolicy, RunState
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.profiles import sqlite_nightly
from tests.servers import wait_until

#: New connections, and the fires of the outage one after the other.
RECOVERY_SECONDS = 15.0


@sqlite_nightly
@pytest.mark.nightly
def test_a_machine_that_sleeps_for_longer_than_the_fence_doubles_and_loses_nothing(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    short = installation.record()
    long = installation.record(
        seconds=6, interval_seconds=8, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    wait_until(
        lambda: any(run.state is RunState.RUNNING for run in installation.runs(long)), "it works"
    )
    installation.wait_for_runs(short, 2)

    with installation.fault("asleep", recovery_seconds=RECOVERY_SECONDS, excuses=["lost"]):
        asleep = installation.freeze("scheduler")
        asleep += installation.freeze("worker", with_jobs=True)
        # The clock of the lease goes on while a machine sleeps.
        pause(2 * installation.settings.lost_seconds)
        installation.thaw(asleep)
    installation.wait_for_runs(short, 5)
    installation.wait_for_runs(long, 1)

    verdict = installation.assert_right(short, long)
    assert verdict.started == verdict.owed


@contextmanager
def without_descriptors(installation: Installation, name: str) -> Iterator[None]:
    """Let a process of ours open nothing more."""
    process = psutil.Process(installation.processes[name].pid)
    usual = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_NOFILE, usual)


@sqlite_nightly
@pytest.mark.parametrize("name", ["worker", pytest.param("scheduler", marks=pytest.mark.nightly)])
def test_a_process_without_descriptors_goes_on_when_it_has_some_again(
    installation: Installation, name: str
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)

    excuses = ["lost"] if name == "worker" else []
    with (
        installation.fault(
            f"{name} opens nothing", recovery_seconds=RECOVERY_SECONDS, excuses=excuses
        ),
        without_descriptors(installation, name),
    ):
        pause(2 * installation.settings.lost_seconds)
    installation.wait_for_runs(job, 5, seconds=40)

    assert installation.processes[name].poll() is None
    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_log_of_changes_that_is_removed_is_noticed_and_leaves_a_sound_database(
    installation: Installation, tmp_path: Path
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 3)
    installation.database.close()

    (tmp_path / "jobs.db-wal").unlink()
    # Not in silence, writing where nobody reads.
    wait_until(lambda: "database_unavailable" in installation.log("scheduler"), "the clock says so")
    wait_until(lambda: "heartbeat_failed" in installation.log("worker"), "the worker says so")
    for name in ("worker", "scheduler"):
        installation.signal(name, signal.SIGTERM)
        installation.processes[name].wait(30)
    # What was only in the log may be gone with it; what was put in its place is not.
    for name in ("worker", "scheduler"):
        installation.start_ready(name)

    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_run_prints_lies_in_no_file_that_could_be_removed_under_it(
    installation: Installation, tmp_path: Path
) -> None:
    installation.start_ready("worker")
    run_id = installation.start_run(
        "shell", command="for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done"
    )
    installation.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    main = psutil.Process(installation.processes["worker"].pid)
    written = {
        Path(file.path)
        for process in [main, *main.children(recursive=True)]
        for file in process.open_files()
        if file.mode not in ("r", "rb") and Path(file.path).is_relative_to(tmp_path)
    }

    assert {file.name for file in written} <= {
        "jobs.db",
        "jobs.db-wal",
        "jobs.db-shm",
        "worker.log",
    }
    assert installation.wait_for_end(run_id).state is RunState.SUCCEEDED
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        assert connection.execute("SELECT log_bytes FROM runs").fetchall() == [(12,)]
