"""Applications that share a queue, and what reaches its consumer."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from kombu import Queue

from jobs_app.celery_app import JobsCelery, make_celery
from jobs_app.core.settings import Settings
from tests.servers import ValkeyServer

QUEUE = "default"


@pytest.fixture
def make_app(valkey: ValkeyServer) -> Iterator[Callable[..., JobsCelery]]:
    """Makes applications that share a queue, with the key of this test unless one is given."""
    prefix, secret_key = f"{uuid4()}:", Fernet.generate_key().decode()
    apps: list[JobsCelery] = []

    def make(secret_key: str = secret_key) -> JobsCelery:
        settings = Settings(redis_url=valkey.url, redis_prefix=prefix, secret_key=secret_key)
        apps.append(make_celery(settings))
        return apps[-1]

    yield make
    for app in apps:
        app.close()


@pytest.fixture
def app(make_app: Callable[..., JobsCelery]) -> JobsCelery:
    return make_app()


def send(app: JobsCelery, **options: Any) -> None:
    app.send_task("reports.make", args=["fr"], **({"queue": QUEUE} | options))


def key(app: JobsCelery) -> str:
    return f"{app.settings.redis_prefix}{QUEUE}"


def change(app: JobsCelery, valkey: ValkeyServer, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change the message in the queue, as whoever can write to Redis can."""
    with valkey.client() as client:
        message = json.loads(client.lpop(key(app)))
        changed = edit(message)
        client.lpush(key(app), json.dumps(message if changed is None else changed))


def received(app: JobsCelery, queue: str = QUEUE) -> list[str]:
    """Return the tasks of the messages in a queue that reach a consumer; it is empty then."""
    tasks: list[str] = []

    def receive(message: Any) -> None:
        tasks.append(message.headers["task"])
        message.ack()

    with (
        app.connection_for_read() as connection,
        app.amqp.TaskConsumer(cast(Any, connection), queues=[Queue(queue)]) as consumer,
    ):
        consumer.on_message = receive
        channel: Any = connection.default_channel
        while channel._size(queue):
            connection.drain_events(timeout=5)
        assert not channel.qos._delivered or channel.qos._dirty
    return tasks
