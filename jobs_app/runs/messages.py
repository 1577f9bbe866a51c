"""Publishes run ids to Celery; a message is a hint, the run's row is the truth."""

import json
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from celery import Celery
from kombu import exceptions as kombu_exceptions
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from jobs_app.celery_app import RUN_TASK
from jobs_app.core import redis_commands
from jobs_app.core.errors import BrokerUnavailable

#: The errors of Redis and of the transport when the broker cannot be reached.
BROKER_ERRORS: tuple[type[Exception], ...] = (
    RedisError,
    OperationalError,
    kombu_exceptions.BatchPublishError,  # type: ignore[attr-defined]  # the stubs lack it
    OSError,
)

#: AMQP's delivery mode for messages that a broker keeps on disk; Redis ignores it.
PERSISTENT = 2

#: Messages in one LPUSH.
PUSH_BATCH = 1000

#: Stand in an envelope for what differs between the messages of two runs.
_RUN_ID, _TAG = str(uuid4()), str(uuid4())


class Message(NamedTuple):
    """A message to a worker: a run and an attempt of it, and what Celery needs beside them.

    `task` is only for Celery's own tools. Celery's pool enforces the limits, in seconds;
    None if the task enforces its own, or has none.
    """

    run_id: UUID
    attempt: int
    task: str
    queue: str
    priority: int = 5
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = None


def publish(app: Celery, messages: Iterable[Message]) -> None:
    """Send *messages* in one round trip.

    Raises BrokerUnavailable; some messages may have arrived nevertheless.
    """
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            _publish_all(app, producer, messages)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"The broker did not take the messages: {error}") from error


def _publish_all(app: Celery, producer: Any, messages: Iterable[Message]) -> None:
    # Typed Any: kombu's stubs do not know the Redis channel.
    channel = producer.channel
    templates = _templates.setdefault(app, {})
    lists: dict[str, list[str]] = {}
    # Delivery tags must be unique: one random part serves all messages of this call.
    batch = uuid4().hex
    for number, message in enumerate(messages):
        shared = message[1:]
        prepared = templates.get(shared)
        if prepared is None:
            prepared = templates[shared] = (_list_key(channel, message), _template(app, message))
        key, template = prepared
        run_id = str(message.run_id)
        # In the order of the envelope: body, id, root_id, argsrepr, correlation_id, delivery_tag.
        values = (_base64(run_id), run_id, run_id, run_id, run_id, f"{batch}-{number}")
        lists.setdefault(key, []).append(template % values)
    # The pool of kombu's own connections, whose clients put the prefix before each key.
    redis_commands.execute(channel.pool, _pushes(channel.global_keyprefix, lists))


def _list_key(channel: Any, message: Message) -> str:
    """Return the key of the Redis list of a queue and a priority."""
    step = channel.priority(message.priority)
    return f"{message.queue}{channel.sep}{step}" if step else message.queue


def _pushes(prefix: str, lists: Mapping[str, Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the commands that append to *lists*."""
    for key, texts in lists.items():
        for start in range(0, len(texts), PUSH_BATCH):
            yield ("LPUSH", prefix + key, *texts[start : start + PUSH_BATCH])


#: The list and the template of each kind of message: by application, and all fields but the run.
_templates: WeakKeyDictionary[Celery, dict[tuple[Any, ...], tuple[str, str]]] = WeakKeyDictionary()


def _template(app: Celery, message: Message) -> str:
    """Return the envelope of *message* as a `%` template for the values that differ by run.

    To build each envelope anew would take most of the time of sending it.
    """
    headers, properties, body, _ = app.amqp.as_task_v2(
        _RUN_ID,
        RUN_TASK,
        args=(_RUN_ID, message.attempt),
        shadow=message.task,
        soft_time_limit=message.soft_time_limit_seconds,
        time_limit=message.time_limit_seconds,
        ignore_result=True,
    )
    envelope = {
        "body": _base64(json.dumps(body)),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties
        | {
            "delivery_mode": PERSISTENT,
            "delivery_info": {"exchange": "", "routing_key": message.queue},
            "priority": message.priority,
            "body_encoding": "base64",
            "delivery_tag": _TAG,
        },
    }
    text = json.dumps(envelope).replace("%", "%%")
    # In the body, three bytes stand before the id, so its Base64 is a piece of its own.
    return text.replace(_base64(_RUN_ID), "%s").replace(_RUN_ID, "%s").replace(_TAG, "%s")


def _base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode()
