"""`queues`, `workers` and `concurrency`, in a pipe, and what Tab makes of their names."""

import json
from typing import Any

import pytest

from tests.cli.canned import RUN_ID, Canned, CannedServer
from tests.cli.commands.test_jobs import complete
from tests.cli.conftest import Run


def a_queue(name: str = "default", **facts: Any) -> dict[str, Any]:
    """Return a queue as the API writes it."""
    counts = dict.fromkeys(("jobs", "waiting", "queued", "parked", "running", "retrying"), 0)
    return {
        "name": name,
        "served": True,
        "workers": 1,
        "slots": 2,
        **counts,
        "oldest_queued_at": None,
        "oldest_queued_seconds": None,
        "warning": None,
    } | facts


UNSERVED = a_queue(
    "slow",
    served=False,
    workers=0,
    slots=0,
    jobs=1,
    queued=3,
    parked=1,
    oldest_queued_seconds=185.4,
    warning="No worker serves the queue 'slow': 1 job names it, 3 runs wait.",
)

A_KEY = {
    "key": "db-main",
    "limits": [2, 3],
    "jobs": 4,
    "running": 2,
    "queued": 7,
    "oldest_queued_at": "2026-11-01T00:00:00Z",
    "oldest_queued_seconds": 61.2,
}

A_WORKER = {
    "id": RUN_ID,
    "name": "w1@host",
    "pid": 7,
    "queues": ["default", "slow"],
    "concurrency": 4,
    "free": 3,
    "pool": "prefork",
    "started_at": "2026-11-01T00:00:00Z",
    "seen_at": "2026-11-01T00:00:00Z",
    "seen_seconds_ago": 1.7,
    "gone_at": None,
    "messages_dropped": 0,
    "runs": [{"id": RUN_ID, "job": "hello", "task": "shell", "running_seconds": 12.3}],
}


def test_queues_are_listed_with_what_waits_in_them(server: CannedServer, run: Run) -> None:
    server.on(
        "GET", "/queues", Canned({"items": [a_queue(running=2), UNSERVED], "next_cursor": None})
    )

    result = run("queues")

    assert result.stdout.splitlines() == [
        "QUEUE    WORKERS  SLOTS  JOBS  QUEUED  OLDEST     RUNNING  OTHERS",
        "default  1        2      0     0       -          2        -",
        "slow     none     0      1     3       3 min 5 s  0        1 parked",
    ]
    assert "No worker serves the queue 'slow'" in result.stderr
    assert "jobs-app worker --queues slow" in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize("options, code", [([], 1), (["--json"], 1), (["default"], 0)])
def test_a_queue_without_its_worker_fails_a_check(
    server: CannedServer, run: Run, options: list[str], code: int
) -> None:
    server.on("GET", "/queues", Canned({"items": [a_queue(), UNSERVED], "next_cursor": None}))

    assert run("queues", "--check", *options).exit_code == code


def test_one_queue_can_be_asked_for(server: CannedServer, run: Run) -> None:
    server.on("GET", "/queues", Canned({"items": [a_queue(), UNSERVED], "next_cursor": None}))

    answer = run("queues", "slow", "--json")
    unknown = run("queues", "slwo")

    assert json.loads(answer.stdout) == {"items": [UNSERVED]}
    assert unknown.exit_code == 3
    assert "There is no queue 'slwo'. These exist: default, slow." in unknown.stderr


def test_all_pages_of_queues_are_read(server: CannedServer, run: Run) -> None:
    server.on(
        "GET",
        "/queues",
        Canned({"items": [a_queue()], "next_cursor": "more"}),
        Canned({"items": [UNSERVED], "next_cursor": None}),
    )

    answer = run("queues", "slow", "--json")

    assert json.loads(answer.stdout) == {"items": [UNSERVED]}
    assert [request.query.get("cursor") for request in server.requests] == [None, "more"]


def test_workers_are_listed_with_what_they_run(server: CannedServer, run: Run) -> None:
    server.on("GET", "/workers", Canned({"items": [A_WORKER]}))

    result = run("workers")

    assert result.stdout.splitlines() == [
        "WORKER   QUEUES        POOL     FREE    SEEN     STARTED               RUNS",
        "w1@host  default,slow  prefork  3 of 4  2 s ago  2026-11-01T00:00:00Z  "
        f"hello (12 s) {RUN_ID}",
    ]


def test_workers_that_are_gone_are_asked_for(server: CannedServer, run: Run) -> None:
    gone = A_WORKER | {"gone_at": "2026-11-01T00:00:00Z", "free": 0, "runs": []}
    server.on("GET", "/workers", Canned({"items": [gone]}))

    result = run("workers", "--gone")

    assert server.requests[0].query == {"include": "gone"}
    assert "gone " in result.stdout


def test_keys_are_listed_with_their_limits(server: CannedServer, run: Run) -> None:
    server.on("GET", "/concurrency", Canned({"items": [A_KEY], "next_cursor": None}))

    result = run("concurrency")

    assert result.stdout.splitlines() == [
        "KEY      LIMIT   RUNNING  QUEUED  OLDEST     JOBS",
        "db-main  2 or 3  2        7       1 min 1 s  4",
    ]


@pytest.mark.parametrize(
    "command, path, hint",
    [
        ("queues", "/queues", "no worker lives"),
        ("workers", "/workers", "jobs-app worker"),
        ("concurrency", "/concurrency", "--concurrency-key"),
    ],
)
def test_where_there_is_nothing_it_says_what_to_do(
    server: CannedServer, run: Run, command: str, path: str, hint: str
) -> None:
    server.on("GET", path, Canned({"items": [], "next_cursor": None}))

    result = run(command)

    assert (result.exit_code, result.stdout) == (0, "")
    assert hint in result.stderr


def test_queues_and_keys_are_completed_from_the_server(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", "/queues", Canned({"items": [a_queue(), UNSERVED], "next_cursor": None}))
    server.on("GET", "/concurrency", Canned({"items": [A_KEY], "next_cursor": None}))

    assert complete(monkeypatch, run, "jobs-app queues sl") == ["slow"]
    assert complete(monkeypatch, run, "jobs-app job list --queue de") == ["default"]
    assert complete(monkeypatch, run, "jobs-app job edit x --concurrency-key db") == ["db-main"]
