"""The peers, installed from PyPI into an environment of their own: bench/.peers."""

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

#: The list to which a task of noops.py adds when its turn came.
MARKS = "bench-marks"


@dataclass(frozen=True)
class Pool:
    """A pool of a worker: Celery's name of it, and how many tasks it runs at once."""

    name: str
    size: int


def python() -> str:
    """Return the interpreter that has the peers, installing them on the first call."""
    program = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing the peers into {ENVIRONMENT.relative_to(FOLDER.parent.parent)}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run(
            [str(program), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], check=True
        )
        stamp.write_text(wanted)
    return str(program)


def versions() -> dict[str, str]:
    """Return the installed versions of what is compared."""
    script = "import json, sys; from importlib.metadata import version as v\n"
    script += "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    wanted = ["celery", "celery-redbeat", "django-celery-beat", "kombu", "redis", "django"]
    wanted += ["sqlalchemy"]
    result = subprocess.run([python(), "-c", script, *wanted], check=True, capture_output=True)
    versions: dict[str, str] = json.loads(result.stdout)
    return versions


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run *command* with the peers' modules in reach; its process id is lent, then it is ended."""
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
    """Run stock RedBeat on the entries in *redis_url*, once it has its lock."""
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


def _wait_for(claim: Callable[[], bool], description: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not claim():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within 30 s: {description}\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


@contextmanager
def worker(pool: Pool, environment: dict[str, str], log: Path) -> Iterator[int]:
    """Run a bare worker of `noops` with what ours leaves out left out too."""
    command = [python(), "-m", "celery", "-A", "noops", "worker", "-l", "WARNING"]
    command += ["-P", pool.name, "-c", str(pool.size)]
    command += ["--without-heartbeat", "--without-gossip", "--without-mingle"]
    with process(command, environment, log) as pid:
        yield pid


def run_script(name: str, arguments: list[object], environment: dict[str, str]) -> str:
    """Run a script of this folder to its end and return what it prints."""
    result = subprocess.run(
        [python(), str(FOLDER / name), *map(str, arguments)],
        cwd=FOLDER,
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return result.stdout
