"""Private names of Celery, billiard, kombu and RedBeat that jobs-app uses, one test each.

Each test checks that the name exists, takes our arguments and does what we rely on, in the
releases of CHECKED. When one of these packages is updated: run the tests of this folder and of
tests/integration, mend what differs, then change CHECKED here and the bounds in pyproject.toml.
"""

import ast
import inspect
import queue
import time
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from billiard import get_context
from billiard.pool import Pool
from billiard.pool import Worker as BilliardWorker
from celery.concurrency import asynpool, thread
from celery.local import Proxy
from celery.worker.request import Request
from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import virtual
from packaging.requirements import Requirement

from jobs_app.core.settings import Settings
from tests.servers import ValkeyServer

#: The releases that these tests were checked with.
CHECKED = {
    "billiard": "4.3.2",
    "celery": "5.7.0",
    "celery-redbeat": "2.4.2",
    "kombu": "5.7.0",
    "werkzeug": "3.1.9",  # its private name has tests/web/test_late_rule.py
}

#: Private by name, and documented: of Python and of the operating system's interface.
PYTHONS_OWN = {"_exit"}

ROOT = Path(__file__).parents[3]


def takes(function: Callable[..., Any], *args: Any, **options: Any) -> bool:
    """Tell whether *function* can be called with these arguments."""
    try:
        inspect.signature(function).bind(*args, **options)
    except TypeError:
        return False
    return True


# The releases


@pytest.mark.parametrize("package", CHECKED)
def test_the_installed_release_is_the_one_that_was_checked(package: str) -> None:
    assert version(package) == CHECKED[package], (
        f"{package} {version(package)} is installed, {CHECKED[package]} was checked: "
        "do what the first lines of this file say"
    )


@pytest.mark.parametrize("package", CHECKED)
def test_the_dependencies_allow_the_checked_release_and_no_later_minor_one(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    by_name = {Requirement(line).name: Requirement(line) for line in project["dependencies"]}
    bounds = by_name[package].specifier
    major, minor, _ = CHECKED[package].split(".")

    assert CHECKED[package] in bounds
    assert f"{major}.{int(minor) + 1}.0" not in bounds


# celery_hooks/pools.py: billiard.pool.Worker, celery.concurrency.asynpool.AsynPool


def test_worker_make_protected_receive_makes_what_a_process_waits_with() -> None:
    pipe = get_context().SimpleQueue()
    pipe.put("job")
    worker: Any = asynpool.Worker.__new__(asynpool.Worker)
    worker._shutdown = None

    receive = worker._make_protected_receive(pipe)

    # A process calls it with no argument, once a job.
    assert receive() == "job"


def test_simple_queue_reader_polls_with_a_time_out() -> None:
    pipe: Any = get_context().SimpleQueue()

    assert not pipe._reader.poll(0.001)
    pipe.put("job")
    assert pipe._reader.poll(1.0)


def test_worker_ensure_messages_consumed_reads_the_counter_of_the_process() -> None:
    worker: Any = asynpool.Worker.__new__(asynpool.Worker)
    worker.on_ready_counter = RawValue("i", 2)

    assert issubclass(asynpool.Worker, BilliardWorker)
    assert worker._ensure_messages_consumed(completed=2) is True


@pytest.fixture
def asyn_pool() -> Iterator[Any]:
    """Celery's own pool, of one process."""
    pool: Any = asynpool.AsynPool(1, threads=False)
    yield pool
    pool.terminate()
    for process in pool._pool:
        process.join()


@pytest.fixture
def hub() -> Iterator[Any]:
    hub = Hub()
    yield hub
    hub.close()


def test_pool_pool_lists_the_processes(asyn_pool: Any) -> None:
    assert [process.is_alive() for process in asyn_pool._pool] == [True]
    assert callable(Pool.maintain_pool)


def test_asynpool_create_write_handlers_sets_quick_put_and_the_callback(
    asyn_pool: Any, hub: Any
) -> None:
    assert takes(asyn_pool._create_write_handlers, hub)

    asyn_pool.register_with_event_loop(hub)

    assert takes(asyn_pool._quick_put, "job")
    assert takes(hub.consolidate_callback, [1])


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["_all_inqueues", "_active_writes", "_busy_workers"])
def test_asynpool_keeps_its_file_descriptors_in_sets(asyn_pool: Any, name: str) -> None:
    assert type(getattr(asyn_pool, name)) is set


def test_asynpool_all_inqueues_holds_the_pipe_of_each_process(asyn_pool: Any, hub: Any) -> None:
    asyn_pool.register_with_event_loop(hub)
    (process,) = asyn_pool._pool
    turns = hub.create_loop()

    # The process says that it is up; only then does Celery give it jobs.
    give_up_at = time.monotonic() + 10
    while process.inqW_fd not in asyn_pool._all_inqueues and time.monotonic() < give_up_at:
        next(turns)

    assert asyn_pool._all_inqueues == {process.inqW_fd}


def test_asynpool_event_process_exit_takes_hub_and_process(asyn_pool: Any, hub: Any) -> None:
    assert takes(asyn_pool._event_process_exit, hub, asyn_pool._pool[0])


def test_asynpool_process_cleanup_queues_takes_the_process(asyn_pool: Any) -> None:
    assert takes(asyn_pool._process_cleanup_queues, asyn_pool._pool[0])
    # `maintain_pool` calls it for each process that is gone.
    assert "self._process_cleanup_queues(worker)" in inspect.getsource(Pool)


def test_asynpool_makes_its_processes_of_the_class_attribute_worker(asyn_pool: Any) -> None:
    assert asynpool.AsynPool.Worker is asynpool.Worker


def test_thread_pool_executor_work_queue_is_what_its_threads_wait_for() -> None:
    pool: Any = thread.TaskPool(1)
    asked: list[dict[str, Any]] = []

    class NotingQueue(queue.Queue[Any]):
        def get(self, *args: Any, **options: Any) -> Any:
            asked.append(options)
            return super().get(*args, **options)

    pool.executor._work_queue = NotingQueue()
    assert pool.executor.submit(lambda: "ran").result(timeout=5) == "ran"
    pool.executor.shutdown()
    assert {"block": True} in asked


# celery_hooks/strategy.py: celery.worker.request.Request


def test_request_apply_result_is_what_terminate_ends() -> None:
    request: Any = Request

    assert request._apply_result is None
    assert "_apply_result" in inspect.getsource(Request.terminate)


# celery_hooks/transport.py: kombu.transport.redis and virtual


@pytest.fixture
def channel(valkey: ValkeyServer) -> Iterator[Any]:
    """kombu's own channel, with a prefix of this test's own."""
    url = Settings(redis_url=valkey.url).redis_address.celery_url
    with Connection(url, transport_options={"global_keyprefix": f"{uuid4()}:"}) as connection:
        yield connection.channel()


def test_qos_delivered_and_dirty_are_what_can_consume_counts(channel: Any) -> None:
    qos = channel.qos
    qos.prefetch_count = 1
    assert qos.can_consume()

    virtual.QoS.append(qos, "message", "tag")
    assert list(qos._delivered) == ["tag"]
    assert not qos.can_consume()
    virtual.QoS.ack(qos, "tag")
    assert qos._dirty == {"tag"}
    assert qos.can_consume()


def test_message_raw_is_what_do_restore_message_puts_back(channel: Any) -> None:
    channel.queue_declare("q")
    channel.basic_publish(channel.prepare_message("body"), exchange="", routing_key="q")
    message = channel.basic_get("q")
    assert channel._size("q") == 0

    with channel.conn_or_acquire() as client:
        channel._do_restore_message(message._raw, "", "q", client, False)

    assert channel._size("q") == 1


def test_channel_in_poll_says_that_redis_was_asked(channel: Any) -> None:
    assert channel._in_poll is False


def test_channel_brpop_start_takes_a_time_out_and_brpop_read_raises_empty_after_it(
    channel: Any,
) -> None:
    channel.brpop_timeout = 0.01
    channel.basic_consume("q", no_ack=False, callback=print, consumer_tag="c")
    # The first time kombu opens the connection for it.
    channel.connection.cycle.on_poll_start()
    assert channel._in_poll
    with pytest.raises(queue.Empty):
        channel._brpop_read()
    assert not channel._in_poll

    channel.brpop_timeout = 60
    channel._brpop_start(timeout=0.01)

    assert channel._in_poll
    with pytest.raises(queue.Empty):
        channel._brpop_read()


def test_channel_brpop_read_takes_options(channel: Any) -> None:
    assert takes(channel._brpop_read, some_option=1)


def test_channel_receive_one_delivers_what_redis_publishes_and_may_raise_empty(
    channel: Any,
) -> None:
    class Client:
        def parse_response(self) -> list[bytes]:
            return [b"message", b"/0.x", b"no JSON"]

    channel._in_listen = channel.client.connection

    with pytest.raises(queue.Empty):
        channel._receive_one(Client())


# tasks/user_apps.py: celery.local.Proxy


def test_proxy_get_current_object_returns_what_it_stands_for() -> None:
    app = object()

    assert Proxy(lambda: app)._get_current_object() is app


# All others


def private_names(tree: ast.AST) -> set[str]:
    """Return the private names that a module defines: functions, variables and attributes."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def test_outside_the_seam_only_two_private_names_are_used() -> None:
    trees = {
        path.relative_to(ROOT / "jobs_app").as_posix(): ast.parse(path.read_text())
        for path in (ROOT / "jobs_app").rglob("*.py")
    }
    outside = {name: t for name, t in trees.items() if not name.startswith("worker/celery_hooks/")}
    importers = {
        name: tree
        for name, tree in outside.items()
        if {"celery", "kombu", "billiard", "redbeat"} & imported_packages(tree)
    }
    own = set().union(*map(private_names, trees.values()))

    foreign = {
        (name, node.attr)
        for name, tree in importers.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        if node.attr.startswith("_") and not node.attr.startswith("__")
        if node.attr not in own and node.attr not in PYTHONS_OWN
    }

    assert foreign == {
        ("tasks/user_apps.py", "_get_current_object"),
        # tests/tasks/test_user_apps.py sees an application finalized without them.
        ("tasks/shared_tasks.py", "_on_app_finalizers"),
    }


def imported_packages(tree: ast.AST) -> set[str]:
    """Return the top names of the packages that a module imports."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                found.add(module.partition(".")[0])
            case ast.Import(names=aliases):
                found |= {alias.name.partition(".")[0] for alias in aliases}
    return found
