"""What a stranger may find in, or put into, the queue: a worker lives, and starts nothing twice."""

import base64
import json
import pickle
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from jobs_app.celery_app import RUN_TASK
from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.db.migrations import migrate
from jobs_app.runs import status
from jobs_app.runs.messages import Message, publish
from tests.faults.installation import Installation
from tests.faults.stock_tasks import FILE_VARIABLE
from tests.profiles import postgresql_nightly
from tests.servers import ValkeyServer, wait_until

#: For what has nothing to do with the database.
with_prefetch = pytest.mark.parametrize(
    "prefetch", [True, pytest.param(False, marks=pytest.mark.nightly)]
)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

#: What no attempt can be: beyond the integers of a column, of SQLite and of C, and no integers.
NO_ATTEMPTS: list[Any] = [0, -1, 2**31, 2**32, 2**63, 2**64, 10**30, True, 1.5, "1", None, [1]]


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
        "deep": "[" * 200_000,
        "deep headers": '{"headers": ' + '{"a": ' * 50_000 + "1" + "}" * 50_001,
        "an odd type": '{"__type__": "decimal", "__value__": "x"}',
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


@on_sqlite
@with_prefetch
def test_no_message_ends_a_worker(
    make_installation: Callable[..., Installation],
    database_url: str,
    own_valkey: ValkeyServer,
    prefetch: bool,
) -> None:
    installation = make_installation(database_url, worker_prefetch=prefetch)
    trace = installation.directory / "trace"
    worker = installation.start_ready("worker")

    with own_valkey.client() as redis:
        for what, message in garbage(str(trace)).items():
            redis.lpush(queue(installation), message)
            # Where remote control is published.
            redis.publish(f"{installation.settings.redis_prefix}/0.celery.pidbox", message)
            run_id = installation.start_run("sleep", duration=0)
            run = installation.wait_for_end(run_id)
            assert run.state is RunState.SUCCEEDED, what
            assert worker.poll() is None, what

    assert not trace.exists()


# The numbers are in messages: the database reads none of them.
@postgresql_nightly
@with_prefetch
def test_no_attempt_number_stops_a_worker(
    make_installation: Callable[..., Installation], database_url: str, prefetch: bool
) -> None:
    installation = make_installation(database_url, worker_prefetch=prefetch, worker_concurrency=2)
    worker = installation.start_ready("worker")
    long_run = installation.start_run("sleep", duration=10)
    ended = installation.wait_for_end(installation.start_run("sleep", duration=0))

    for attempt in NO_ATTEMPTS:
        for run_id in (ended.id, long_run, new_run_id()):
            installation.app.send_task(RUN_TASK, args=[str(run_id), attempt], queue="default")
    after = installation.wait_for_end(installation.start_run("sleep", duration=0))

    assert after.state is RunState.SUCCEEDED
    assert installation.wait_for_end(long_run).state is RunState.SUCCEEDED
    assert worker.poll() is None
    assert "worker_given_up" not in installation.log("worker")


@on_sqlite
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


@pytest.fixture
def guarded(make_installation: Callable[..., Installation]) -> Installation:
    """An installation whose user's task leaves a trace."""
    directory = make_installation("sqlite://").directory
    url = f"sqlite:///{directory / 'guarded.db'}"
    installation = make_installation(url, imports="tests.faults.stock_tasks")
    migrate(installation.settings)
    installation.environment[FILE_VARIABLE] = str(directory / "trace")
    return installation


def noted(installation: Installation) -> list[str]:
    file = installation.directory / "trace"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def forgeries(installation: Installation, redis: "Redis") -> Iterator[str | bytes]:
    """Yield messages that would write "forged" if they were executed."""
    yield envelope(call("forged"), task="stock.note")
    for task in ("celery.map", "celery.starmap"):
        nested = {"task": {"task": "stock.note", "args": [], "options": {}}, "it": [["forged"]]}
        yield envelope(json.dumps([[], nested, {}]).encode(), task=task)
    first = {"task": "stock.note", "id": str(uuid4()), "args": ["forged"], "kwargs": {}}
    yield envelope(json.dumps(first).encode()).replace('"task": "jobs_app.run", ', "")
    # A signed message, with other arguments.
    installation.app.send_task("stock.note", args=["signed"], queue="elsewhere", priority=0)
    signed: Any
    [signed] = redis.lrange(f"{installation.settings.redis_prefix}elsewhere", 0, -1)
    yield signed
    yield json.dumps(json.loads(signed) | {"body": base64.b64encode(call("forged")).decode()})
    # A signed one of a run, under the name of the task.
    publish(installation.app, [Message(new_run_id(), 1, "shell", "default")])
    key = f"{queue(installation)}\x06\x163"
    run: Any = redis.lpop(key)
    yield run.decode().replace(RUN_TASK, "stock.note")


def test_nobody_without_the_key_starts_a_task(
    guarded: Installation, own_valkey: ValkeyServer
) -> None:
    with own_valkey.client() as redis:
        forged = list(forgeries(guarded, redis))
        redis.lpush(queue(guarded), *forged)
    guarded.app.send_task("stock.note", args=["ours"], queue="default")
    guarded.start_ready("worker")

    wait_until(lambda: "ours" in noted(guarded), "the signed message is executed")

    assert noted(guarded) == ["ours"]
    refused = re.findall(r"messages_refused count=(\d+)", guarded.log("worker"))
    assert refused
    assert len(refused) == 1, "the log has one line a minute"


def test_a_worker_with_another_key_says_so_and_no_run_is_lost(guarded: Installation) -> None:
    own = guarded.settings.secret_key_file.read_text()
    guarded.environment["JOBS_SECRET_KEY"] = Fernet.generate_key().decode()
    guarded.start_ready("worker")
    run_id = guarded.start_run("sleep", duration=0)

    def problem() -> str:
        with guarded.database.reading() as session:
            return "".join(status.worker_problems(session).values())

    wait_until(lambda: "another key" in problem(), "the worker reports its problem")
    assert guarded.run(run_id).state is RunState.QUEUED

    # The key is rolled out, and the janitor sends the message again.
    guarded.environment["JOBS_SECRET_KEY"] = own
    guarded.kill("worker")
    guarded.start_ready("worker")
    guarded.start_ready("scheduler")

    assert guarded.wait_for_end(run_id, seconds=40).state is RunState.SUCCEEDED


def test_a_worker_without_a_key_does_not_start(guarded: Installation) -> None:
    guarded.settings.secret_key_file.unlink()

    worker = guarded.start("worker")

    assert worker.wait(timeout=30) != 0
    assert "There is no key" in guarded.log("worker")


ORDERS: list[tuple[str, dict[str, Any]]] = [
    ("cancel_consumer", {"queue": "default"}),
    ("add_consumer", {"queue": "other"}),
    ("pool_grow", {"n": 3}),
    ("pool_shrink", {"n": 1}),
    ("rate_limit", {"task_name": "stock.note", "rate_limit": "1/h"}),
    ("time_limit", {"task_name": "stock.note", "hard": 1}),
    ("revoke", {"task_id": str(uuid4())}),
    ("hello", {"from_node": "x", "revoked": {str(uuid4()): 1}}),
    ("shutdown", {}),
]


def test_remote_control_answers_without_passwords_and_obeys_nobody(guarded: Installation) -> None:
    worker = guarded.start_ready("worker")
    control: Any = guarded.app.control
    password = urlsplit(guarded.settings.effective_redis_url).password
    assert password

    for method, arguments in ORDERS:
        [answer] = control.broadcast(method, arguments=arguments, reply=True, timeout=5, limit=1)
        assert "JOBS_REMOTE_CONTROL" in str(answer), method
    questions = ("ping", "stats", "conf", "report", "active_queues", "registered", "active")
    for method in questions:
        [answer] = control.broadcast(method, reply=True, timeout=10, limit=1)
        assert "error" not in next(iter(answer.values())), method
        assert password not in str(answer), method

    assert guarded.wait_for_end(guarded.start_run("sleep", duration=0)).finished_at
    assert worker.poll() is None
    with guarded.database.reading() as session:
        assert status.worker_problems(session) == {}


def test_an_unsigned_order_is_not_obeyed(guarded: Installation, own_valkey: ValkeyServer) -> None:
    worker = guarded.start_ready("worker")
    order = json.dumps({"method": "shutdown", "arguments": {}, "destination": None})
    message = envelope(order.encode()).replace(
        '"exchange": "", "routing_key": "default"',
        '"exchange": "celery.pidbox", "routing_key": ""',
    )

    def is_refused() -> bool:
        # Again and again: a worker that is ready may subscribe a moment later.
        redis.publish(f"{guarded.settings.redis_prefix}/0.celery.pidbox", message)
        return "messages_refused" in guarded.log("worker")

    with own_valkey.client() as redis:
        wait_until(is_refused, "the order is refused")

    assert guarded.wait_for_end(guarded.start_run("sleep", duration=0)).finished_at
    assert worker.poll() is None


def test_with_all_a_worker_obeys_and_says_that_it_consumes_a_queue_no_more(
    guarded: Installation,
) -> None:
    guarded.environment["JOBS_REMOTE_CONTROL"] = "all"
    guarded.start_ready("worker")

    guarded.app.control.cancel_consumer("default", reply=True, timeout=5, limit=1)

    def problems() -> str:
        with guarded.database.reading() as session:
            return "".join(status.worker_problems(session).values())

    wait_until(lambda: "does not consume its queues: default" in problems(), "it says so")
    guarded.app.control.add_consumer("default", reply=True, timeout=5, limit=1)
    wait_until(lambda: problems() == "", "it consumes again")


@on_sqlite
def test_variables_of_celery_change_nothing(
    installation: Installation,
) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    installation.environment |= {
        "CELERY_BROKER_URL": nowhere,
        "CELERY_BROKER_READ_URL": nowhere,
        "CELERY_BROKER_WRITE_URL": nowhere,
        "CELERY_RESULT_BACKEND": nowhere,
        "CELERY_CONFIG_MODULE": "no_such_module",
        "CELERY_LOADER": "default",
    }
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)


@pytest.mark.nightly
@on_sqlite
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
