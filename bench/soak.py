"""`python -m bench.soak [--minutes N]` injects faults for N minutes, then checks all runs.

It starts `jobs-app up` in a new directory and creates two shell jobs with the command line:
one runs every minute, one every 2 seconds. At intervals it empties Redis or kills (kill -9)
the scheduler, the worker, a pool process or Valkey. `up` starts dead processes again. At
the end the checker of the fault tests compares every due fire with the recorded runs, and
with the lines that the jobs wrote to a file. The exit code is 1 on any difference.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis

from jobs_app.up.valkey import free_port
from tests.faults.checker import (
    FINAL,
    Effect,
    Fault,
    Owed,
    Row,
    Verdict,
    check,
    cron_fires,
    interval_fires,
    read_effects,
    recording_command,
)

MAX_ATTEMPTS = 4
FIRST_FAULT_SECONDS = 30

#: No faults at the end, so that all runs can finish.
QUIET_SECONDS = 60

JOBS = {
    "every-minute": ["--cron", "* * * * *"],
    "every-2-seconds": ["--every", "2s", "--overlap", "allow_all"],
}


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A fault to inject, and how long its effect may last, in seconds."""

    name: str
    inject: Callable[["Installation"], None]
    recovery_seconds: float


class Installation:
    """A `jobs-app up` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.effects = directory / "effects"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {
            "JOBS_DATA_DIR": str(self.data),
            "JOBS_PORT": str(port),
        }
        self._log = (directory / "up.log").open("wb")
        self._up = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs_app", "up"],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )

    def wait_until_ready(self) -> None:
        """Return once `jobs-app health` succeeds."""
        deadline = time.monotonic() + 60
        while self.command("health").returncode != 0:
            if time.monotonic() > deadline or self._up.poll() is not None:
                raise SystemExit((self.directory / "up.log").read_text())
            time.sleep(0.5)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `jobs-app ARGUMENTS`."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "jobs_app", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Run `jobs-app ARGUMENTS --json` and return the parsed JSON."""
        completed = self.command(*arguments, "--json")
        if completed.returncode != 0:
            raise SystemExit(f"jobs-app {' '.join(arguments)}: {completed.stderr}")
        return json.loads(completed.stdout)

    @property
    def headers(self) -> dict[str, str]:
        """What a request of the administrator carries."""
        return {"Authorization": f"Bearer {(self.data / 'admin-token').read_text().strip()}"}

    def processes(self) -> list[psutil.Process]:
        """Return all processes of `up`, itself included."""
        up = psutil.Process(self._up.pid)
        return [up, *up.children(recursive=True)]

    def process(self, word: str) -> psutil.Process:
        """Return the process *word* of `up`: one of ours, or `valkey-server`."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            up = psutil.Process(self._up.pid)
            # `up` has a process of its own that forks ours.
            parents = {child.pid for child in up.children()}
            for child in up.children(recursive=True):
                try:
                    command = child.cmdline()
                    parent = child.ppid()
                except psutil.NoSuchProcess:
                    continue
                # Our own processes show one text as their command line: `jobs-app worker`.
                words = command[0].split() if command else []
                matches = words == ["jobs-app", word] or Path(*words[:1]).name == word
                if matches and (parent in parents or word == "valkey-server"):
                    return child
            time.sleep(0.2)
        raise SystemExit(f"no process {word!r} is running")

    def flush(self) -> None:
        """Empty Redis."""
        url = (self.data / "redis-url").read_text().strip()
        with redis.Redis.from_url(url) as client:
            client.flushall()

    def stop(self) -> None:
        """Terminate `up`; kill it after 30 seconds."""
        self._up.terminate()
        try:
            self._up.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._up.kill()
        self._log.close()


def _kill(word: str) -> Callable[[Installation], None]:
    return lambda installation: installation.process(word).kill()


def _kill_pool_process(installation: Installation) -> None:
    worker = installation.process("worker")
    pool = [child for child in worker.children() if child.cmdline() == worker.cmdline()]
    if pool:
        pool[-1].kill()


FAULT_KINDS = [
    FaultKind("FLUSHALL", Installation.flush, 20),
    FaultKind("kill -9 of the scheduler", _kill("scheduler"), 15),
    FaultKind("kill -9 of the worker", _kill("worker"), 20),
    FaultKind("kill -9 of Valkey", _kill("valkey-server"), 25),
    FaultKind("kill -9 of a pool process", _kill_pool_process, 20),
]


def soak(installation: Installation, *, minutes: float, every_seconds: float) -> Verdict:
    """Run the jobs for *minutes*, inject a fault *every_seconds*, and return the verdict."""
    installation.wait_until_ready()
    command = recording_command(installation.effects, seconds=0.3)
    created = {
        name: installation.json(
            *("job", "create", name, "--command", command, *schedule),
            *("--max-attempts", str(MAX_ATTEMPTS), "--retry-delay", "1s"),
        )
        for name, schedule in JOBS.items()
    }
    faults = list(_inject(installation, minutes * 60, every_seconds))
    until = datetime.now(UTC)
    owed = [_owed(job, until) for job in created.values()]
    rows = _settled(installation, owed, until)
    return check(owed, rows, _effects(installation, until), faults=faults)


def _inject(installation: Installation, seconds: float, every_seconds: float) -> Iterator[Fault]:
    started = time.monotonic()
    number = 0
    while (left := started + seconds - time.monotonic()) > 0:
        due = started + FIRST_FAULT_SECONDS + number * every_seconds
        if due > started + seconds - QUIET_SECONDS:
            time.sleep(left)
            return
        time.sleep(max(due - time.monotonic(), 0))
        fault_kind = FAULT_KINDS[number % len(FAULT_KINDS)]
        at = datetime.now(UTC)
        fault_kind.inject(installation)
        print(f"{time.monotonic() - started:7.1f} s  {fault_kind.name}", flush=True)
        yield Fault(fault_kind.name, at, datetime.now(UTC), fault_kind.recovery_seconds)
        number += 1


def _owed(job: dict[str, Any], until: datetime) -> Owed:
    created_at = datetime.fromisoformat(job["created_at"])
    schedule = job["schedule"]
    if "cron" in schedule:
        fires = cron_fires(schedule["cron"], "UTC", after=created_at, until=until)
    else:
        anchor_at = datetime.fromisoformat(schedule["anchor_at"])
        seconds = schedule["interval_seconds"]
        fires = interval_fires(anchor_at, seconds, after=created_at, until=until)
    is_exclusive = job["overlap_policy"] != "allow_all"
    return Owed(job["id"], job["name"], fires, MAX_ATTEMPTS, is_exclusive)


def _settled(installation: Installation, owed: list[Owed], until: datetime) -> list[Row]:
    """Return the runs of the fires up to *until*, once all are final or a minute has passed."""
    deadline = time.monotonic() + 60
    while True:
        rows = [
            row
            for promise in owed
            for row in _rows(installation, promise)
            if row.scheduled_for is not None and row.scheduled_for <= until
        ]
        if all(row.state in FINAL for row in rows) or time.monotonic() > deadline:
            return rows
        time.sleep(1)


def _rows(installation: Installation, promise: Owed) -> list[Row]:
    page = installation.json("run", "list", "--job", promise.name, "--all")
    return [
        Row(
            run["id"],
            promise.job_id,
            _instant(run["scheduled_for"]),
            run["state"],
            run["attempt"],
            run["reason"],
            _instant(run["finished_at"]),
        )
        for run in page["items"]
    ]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _effects(installation: Installation, until: datetime) -> list[Effect]:
    """Return the lines that the jobs wrote, without those of fires after *until*."""
    return [
        effect
        for effect in read_effects(installation.effects)
        if effect.scheduled_for is not None and effect.scheduled_for <= until
    ]


@contextmanager
def _running(directory: Path) -> Iterator[Installation]:
    installation = Installation(directory)
    try:
        yield installation
    finally:
        installation.stop()


def main() -> None:
    """Run the soak and print the verdict."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--every", type=float, default=40.0, help="seconds between faults (40)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jobs-soak-") as directory:
        with _running(Path(directory)) as installation:
            verdict = soak(installation, minutes=options.minutes, every_seconds=options.every)
        print(verdict)
        if verdict.findings:
            log = (Path(directory) / "up.log").read_text(errors="replace")
            print(log[-20_000:])
            sys.exit(1)


if __name__ == "__main__":
    main()
