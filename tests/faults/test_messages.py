"""What a stranger may find in, or put into, the queue: a worker lives, and starts nothing twice."""

import base64
import json
import pickle
import re
import socket
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from jobs_app.celery_app import RUN_TASK
from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.runs.messages import Message, publish
from tests.faults.installation import Installation
from tests.servers import ValkeyServer, wait_until

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def envelope(body: bytes, *, task: str = RUN_TASK, content_type: str = "application/json") -> str:
    """Return a message as kombu lays it into a list of Redis."""
    headers = {"task": task, "id": str(uuid4()), "lang": "py", "argsrepr": "", "kwargsrepr": ""}
    properties = {
        "correlation_id": str(uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "default"},
        "delivery_tag": str(uuid4()),
        "body_encoding": "base64",
        "priority": 5,
    }
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": headers,
            "properties": properties,
        }
    )


def call(*args: Any, **kwargs: Any) -> bytes:
    """Return the body of a call."""
    nothing = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return json.dumps([args, kwargs, nothing]).encode()


class Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.file, "w")


def garbage(trace: str) -> dict[str, str | bytes]:
    """Return messages that nobody should send."""
    return {
        "not JSON": b"\xff\xfe nonsense",
        "not an object": "[1, 2]",
        "no headers": "{}",
        "body not JSON": envelope(b"{"),
        "unknown task": envelope(call(1), task="no.such.task"),
        "too few arguments": envelope(call()),
        "wrong arguments": envelope(call("not a uuid", "not a number")),
        "too many arguments": envelope(call(str(new_run_id()), 1, 2, surprise=True)),
        "no such run": envelope(call(str(new_run_id()), 1)),
        "no such attempt": envelope(call(str(new_run_id()), 10**12)),
        "negative attempt": envelope(call(str(new_run_id()), -1)),
        "pickle": envelope(
            pickle.dumps(Evil(trace)), content_type="application/x-python-serialize"
        ),
        "large": envelope(call("x" * 5_000_000)),
    }


def queue(installation: Installation) -> str:
    return f"{installation.settings.redis_prefix}default"


def test_no_message_ends_a_worker(installation: Installation, own_valkey: ValkeyServer) -> None:
    trace = installation.directory / "trace"
    worker = installation.start_ready("worker")

    with own_valkey.client() as redis:
        for what, message in garbage(str(trace)).items():
            redis.lpush(queue(installation), message)
            run_id = installation.start_run("sleep", duration=0)
            run = installation.wait_for_end(run_id)
            assert run.state is RunState.SUCCEEDED, what
            assert worker.poll() is None, what

    assert not trace.exists()


def test_messages_replayed_in_any_number_start_nothing_twice(
    installation: Installation, own_valkey: ValkeyServer
) -> None:
    installation.start_ready("scheduler")
    job = installation.record(seconds=0.3)
    wait_until(lambda: len(installation.runs(job)) >= 2, "fires are recorded")
    with own_valkey.client() as redis:
        kept = messages(redis, installation)
        assert len(kept) >= 2
        for message in kept:
            redis.lpush(queue(installation), *[message] * 50)
    first = installation.runs(job)[0]
    app = installation.app
    installation.start_ready("worker")
    installation.start_ready("worker-2")
    installation.wait_for_end(first.id)

    # Yesterday's, and those of attempts that have not come yet.
    for attempt in (1, 2, 3):
        publish(app, [Message(first.id, attempt, "shell", "default")] * 20)
    with own_valkey.client() as redis:
        redis.lpush(queue(installation), *kept * 10)
        wait_until(lambda: not messages(redis, installation), "the queue is empty")

    verdict = installation.assert_right(job, on_time_seconds=15)
    assert verdict.started == verdict.owed


def messages(redis: "Redis", installation: Installation) -> list[bytes]:
    """Return what lies in the queue, over all priorities."""
    keys = [
        f"{queue(installation)}{suffix}" for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169")
    ]
    found: list[bytes] = []
    for key in keys:
        # redis-py's types include those of its async client.
        found += redis.lrange(key, 0, -1)  # type: ignore[arg-type]
    return found


def test_celerys_own_tools_find_each_worker_of_a_machine(installation: Installation) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "jobs_app.celery_app"]
    pids = [installation.start_ready(name).pid for name in ("worker-1", "worker-2")]
    solo = [*celery, "worker", "--pool", "solo"]
    quiet = {
        "env": installation.surroundings(),
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    celerys: list[subprocess.Popen[bytes]] = [
        subprocess.Popen([*solo, *name], **quiet)  # type: ignore[call-overload]  # keywords
        for name in ([], ["--hostname", "mine@%h"])
    ]
    host = socket.gethostname()
    names = {f"celery@{host}-{pid}" for pid in (*pids, celerys[0].pid)} | {f"mine@{host}"}

    def nodes() -> set[str]:
        answer = subprocess.run(
            [*celery, "inspect", "ping"],
            env=installation.surroundings(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        return set(re.findall(r"^->\s+(\S+): OK$", answer.stdout, re.MULTILINE))

    try:
        wait_until(lambda: nodes() == names, f"Celery finds {names}", timeout_seconds=60)
    finally:
        for process in celerys:
            process.terminate()
        for process in celerys:
            process.wait(timeout=60)
