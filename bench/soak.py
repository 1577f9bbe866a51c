"""`python -m bench.soak [--minutes N]`: an installation is damaged for N minutes, then judged.

It starts `jobs-app up` in a directory of its own, with a shell job every minute and one
every 2 seconds, both made with the command line. Every so often Redis is emptied, or a
process is killed (kill -9): the scheduler, the worker, one of its pool, Valkey. `up`
starts again what died. At the end the checker of the fault tests compares every fire
that the two schedules owe with the runs on record, and with the lines that the jobs
themselves wrote to a file. The exit code is 1 if anything does not fit.
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

#: Nothing is damaged in the last part, so that everything can come to rest.
QUIET_SECONDS = 60

JOBS = {
    "every-minute": ["--cron", "* * * * *"],
    "every-2-seconds": ["--every", "2s", "--overlap", "allow_all"],
}


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to the installation, and how long its effect may last, in seconds."""

    name: str
    inflict: Callable[["Installation"], None]
    recovery_seconds: float


class Installation:
    """A `jobs-app up` on a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.effects = directory / "effects"
        self._environment = os.environ | {
            "JOBS_DATA_DIR": str(self.data),
            "JOBS_PORT": str(free_port()),
        }
        self._log = (directory / "up.log").open("wb")
        self._up = subprocess.Popen(
            [sys.executable, "-m", "jobs_app", "up"],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )

    def wait_until_ready(self) -> None:
        """Return once the web server answers and says that all is well."""
        deadline = time.monotonic() + 60
        while self.say("health").returncode != 0:
            if time.monotonic() > deadline or self._up.poll() is not None:
                raise SystemExit((self.directory / "up.log").read_text())
            time.sleep(0.5)

    def say(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `jobs-app ARGUMENTS`."""
        return subprocess.run(
            [sys.executable, "-m", "jobs_app", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, *arguments: str) -> Any:
        """Return what `jobs-app ARGUMENTS --json` answers."""
        answer = self.say(*arguments, "--json")
        if answer.returncode != 0:
            raise SystemExit(f"jobs-app {' '.join(arguments)}: {answer.stderr}")
        return json.loads(answer.stdout)

    def process(self, word: str) -> psutil.Process:
        """Return the child of `up` whose command line ends with, or names, *word*."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for child in psutil.Process(self._up.pid).children(recursive=True):
                try:
                    command = child.cmdline()
                    parent = child.ppid()
                except psutil.NoSuchProcess:
                    continue
                is_it = word in command[-2:] or Path(command[0] if command else "").name == word
                if is_it and (parent == self._up.pid or word == "valkey-server"):
                    return child
            time.sleep(0.2)
        raise SystemExit(f"no process {word!r} is running")

    def flush(self) -> None:
        """Empty Redis."""
        url = (self.data / "redis-url").read_text().strip()
        with redis.Redis.from_url(url) as client:
            client.flushall()

    def stop(self) -> None:
        """Stop `up` in order."""
        self._up.terminate()
        try:
            self._up.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._up.kill()
        self._log.close()


def _kill(word: str) -> Callable[[Installation], None]:
    return lambda installation: installation.process(word).kill()


def _kill_pool_process(installation: Installation) -> None:
    pool = installation.process("worker").children()
    if pool:
        pool[-1].kill()


DAMAGES = [
    Damage("FLUSHALL", Installation.flush, 20),
    Damage("kill -9 of the scheduler", _kill("scheduler"), 15),
    Damage("kill -9 of the worker", _kill("worker"), 20),
    Damage("kill -9 of Valkey", _kill("valkey-server"), 25),
    Damage("kill -9 of a pool process", _kill_pool_process, 20),
]


def soak(installation: Installation, *, minutes: float, every_seconds: float) -> Verdict:
    """Let the jobs run for *minutes*, do damage *every_seconds*, and judge what happened."""
    installation.wait_until_ready()
    command = recording_command(installation.effects, seconds=0.3)
    created = {
        name: installation.ask(
            *("job", "create", name, "--command", command, *schedule),
            *("--max-attempts", str(MAX_ATTEMPTS), "--retry-delay", "1s"),
        )
        for name, schedule in JOBS.items()
    }
    faults = list(_inflict(installation, minutes * 60, every_seconds))
    until = datetime.now(UTC)
    owed = [_owed(job, until) for job in created.values()]
    rows = _settled(installation, owed, until)
    return check(owed, rows, _effects(installation, until), faults=faults)


def _inflict(installation: Installation, seconds: float, every_seconds: float) -> Iterator[Fault]:
    began = time.monotonic()
    number = 0
    while (left := began + seconds - time.monotonic()) > 0:
        due = began + FIRST_FAULT_SECONDS + number * every_seconds
        if due > began + seconds - QUIET_SECONDS:
            time.sleep(left)
            return
        time.sleep(max(due - time.monotonic(), 0))
        damage = DAMAGES[number % len(DAMAGES)]
        at = datetime.now(UTC)
        damage.inflict(installation)
        print(f"{time.monotonic() - began:7.1f} s  {damage.name}", flush=True)
        yield Fault(damage.name, at, datetime.now(UTC), damage.recovery_seconds)
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
    """Return the runs of the fires up to *until*, once all have ended or a minute has passed."""
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
    found = installation.ask("run", "list", "--job", promise.name, "--all")
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
        for run in found["items"]
    ]


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _effects(installation: Installation, until: datetime) -> list[Effect]:
    """Return what the jobs wrote; what fired after *until* is no part of the soak."""
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
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jobs-soak-") as directory:
        with _running(Path(directory)) as installation:
            verdict = soak(installation, minutes=given.minutes, every_seconds=given.every)
        print(verdict)
        if verdict.findings:
            log = (Path(directory) / "up.log").read_text(errors="replace")
            print(log[-20_000:])
            sys.exit(1)


if __name__ == "__main__":
    main()
