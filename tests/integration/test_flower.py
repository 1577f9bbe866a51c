"""Flower itself sees the runs of our workers (JOBS_EVENTS), and no argument of them."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs_app.core.states import RunState
from jobs_app.up.valkey import free_port
from tests.integration.system import System
from tests.servers import wait_until

MODULE = "tests.integration.user_tasks"
SECRET = "hunter2-very-secret"

#: Flower, and what it needs beside Celery.
PACKAGES = ("flower==2.0.1", "tornado>=6.4,<7", "prometheus_client>=0.20", "humanize>=4", "pytz")

pytestmark = [
    pytest.mark.nightly,  # it installs Flower
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture(scope="module")
def flower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with Flower, which is used with the Celery that is installed here."""
    directory = tmp_path_factory.mktemp("flower")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", str(directory), *PACKAGES], check=True, timeout=300)
    return directory


def answer(port: int, path: str) -> Any:
    """Return what Flower answers, None while it does not."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
            return json.load(reply)
    except OSError:
        return None


def test_flower_shows_runs_by_task_and_state_and_not_their_arguments(
    make_system: Callable[..., System], flower: Path
) -> None:
    system = make_system(imports=MODULE, events=True)
    system.environment |= {
        "PYTHONPATH": f"{flower}:{Path(__file__).parents[2]}",
        "FLOWER_UNAUTHENTICATED_API": "true",
    }
    port = free_port()
    options = ("--address=127.0.0.1", f"--port={port}", "--inspect-timeout=5000")
    system.spawn("flower", "celery", "-A", "jobs_app.celery_app", "flower", *options)
    wait_until(lambda: answer(port, "/api/tasks") == {}, "Flower answers", timeout_seconds=60)
    system.start_ready("worker")
    wait_until(lambda: _online(port), "Flower knows the worker", timeout_seconds=30)

    ends = {
        str(system.start_run("shell", command=f"echo {SECRET}")): ("shell", "SUCCESS"),
        str(system.start_run(f"{MODULE}.add", x=1, y=2)): (f"{MODULE}.add", "SUCCESS"),
        str(system.start_run(f"{MODULE}.fail")): (f"{MODULE}.fail", "FAILURE"),
    }
    waits = system.start_run("sleep", duration=60)
    system.wait_for(waits, lambda run: run.state is RunState.RUNNING, "it runs")
    ends[str(waits)] = ("sleep", "STARTED")

    def seen() -> dict[str, tuple[str, str]]:
        tasks = answer(port, "/api/tasks") or {}
        return {key: (task["name"], task["state"]) for key, task in tasks.items()}

    wait_until(lambda: seen() == ends, "Flower has all runs", timeout_seconds=30)
    tasks = answer(port, "/api/tasks")
    assert SECRET not in json.dumps(tasks)
    assert {task["kwargs"] for task in tasks.values()} <= {"{}", None}
    # It asks the workers themselves, by messages that it signs.
    (worker,) = answer(port, "/api/workers?refresh=1").values()
    assert [task["id"] for task in worker["active"]] == [str(waits)]
    assert worker["stats"]["pool"]["max-concurrency"] == 2


def _online(port: int) -> bool:
    # The page counts those whose heartbeats have come.
    return bool(answer(port, "/api/workers?status=1"))
