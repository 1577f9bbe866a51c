"""The web server as a process: it starts, answers, refuses a taken port and stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core.settings import Settings
from jobs_app.db.migrations import migrate
from jobs_app.up.valkey import free_port
from tests.servers import wait_until

STOP_SECONDS = 8.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with a migrated database and an admin token."""
    settings = Settings(data_dir=tmp_path / "data")
    migrate(settings)
    ensure_admin_token(settings)
    return settings.data_dir


def start(directory: Path, port: int) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    settings = {"JOBS_DATA_DIR": str(directory), "JOBS_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-m", "jobs_app", "web"],
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def server(directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running web server and its URL."""
    port = free_port()
    process = start(directory, port)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), "the web server answers", timeout_seconds=30)
        yield process, url
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_job_is_created_over_the_wire(
    server: tuple[subprocess.Popen[str], str], directory: Path
) -> None:
    token = (directory / "admin-token").read_text().strip()
    job = {"name": "hello", "task": "shell", "kwargs": {"command": "date"}}

    with httpx.Client(base_url=server[1], trust_env=False) as client:
        refused = client.get("/api/v1/jobs")
        client.headers["Authorization"] = f"Bearer {token}"
        created = client.post("/api/v1/jobs", json=job)
        too_large = client.post(
            "/api/v1/jobs", content=b"x" * 2_000_000, headers={"Content-Type": "application/json"}
        )

    assert (refused.status_code, created.status_code, too_large.status_code) == (401, 201, 413)


def test_a_body_in_chunks_is_measured_too(
    server: tuple[subprocess.Popen[str], str], directory: Path
) -> None:
    token = (directory / "admin-token").read_text().strip()
    # Cut off where the limit is, it would be read as the job alone.
    job = json.dumps({"name": "padded", "task": "shell", "kwargs": {"command": "date"}}).encode()

    answer = httpx.post(
        f"{server[1]}/api/v1/jobs",
        content=iter([job, b" " * 1_100_000]),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        trust_env=False,
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_it_stops_within_seconds_with_a_connection_open(
    server: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = server
    with httpx.Client(base_url=url, trust_env=False) as client:
        client.get("/healthz")
        started = time.monotonic()
        process.terminate()
        code = process.wait(timeout=30)

    assert code == 0
    assert time.monotonic() - started < STOP_SECONDS


def test_a_taken_port_is_a_sentence_and_exit_code_1(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(directory, port)
        output, _ = process.communicate(timeout=60)

    assert f"127.0.0.1:{port}" in output
    assert process.returncode == 1
    assert "JOBS_PORT" in output
    assert "Traceback" not in output


def test_nothing_is_left_in_the_home_directory(
    server: tuple[subprocess.Popen[str], str], directory: Path
) -> None:
    assert {path.name for path in directory.iterdir()} <= {
        "admin-token",
        "jobs.db",
        "jobs.db-shm",
        "jobs.db-wal",
        "jobs.db-was-made",
    }
