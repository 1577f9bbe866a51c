"""Publishes run ids to Celery; a message is a hint, the run's row is the truth."""

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

from celery import Celery
from kombu import exceptions as kombu_exceptions
from kombu.exceptions import OperationalError
from kombu.serialization import dumps
from redis.exceptions import RedisError

from jobs_app.celery_app import RUN_TASK
from jobs_app.core import redis_commands
from jobs_app.core.errors import BrokerUnavailable

#: What Redis and the transport raise when they cannot be reached.
BROKER_ERRORS: tuple[type[Exception], ...] = (
    RedisError,
    OperationalError,
    kombu_exceptions.BatchPublishError,  # type: ignore[attr-defined]  # the stubs lack it
    OSError,
)


#: AMQP's delivery mode: kept on disk, where the broker has one.
PERSISTENT = 2

#: Messages that one LPUSH carries.
PUSHED_AT_ONCE = 1000


class Message(NamedTuple):
    """What a worker is told: which run, which attempt; and Celery what it may take.

    `task` is only shown to Celery's own tools. The limits, in seconds, are what
    Celery's pool enforces; None where something else does, or nothing.
    """

    run_id: UUID
    attempt: int
    task: str
    queue: str
    priority: int = 5
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = None


def publish(app: Celery, messages: Iterable[Message]) -> None:
    """Send *messages* through one pipeline.

    Raises BrokerUnavailable; some of them may then have arrived all the same.
    """
    try:
        with app.producer_pool.acquire(block=True, timeout=5) as producer:
            _publish_all(app, producer, messages)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"The broker did not take the messages: {error}") from error


def _publish_all(app: Celery, producer: Any, messages: Iterable[Message]) -> None:
    # Typed Any: kombu's stubs know nothing of what its Redis channel can do.
    channel = producer.channel
    forms = _forms.setdefault(app, {})
    lists: dict[str, list[str]] = {}
    # A tag tells messages in flight apart: one random part is enough for all of these.
    batch = uuid4().hex
    for number, message in enumerate(messages):
        shape = message[1:]
        form = forms.get(shape)
        if form is None:
            form = forms[shape] = _form(app, channel, message)
        text = form.filled(str(message.run_id), tag=f"{batch}-{number}")
        lists.setdefault(form.key, []).append(text)
    # The pool of kombu's own connections, whose clients put the prefix before each key.
    redis_commands.execute(channel.pool, _pushes(channel.global_keyprefix, lists))


def _pushes(prefix: str, lists: Mapping[str, Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield the commands that append to *lists*."""
    for key, texts in lists.items():
        for start in range(0, len(texts), PUSHED_AT_ONCE):
            yield ("LPUSH", prefix + key, *texts[start : start + PUSHED_AT_ONCE])


class _Form(NamedTuple):
    """A message as kombu writes it to the Redis list *key*, with gaps for what differs.

    *fillings* puts run id, its Base64 in the body, and tag in the order of the gaps.
    """

    key: str
    template: str
    fillings: Callable[[tuple[str, str, str]], tuple[str, ...]]

    def filled(self, run_id: str, *, tag: str) -> str:
        """Return the message of one run."""
        # In the body, the id stands behind three bytes: its Base64 is a piece of its own.
        return self.template % self.fillings((run_id, _base64(run_id), tag))


#: The forms of each application, by what a message says beside its run.
_forms: WeakKeyDictionary[Celery, dict[tuple[Any, ...], _Form]] = WeakKeyDictionary()


class _Recorder:
    """Stands where kombu has a batch of Redis commands, and keeps the one that it is given."""

    def __init__(self) -> None:
        self.key = self.text = ""

    def add(self, _command: str, key: str, text: str) -> None:
        """Keep the command LPUSH *key* *text*."""
        self.key, self.text = key, text


def _form(app: Celery, channel: Any, message: Message) -> _Form:
    """Have Celery and kombu write *message*, and leave gaps where another run differs.

    Headers, properties and envelope are built once and not for each message: that
    was nine tenths of what sending one costs.
    """
    run_id = str(message.run_id)
    headers, properties, body, _ = app.amqp.as_task_v2(
        run_id,
        RUN_TASK,
        args=(run_id, message.attempt),
        shadow=message.task,
        soft_time_limit=message.soft_time_limit_seconds,
        time_limit=message.time_limit_seconds,
        ignore_result=True,
    )
    content_type, encoding, encoded = dumps(body, serializer="json")
    prepared = channel.prepare_message(
        encoded,
        message.priority,
        content_type,
        encoding,
        headers,
        properties | {"delivery_mode": PERSISTENT},
    )
    recorder = _Recorder()
    channel.basic_publish(prepared, exchange="", routing_key=message.queue, _publish_batch=recorder)
    tag = prepared["properties"]["delivery_tag"]
    gaps = [run_id, _base64(run_id), tag]
    pieces = re.split(f"({'|'.join(map(re.escape, gaps))})", recorder.text)
    order = [gaps.index(piece) for piece in pieces[1::2]]
    if not {0, 1, 2} <= set(order):
        raise ValueError(f"kombu writes messages in another way: {recorder.text[:200]}")
    template = "%s".join(piece.replace("%", "%%") for piece in pieces[::2])
    return _Form(recorder.key, template, itemgetter(*order))


def _base64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode()
