"""No room on the disk: loud, without damage, and over as soon as there is room again."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from jobs_app.core.states import RunState
from tests.faults.installation import Installation
from tests.integration.system import pause, since
from tests.servers import wait_until

#: The next scan, and the fires of the outage one after the other.
RECOVERY_SECONDS = 10.0


class SmallDisk:
    """A directory on a file system of 3 MB, where one can be made.

    Elsewhere (only root may) it is any directory, and the processes may let no file grow.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._filler = place / "filler"
        self._limited: list[psutil.Process] = []
        mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
        self._is_small = os.geteuid() == 0 and self._succeeds(mount)

    def fill(self, installation: Installation) -> None:
        """Leave no room."""
        if not self._is_small:
            self._limit(installation, (self.place / "jobs.db-wal").stat().st_size)
            return
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)
        for process in self._limited:
            with suppress(psutil.NoSuchProcess):
                process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))

    def close(self) -> None:
        """Remove the file system."""
        if self._is_small:
            self._succeeds(["umount", "--lazy", str(self.place)])

    def _limit(self, installation: Installation, size: int) -> None:
        for process in map(psutil.Process, (p.pid for p in installation.processes.values())):
            self._limited += [process, *process.children()]
        for process in self._limited:
            process.rlimit(psutil.RLIMIT_FSIZE, (size, psutil.RLIM_INFINITY))

    def _succeeds(self, command: list[str]) -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that can be filled."""
    place = tmp_path / "small"
    place.mkdir()
    disk = SmallDisk(place)
    yield disk
    disk.close()


def test_a_full_disk_stops_the_clock_loudly_and_loses_nothing(
    make_installation: Callable[..., Installation], migrated_sqlite: Path, small_disk: SmallDisk
) -> None:
    shutil.copyfile(migrated_sqlite, small_disk.place / "jobs.db")
    installation = make_installation(
        f"sqlite:///{small_disk.place / 'jobs.db'}", fence_seconds=30, lost_seconds=40
    )
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)
    # It ends while the disk is full.
    run_id = installation.start_run("shell", command="sleep 3")
    installation.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    with installation.fault("disk full", recovery_seconds=RECOVERY_SECONDS):
        small_disk.fill(installation)
        wait_until(lambda: "finish_failed" in installation.log("worker"), "no result is written")
        wait_until(
            lambda: "database_unavailable" in installation.log("scheduler"), "the clock says so"
        )
        pause(2)
        last = max(run.created_at for run in installation.runs(job))
        assert since(last) > 2, "fires are recorded on a full disk"
        small_disk.free()

    run = installation.wait_for_end(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    installation.wait_for_runs(job, 3)
    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    with sqlite3.connect(small_disk.place / "jobs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
