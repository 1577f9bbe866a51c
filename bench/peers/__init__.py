"""The peers, installed from PyPI into a separate environment: bench/.peers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

FOLDER = Path(__file__).parent
ENVIRONMENT = FOLDER.parent / ".peers"
REQUIREMENTS = FOLDER / "requirements.txt"

#: The Redis list to which the task `mark` of noops.py adds its start time.
MARKS = "bench-marks"


@dataclass(frozen=True)
class Pool:
    """A worker's pool: Celery's name for it, and how many tasks it runs at once."""

    name: str
    size: int


def python() -> str:
    """Return the interpreter of the peers' environment; the first call installs it."""
    program = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "installed.txt"
    requirements = REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != requirements:
        print(f"installing the peers into {ENVIRONMENT.relative_to(FOLDER.parent.parent)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run(
            [str(program), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=True
        )
        stamp.write_text(requirements)
    return str(program)


def versions() -> dict[str, str]:
    """Return the installed versions of the peers and their libraries."""
    script = "import json, sys; from importlib.metadata import version as v\n"
    script += "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    packages = ["celery", "celery-redbeat", "django-celery-beat", "kombu", "redis", "django"]
    packages += ["sqlalchemy"]
    completed = subprocess.run([python(), "-c", script, *packages], check=True, capture_output=True)
    versions_by_name: dict[str, str] = json.loads(completed.stdout)
    return versions_by_name


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run *command* in the peers' folder and yield its process id; kill it at the end."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=FOLDER,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child.pid
        finally:
            child.kill()
            child.wait()


@contextmanager
def redbeat(redis_url: str, log: Path) -> Iterator[int]:
    """Run stock RedBeat on *redis_url*; yield its process id once it has its lock."""
    command = [python(), "-m", "celery", "-A", "stock", "beat", "-l", "WARNING"]
    command += ["-S", "redbeat.RedBeatScheduler", "--max-interval", "1", "--pidfile="]
    with process(command, {"BENCH_REDIS_URL": redis_url}, log) as pid:
        with Redis.from_url(redis_url) as client:
            _wait_for(lambda: client.exists("redbeat::lock") == 1, "RedBeat has its lock", log)
        yield pid


def fill_redbeat(redis_url: str, count: int, due_at: float) -> None:
    """Write *count* entries that are due at *due_at*."""
    subprocess.run(
        [python(), str(FOLDER / "fill_redbeat.py"), str(count), str(due_at)],
        cwd=FOLDER,
        env=os.environ | {"BENCH_REDIS_URL": redis_url},
        check=True,
    )


def _wait_for(condition: Callable[[], bool], description: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within 30 s: {description}\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


@contextmanager
def worker(pool: Pool, environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run a bare worker of `noops` without heartbeat, gossip and mingle, as jobs-app does."""
    command = [python(), "-m", "celery", "-A", "noops", "worker", "-l", "WARNING"]
    command += ["-P", pool.name, "-c", str(pool.size)]
    command += ["--without-heartbeat", "--without-gossip", "--without-mingle"]
    with process(command, environment, log) as pid:
        yield pid


def run_script(name: str, arguments: list[object], environment: dict[str, str]) -> str:
    """Run a script of this folder and return its output."""
    completed = subprocess.run(
        [python(), str(FOLDER / name), *map(str, arguments)],
        cwd=FOLDER,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return completed.stdout
