"""A run's message on its way to the pool: taken from the queue, checked, and handed over."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import InvalidTaskError
from celery.worker.state import requests
from kombu import Connection
from kombu.transport import redis

from jobs_app import dispatch
from jobs_app.celery_app import RUN_TASK, JobsCelery, make_celery
from jobs_app.dispatch import Message
from jobs_app.models import new_run_id
from jobs_app.settings import Settings
from jobs_app.worker import execution, transport
from jobs_app.worker.messages import hand_to_pool
from jobs_app.worker.process import Process, adopt_process
from tests.servers import ValkeyServer

QUEUE = "default"


@pytest.fixture
def app(valkey: ValkeyServer) -> JobsCelery:
    """An application with queues of this test's own."""
    app = make_celery(Settings(redis_url=valkey.url, redis_prefix=f"{uuid4()}:"))
    adopt_process(Process(app, app.settings, "worker@test", is_prefork=True))
    return app


@pytest.fixture
def channel(app: JobsCelery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A channel as a worker of ours opens it."""
    monkeypatch.setattr(redis.Transport, "Channel", transport.Channel)
    with Connection(app.conf.broker_url, transport_options=app.conf.broker_transport_options) as c:
        yield c.channel()


def send(app: JobsCelery, **given: Any) -> Message:
    """Send the message of a run."""
    message = Message(new_run_id(), 1, "sleep", QUEUE, **given)
    dispatch.publish(app, [message])
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
        self.woken = 0

    def call_soon(self, _call: Callable[[], None]) -> None:
        self.woken += 1

    def on_task_request(self, request: Any) -> None:
        request.execute_using_pool(self.pool)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A consumer whose pool does nothing."""
    requests.clear()
    yield Consumer()
    requests.clear()


@pytest.fixture
def handle(app: JobsCelery, consumer: Consumer) -> Callable[[Any], None]:
    """Does with a message what the worker does with those of the task of all runs."""
    app.loader.import_task_module("jobs_app.worker.execution")
    task = app.tasks[RUN_TASK]
    assert task.Strategy.endswith(f":{hand_to_pool.__name__}")
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
    assert target is execution.perform
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
    assert (len(requests), consumer.woken) == (1, 0)
    options["callback"]((False, None, 0.0))

    # Else a worker with threads would look for the next message a second later.
    assert (len(requests), consumer.woken) == (0, 1)


@pytest.mark.parametrize(
    "arguments", [[], ["not a uuid", 1], [str(UUID(int=7)), "x"], [str(UUID(int=7)), 1, 2], [7, 1]]
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

    failed, how, _ = execution.perform(str(new_run_id()), 1)

    assert failed
    assert how is not None
    assert "no surroundings" in str(how.traceback)
