"""A run's message on its way to the pool: taken from the queue, checked, and handed over."""

import json
import time
from collections.abc import Callable, Iterator
from queue import Empty
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from billiard.einfo import ExceptionInfo
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.worker.state import requests
from cryptography.fernet import Fernet

from jobs_app.broker.transport import Transport
from jobs_app.celery_app import RUN_TASK, JobsCelery, make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.columns import new_run_id
from jobs_app.runs import messages
from jobs_app.runs.messages import Message
from jobs_app.worker import execution
from jobs_app.worker.celery_hooks import transport
from jobs_app.worker.celery_hooks.prefetch import Prefetch
from jobs_app.worker.celery_hooks.signals import STRATEGY
from jobs_app.worker.celery_hooks.strategy import run_strategy
from jobs_app.worker.pool_process import Process, set_process
from tests.servers import ValkeyServer, wait_until

QUEUE = "default"


@pytest.fixture
def app(valkey: ValkeyServer) -> JobsCelery:
    """An application with queues of this test's own."""
    settings = Settings(
        redis_url=valkey.url,
        redis_prefix=f"{uuid4()}:",
        secret_key=Fernet.generate_key().decode(),
    )
    app = make_celery(settings)
    set_process(Process(app, app.settings, "worker@test", is_prefork=True))
    return app


@pytest.fixture
def channel(app: JobsCelery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A channel as a worker of ours opens it."""
    monkeypatch.setattr(Transport, "Channel", transport.Channel)
    with app.connection_for_write() as connection:
        yield connection.channel()


def send(app: JobsCelery, **given: Any) -> Message:
    """Send the message of a run."""
    message = Message(new_run_id(), 1, "sleep", QUEUE, **given)
    messages.publish(app, [message])
    return message


def lying(app: JobsCelery, valkey: ValkeyServer) -> dict[str, int]:
    """Return how many messages lie in the queue, and how many are noted as taken from it."""
    with valkey.client() as client:
        prefix = app.settings.redis_prefix
        queued: Any = [client.llen(key) for key in client.scan_iter(f"{prefix}{QUEUE}*")]
        noted: Any = client.hlen(f"{prefix}unacked")
    return {"queued": sum(queued), "noted": noted}


def test_a_runs_message_is_noted_nowhere_while_it_is_taken(
    app: JobsCelery, channel: Any, valkey: ValkeyServer
) -> None:
    send(app)

    message = channel.basic_get(QUEUE)

    assert lying(app, valkey) == {"queued": 0, "noted": 0}
    message.ack()
    channel.qos.restore_unacked_once()
    assert lying(app, valkey) == {"queued": 0, "noted": 0}


def test_what_a_stopping_worker_has_not_accepted_goes_back_into_the_queue(
    app: JobsCelery, channel: Any, valkey: ValkeyServer
) -> None:
    sent = send(app)
    channel.basic_get(QUEUE)

    channel.qos.restore_unacked_once()

    assert lying(app, valkey) == {"queued": 1, "noted": 0}
    with valkey.client() as client:
        [key] = client.scan_iter(f"{app.settings.redis_prefix}{QUEUE}*")
        [text] = client.lrange(key, 0, -1)
    assert json.loads(text)["headers"]["id"] == str(sent.run_id)


def test_a_message_of_another_task_is_noted_as_ever(
    app: JobsCelery, channel: Any, valkey: ValkeyServer
) -> None:
    app.send_task("somebody.elses", queue=QUEUE)

    message = channel.basic_get(QUEUE)

    assert lying(app, valkey) == {"queued": 0, "noted": 1}
    message.ack()
    assert lying(app, valkey) == {"queued": 0, "noted": 0}


class Pool:
    """A pool that keeps what it is asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    def apply_async(self, target: Any, **options: Any) -> None:
        self.asked.append((target, options))


class Consumer:
    """What the strategy of a task sees of Celery's consumer."""

    hostname = "worker@test"
    event_dispatcher = None
    connection_errors = ()

    def __init__(self) -> None:
        self.pool = Pool()
        self.slots = 1
        self.now = 0.0
        self.timers: list[Callable[[], None]] = []
        self.prefetch = Prefetch(
            lambda: self.slots,
            lambda: len(requests),
            call_after=lambda _, call: self.timers.append(call),
            now=lambda: self.now,
        )
        self.soon: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def on_task_request(self, request: Any) -> None:
        request.execute_using_pool(self.pool)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A consumer whose pool does nothing."""
    requests.clear()
    yield Consumer()
    requests.clear()


@pytest.fixture
def handle(
    app: JobsCelery, channel: Any, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Any], None]:
    """Does with a message what the worker does with those of the task of all runs."""
    channel.use_prefetch(consumer.prefetch)
    app.loader.import_task_module("jobs_app.worker.execution")
    task = app.tasks[RUN_TASK]
    assert STRATEGY.endswith(f":{run_strategy.__name__}")
    monkeypatch.setattr(execution.RunTask, "Strategy", STRATEGY)
    handler = task.start_strategy(app, consumer)

    def with_message(message: Any, body: Any = None) -> None:
        handler(message, body, lambda *_: None, lambda *_: None, [])

    return with_message


def test_the_pool_is_given_run_and_attempt_and_the_limits_it_must_keep(
    app: JobsCelery, channel: Any, consumer: Consumer, handle: Callable[..., None]
) -> None:
    sent = send(app, soft_time_limit_seconds=5, time_limit_seconds=9)

    handle(channel.basic_get(QUEUE))

    [(target, options)] = consumer.pool.asked
    assert target is execution.run_in_pool
    assert options["args"] == (str(sent.run_id), 1)
    assert (options["soft_timeout"], options["timeout"]) == (5, 9)
    assert list(requests) == [str(sent.run_id)]


def test_a_request_is_let_go_when_its_run_has_ended(
    app: JobsCelery, channel: Any, consumer: Consumer, handle: Callable[..., None]
) -> None:
    send(app)
    handle(channel.basic_get(QUEUE))
    [(_, options)] = consumer.pool.asked

    options["accept_callback"](1, 0.0)
    assert len(requests) == 1
    options["callback"]((False, None, 0.0))

    assert len(requests) == 0


@pytest.mark.parametrize(
    "callback, answer", [("callback", (False, None, 0.0)), ("error_callback", None)]
)
def test_the_next_message_is_delivered_when_a_run_ends(
    app: JobsCelery,
    channel: Any,
    consumer: Consumer,
    handle: Callable[..., None],
    callback: str,
    answer: object,
) -> None:
    ids = [str(send(app).run_id) for _ in range(2)]
    handle(channel.basic_get(QUEUE))
    handle(channel.basic_get(QUEUE))
    assert asked(consumer) == ids[:1]

    consumer.pool.asked[0][1][callback](answer or failure())

    assert asked(consumer) == ids


def test_a_thread_of_the_pool_leaves_that_to_the_workers_loop(
    app: JobsCelery, channel: Any, consumer: Consumer, handle: Callable[..., None]
) -> None:
    send(app)
    handle(channel.basic_get(QUEUE))
    [(_, options)] = consumer.pool.asked

    thread = Thread(target=options["callback"], args=[(False, None, 0.0)])
    thread.start()
    thread.join()

    # That the loop turns is also how it finds that it may take the next message.
    assert consumer.soon == [consumer.prefetch.deliver]


def failure() -> ExceptionInfo:
    """Return what the pool says of a process that died."""
    try:
        raise WorkerLostError("gone")
    except WorkerLostError:
        return ExceptionInfo()


def asked(consumer: Consumer) -> list[str]:
    """Return the runs that the pool was given."""
    return [options["args"][0] for _, options in consumer.pool.asked]


@pytest.fixture
def consuming(channel: Any, handle: Callable[[Any], None]) -> Any:
    """A channel whose messages come to the worker."""
    channel.basic_consume(QUEUE, no_ack=False, callback=handle, consumer_tag="c")
    return channel


def receive(channel: Any) -> None:
    """Ask for the next message and take it, as the worker's loop does, or do neither."""
    cycle = channel.connection.cycle
    cycle.on_poll_start()
    for file in cycle.fds:
        cycle.on_readable(file)


def accept(channel: Any) -> None:
    """Accept what has been taken, as the pool does."""
    for tag in list(channel.qos._delivered):
        channel.qos.ack(tag)


def queued(app: JobsCelery, valkey: ValkeyServer) -> list[str]:
    """Return the ids of the messages in the queue, that which is served next first."""
    with valkey.client() as client:
        texts: Any = client.lrange(f"{app.settings.redis_prefix}{QUEUE}\x06\x163", 0, -1)
    return [json.loads(text)["headers"]["id"] for text in reversed(texts)]


def test_messages_without_a_free_slot_return_to_the_front_of_the_queue(
    app: JobsCelery, consuming: Any, consumer: Consumer, valkey: ValkeyServer
) -> None:
    consumer.slots = 2
    sent = [str(send(app).run_id) for _ in range(5)]
    consuming.basic_qos(0, 2, False)
    receive(consuming)
    accept(consuming)
    receive(consuming)
    consumer.prefetch.note_finished(0.001)
    for _ in range(3):
        receive(consuming)
    assert (asked(consumer), len(consumer.prefetch)) == (sent[:2], 2)
    assert queued(app, valkey) == sent[4:]

    consumer.now = 1.0
    consumer.timers.pop()()

    assert (asked(consumer), len(consumer.prefetch)) == (sent[:2], 0)
    assert queued(app, valkey) == sent[2:]
    consuming.qos.restore_unacked_once()
    assert queued(app, valkey) == sent[1:], "with what is not accepted they went back twice"


def test_a_worker_without_a_slot_fetches_nothing(
    app: JobsCelery, consuming: Any, consumer: Consumer, valkey: ValkeyServer
) -> None:
    consumer.slots = 0
    sent = str(send(app).run_id)

    receive(consuming)

    assert (queued(app, valkey), len(consumer.prefetch)) == ([sent], 0)


def test_a_prefetched_message_is_read_even_if_no_slot_is_left(
    app: JobsCelery, consuming: Any, consumer: Consumer, valkey: ValkeyServer
) -> None:
    consuming.connection.cycle.on_poll_start()
    send(app)
    wait_until(lambda: queued(app, valkey) == [], "it is on its way")

    consumer.slots = 0

    assert not consumer.prefetch.may_fetch
    receive(consuming)
    # Else it would lie in the socket until there is a place again.
    assert len(consumer.prefetch) == 1


def test_a_prefetch_waits_only_briefly_in_redis(
    app: JobsCelery, consuming: Any, consumer: Consumer
) -> None:
    send(app)
    receive(consuming)
    accept(consuming)
    consumer.prefetch.note_finished(0.001)
    consuming.connection.cycle.on_poll_start()
    assert consuming._in_poll

    began = time.monotonic()
    with pytest.raises(Empty):
        consuming._brpop_read()

    # Before kombu 5.6 the channel waits for a second, and has no name for that.
    assert time.monotonic() - began < getattr(consuming, "brpop_timeout", 1) / 2


def test_a_message_of_another_task_is_not_kept(
    app: JobsCelery, consuming: Any, consumer: Consumer, valkey: ValkeyServer
) -> None:
    app.send_task("somebody.elses", queue=QUEUE)
    consuming.connection.cycle.on_poll_start()
    wait_until(lambda: queued(app, valkey) == [], "it is on its way")
    consumer.slots = 0

    receive(consuming)

    # Else it would be lost with the worker: of this one no row tells.
    assert (len(consumer.prefetch), lying(app, valkey)) == (0, {"queued": 1, "noted": 0})


def test_what_is_on_its_way_when_a_worker_stops_goes_back(
    app: JobsCelery, consuming: Any, consumer: Consumer, valkey: ValkeyServer
) -> None:
    consuming.connection.cycle.on_poll_start()
    sent = str(send(app).run_id)
    wait_until(lambda: queued(app, valkey) == [], "it is on its way")

    consumer.prefetch.close()

    assert (queued(app, valkey), asked(consumer)) == ([sent], [])
    assert not consuming.qos.can_consume()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["not a uuid", 1],
        [str(UUID(int=7)), "x"],
        [str(UUID(int=7)), 1, 2],
        [7, 1],
        # No column takes these.
        *([str(UUID(int=7)), attempt] for attempt in (0, -1, 2**31, 2**63, 10**30, True, 1.0)),
    ],
)
def test_what_names_no_attempt_of_a_run_reaches_no_pool(
    app: JobsCelery,
    channel: Any,
    consumer: Consumer,
    handle: Callable[..., None],
    arguments: list[Any],
) -> None:
    app.send_task(RUN_TASK, args=arguments, queue=QUEUE)

    with pytest.raises(InvalidTaskError):
        handle(channel.basic_get(QUEUE))

    assert not consumer.pool.asked


def test_what_fails_around_a_run_is_answered_and_not_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pool of threads would never let go of a request whose call raises."""

    def fails(*_: Any) -> None:
        raise RuntimeError("no surroundings")

    monkeypatch.setattr(execution.run, "run", fails)

    failed, how, _ = execution.run_in_pool(str(new_run_id()), 1)

    assert failed
    assert isinstance(how, ExceptionInfo)
    assert "no surroundings" in str(how.traceback)
