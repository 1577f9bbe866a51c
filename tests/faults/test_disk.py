"""No room on the disk: loud, without damage, and over as soon as there is room again."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs_app.states import RunState
from tests.faults.installation import Installation
from tests.integration.system import pause, since
from tests.servers import wait_until

#: The next scan, and the fires of the outage one after the other.
RECOVERY_SECONDS = 10.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root can make a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """Leave no room on a file system; return the file that takes it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_full_disk_stops_the_clock_loudly_and_loses_nothing(
    make_installation: Callable[..., Installation], migrated_sqlite: Path, small_disk: Path
) -> None:
    shutil.copyfile(migrated_sqlite, small_disk / "jobs.db")
    installation = make_installation(
        f"sqlite:///{small_disk / 'jobs.db'}", fence_seconds=30, lost_seconds=40
    )
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)
    # It ends while the disk is full.
    run_id = installation.start_run("shell", command="sleep 3")
    installation.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    with installation.fault("disk full", recovery_seconds=RECOVERY_SECONDS):
        filler = fill(small_disk)
        wait_until(lambda: "finish_failed" in installation.log("worker"), "no result is written")
        wait_until(
            lambda: "database_unavailable" in installation.log("scheduler"), "the clock says so"
        )
        pause(2)
        last = max(run.created_at for run in installation.runs(job))
        assert since(last) > 2, "fires are recorded on a full disk"
        filler.unlink()

    run = installation.wait_for_end(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    installation.wait_for_runs(job, 3)
    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    with sqlite3.connect(small_disk / "jobs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
