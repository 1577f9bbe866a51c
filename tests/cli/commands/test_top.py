"""`jobs-app top`: what runs, waits and comes next; once in a pipe, live on a terminal."""

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.cli.canned import RUN_ID, Canned, CannedServer, problem
from tests.cli.commands.test_queues import UNSERVED, a_queue
from tests.cli.conftest import Run
from tests.cli.test_wait import terminal
from tests.servers import wait_until

RUNNING = {
    "id": RUN_ID,
    "job": "nightly-report",
    "task": "shell",
    "state": "running",
    "attempt": 2,
    "started_at": "2026-11-01T00:00:00Z",
    "created_at": "2026-11-01T00:00:00Z",
    "worker": "celery@host-7",
    "queue": "default",
    "progress": {"fraction": 0.4, "message": None},
}
QUEUED = RUNNING | {
    "job": None,
    "state": "queued",
    "started_at": None,
    "queued_at": "2126-11-01T00:00:00Z",
    "waits_for": "worker",
}
NEXT = {
    "name": "hourly",
    "next_run_at": "2126-01-01T00:00:00Z",
    "description_of_schedule": "Every hour",
}


def page(*items: Any) -> Canned:
    return Canned({"items": list(items), "next_cursor": None})


def answers(server: CannedServer) -> None:
    server.on("GET", "/attention", page({"id": "a"}))
    server.on("GET", "/queues", page(a_queue(running=1), UNSERVED))
    server.on("GET", "/jobs", page(NEXT, NEXT | {"name": "by-hand", "next_run_at": None}))
    # The running runs are asked for first.
    server.on("GET", "/runs", *[page(RUNNING), page(QUEUED)] * 20)


def test_a_pipe_gets_it_once(server: CannedServer, run: Run) -> None:
    answers(server)

    result = run("top")

    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1] == (
        "1 running; 3 queued; the oldest for 3 min 5 s; no worker for slow; "
        "1 line in `jobs-app attention`"
    )
    assert lines[3:5] == ["Running", lines[4]]
    assert lines[4].split() == ["JOB", "FOR", "PROGRESS", "ATTEMPT", "WORKER", "ID"]
    assert lines[5].split()[-5:] == ["40", "%", "2", "celery@host-7", RUN_ID]
    assert "shell  queued  0 s  no worker serves its queue  default" in result.stdout
    assert "hourly  in 99 years  Every hour" in result.stdout
    assert "by-hand" not in result.stdout
    asked = [(request.path, request.query.get("state")) for request in server.requests]
    assert ("/api/v1/runs", "running") in asked
    assert ("/api/v1/runs", "queued,waiting,retrying") in asked


def test_with_nothing_to_show_it_says_so(server: CannedServer, run: Run) -> None:
    for path in ("/attention", "/queues", "/jobs", "/runs"):
        server.on("GET", path, page())

    result = run("top", "--once")

    assert result.stdout.splitlines()[1:] == [
        "0 running",
        *("", "Running", "Nothing runs."),
        *("", "Waiting", "Nothing waits."),
        *("", "Next", "No job has a next fire."),
    ]


def test_json_has_what_it_shows(server: CannedServer, run: Run) -> None:
    answers(server)

    shown = json.loads(run("top", "--json").stdout)

    assert [item["job"] for item in shown["running"]] == ["nightly-report"]
    assert shown["attention"] == 1


def test_a_server_that_refuses_ends_it(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", problem(401, code="unauthenticated", detail="Who are you?"))

    assert run("top").exit_code == 5


@pytest.mark.parametrize("columns", [100, 40])
def test_on_a_terminal_it_is_drawn_again_until_ctrl_c(server: CannedServer, columns: int) -> None:
    answers(server)
    output = ""

    with terminal("top", "--every", "0.5", columns=columns) as (ours, process):

        def has_drawn_twice() -> bool:
            nonlocal output
            output += os.read(ours, 65536).decode()
            return output.count("\x1b[H") >= 2

        wait_until(has_drawn_twice, "the second frame")
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 10
        while "\x1b[?1049l" not in output and time.monotonic() < deadline:
            output += os.read(ours, 65536).decode()
        assert process.wait(10) == 0

    first = output.split("\x1b[H")[1].split("\x1b[J")[0]
    lines = [line.replace("\x1b[K", "") for line in first.split("\r\n")]
    assert lines[0].startswith("jobs-app at http://127.0.0.1:")
    plain = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in lines]
    assert max(map(len, plain)) <= columns
    assert ("celery@host-7" in first) is (columns == 100)
    assert output.endswith("\x1b[?25h\x1b[?1049l")
    assert "Traceback" not in output
