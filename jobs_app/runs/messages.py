"""Publishes run ids to Celery; a message is a hint, the run's row is the truth."""

import json
import logging
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from jobs_app.broker import signature
from jobs_app.celery_app import RUN_TASK
from jobs_app.core import redis_commands
from jobs_app.core.errors import BrokerUnavailable

log = logging.getLogger(__name__)

#: The errors of Redis and of the transport when the broker cannot be reached.
BROKER_ERRORS: tuple[type[Exception], ...] = (
    RedisError,
    OperationalError,
    OSError,
)

#: The largest attempt number: its columns are integers of 32 bits.
MAX_ATTEMPT = 2**31 - 1

#: AMQP's delivery mode for messages that a broker keeps on disk; Redis ignores it.
PERSISTENT = 2

#: Messages in one LPUSH.
PUSH_BATCH = 1000

#: Stand in an envelope for what differs between the messages of two runs.
_RUN_ID, _TAG, _SIGNATURE = str(uuid4()), str(uuid4()), str(uuid4())

#: The run id in the signed text: in argsrepr, id, root_id and the body.
RUN_IDS_SIGNED = 4


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


def read_arguments(arguments: Any) -> tuple[UUID, int]:
    """Return the run id and the attempt that a message holds; raises ValueError."""
    try:
        run_id, attempt = arguments
        key = UUID(run_id)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError("A run's message has a run id and an attempt.") from error
    if type(attempt) is not int or not 1 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"An attempt is a number from 1 to {MAX_ATTEMPT}.")
    return key, attempt


def publish(app: Celery, messages: Iterable[Message]) -> None:
    """Send *messages* in one round trip.

    Raises BrokerUnavailable; some messages may have arrived nevertheless.
    """
    messages = list(messages)
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            _publish_all(app, producer, messages)
            if app.conf.task_send_sent_event:
                _send_events(app, producer, messages)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"The broker did not take the messages: {error}") from error


def _publish_all(app: Celery, producer: Any, messages: Iterable[Message]) -> None:
    # Typed Any: kombu's stubs do not know the Redis channel.
    channel = producer.channel
    keys = channel.signer.keys
    templates = _templates.setdefault(app, {})
    lists: dict[str, list[str]] = {}
    # Delivery tags must be unique: one random part serves all messages of this call.
    batch = uuid4().hex
    for number, message in enumerate(messages):
        shared = message[1:]
        prepared = templates.get((shared, *keys))
        if prepared is None:
            template = _template(app, message, keys)
            prepared = templates[shared, *keys] = (_list_key(channel, message), *template)
        list_key, envelope, signed_text = prepared
        run_id = str(message.run_id)
        signed = (signed_text % ((run_id,) * RUN_IDS_SIGNED)).encode()
        signatures = [key.sign(signed) for key in keys.values()]
        # In the order of the envelope: body, id, root_id, argsrepr, the signatures,
        # correlation_id, delivery_tag.
        ids = (_base64(run_id), run_id, run_id, run_id)
        values = (*ids, *signatures, run_id, f"{batch}-{number}")
        lists.setdefault(list_key, []).append(envelope % values)
    # The pool of kombu's own connections, whose clients put the prefix before each key.
    redis_commands.execute(channel.pool, _pushes(channel.global_keyprefix, lists))


def _send_events(app: Celery, producer: Any, messages: Iterable[Message]) -> None:
    """Send Celery's event `task-sent` about *messages*; a lost one does no harm."""
    dispatcher = app.events.Dispatcher(
        channel=producer.channel,
        buffer_while_offline=False,
        buffer_group=["task"],
        buffer_limit=PUSH_BATCH,
    )
    try:
        for message in messages:
            run_id = str(message.run_id)
            dispatcher.send(
                "task-sent",
                uuid=run_id,
                root_id=run_id,
                parent_id=None,
                name=message.task,
                args=repr((run_id, message.attempt)),
                kwargs="{}",
                retries=message.attempt - 1,
                eta=None,
                expires=None,
                queue=message.queue,
                exchange="",
                routing_key=message.queue,
            )
        dispatcher.flush()
    except BROKER_ERRORS as error:
        log.warning("events_not_sent error=%s", type(error).__name__)


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
_templates: WeakKeyDictionary[Celery, dict[tuple[Any, ...], tuple[str, str, str]]] = (
    WeakKeyDictionary()
)


def _template(app: Celery, message: Message, keys: Iterable[str]) -> tuple[str, str]:
    """Return the envelope of *message* and its signed text, as `%` templates.

    Their values are those that differ by run, and the signatures of *keys*, named by their
    ids. To build each envelope anew would take most of the time of sending it.
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
    content = {"content-encoding": "utf-8", "content-type": "application/json"}
    signed_text = signature.signed_text(
        headers,
        exchange="",
        routing_key=message.queue,
        content_type=content["content-type"],
        content_encoding=content["content-encoding"],
    ) + json.dumps(body)
    envelope = {
        "body": _base64(json.dumps(body)),
        **content,
        "headers": headers | {signature.SIGNATURES: dict.fromkeys(keys, _SIGNATURE)},
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
    for placeholder in (_base64(_RUN_ID), _RUN_ID, _SIGNATURE, _TAG):
        text = text.replace(placeholder, "%s")
    return text, signed_text.replace("%", "%%").replace(_RUN_ID, "%s")


def _base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode()
