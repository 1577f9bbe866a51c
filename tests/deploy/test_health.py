"""The health checks of the containers."""

import re
import socket
import subprocess
import sys
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy import health
from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess, Worker

ROOT = Path(__file__).parents[2]
HOST = socket.gethostname()


def add(database_url: str, row: Worker | SchedulerProcess) -> None:
    database = Database(database_url)
    with database.session() as session:
        session.add(row)
        session.commit()
    database.close()


def worker(*, name: str, seconds_ago: float, is_gone: bool = False) -> Worker:
    seen_at = clock.now() - timedelta(seconds=seconds_ago)
    return Worker(
        name=name,
        pid=7,
        started_at=seen_at,
        seen_at=seen_at,
        gone_at=clock.now() if is_gone else None,
    )


@pytest.mark.parametrize(
    "facts, code",
    [
        ({"name": f"{HOST}:7", "seconds_ago": 5}, 0),
        ({"name": f"{HOST}:7", "seconds_ago": 90}, 1),
        ({"name": f"{HOST}:7", "seconds_ago": 5, "is_gone": True}, 1),
        ({"name": "another-host:7", "seconds_ago": 5}, 1),
    ],
    ids=["seen", "silent", "given up", "of another container"],
)
def test_a_worker_is_healthy_while_its_own_heartbeat_is_recent(
    database_url: str, monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], code: int
) -> None:
    add(database_url, worker(**facts))
    monkeypatch.setenv("JOBS_DATABASE_URL", database_url)

    assert health.main(["worker"]) == code


@pytest.mark.parametrize("seconds_ago, code", [(5, 0), (90, 1)])
def test_a_scheduler_is_healthy_while_it_ticks(
    database_url: str, monkeypatch: pytest.MonkeyPatch, seconds_ago: int, code: int
) -> None:
    ticked_at = clock.now() - timedelta(seconds=seconds_ago)
    add(
        database_url,
        SchedulerProcess(name=f"{HOST}:7", pid=7, started_at=ticked_at, ticked_at=ticked_at),
    )
    monkeypatch.setenv("JOBS_DATABASE_URL", database_url)

    assert health.main(["scheduler"]) == code


def test_a_web_server_is_healthy_if_it_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Healthz(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its own name)
            pass

    with HTTPServer(("127.0.0.1", 0), Healthz) as server:
        monkeypatch.setenv("JOBS_PORT", str(server.server_port))
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        alive = health.main(["web"])
        server.shutdown()
        thread.join()
    dead = health.main(["web"])

    assert (alive, dead) == (0, 1)
    assert capsys.readouterr().err == "the web could not be asked: ConnectionRefusedError\n"


def test_the_check_of_a_web_server_imports_nothing_heavy() -> None:
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "deploy/health.py", "web"],
        env={"JOBS_PORT": "1"},
        capture_output=True,
        text=True,
        check=False,
    ).stderr

    assert "http.client" in imported
    assert not re.search(r"\| +(jobs_app|sqlalchemy|pydantic)\b", imported)


def test_an_unreachable_database_is_a_sentence_without_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOBS_DATABASE_URL", f"sqlite:///{tmp_path}/none/secret.db")

    assert health.main(["worker"]) == 1
    assert capsys.readouterr().err == "the worker could not be asked: OperationalError\n"


def test_a_kind_that_is_none_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(["cook"]) == 2
    assert capsys.readouterr().err.startswith("usage:")
