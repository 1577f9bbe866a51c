"""Where workers of Celery put the results of tasks: in a Redis, or into a queue of the broker.

An object reads the states of one task. Its methods block as connections do, and any thread
may call them. They raise CeleryFailed, whose `may_pass` says that a later call may succeed.
"""

import threading
from contextlib import suppress
from typing import Any, Protocol

from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import ContentDisallowed, DecodeError
from redis import Redis

from jobs_app.tasks.celery_connection import broker_connection, no_answer, redis_connection
from jobs_app.tasks.celery_message import (
    RESULT_KEY,
    TaskState,
    UnreadableResult,
    read_state,
    state_of,
)
from jobs_app.tasks.celery_server import CeleryServer
from jobs_app.tasks.context import CeleryFailed
from jobs_app.tasks.network_policy import NetworkPolicy

#: A look into the queue of results waits this long for one, seconds.
DRAIN_SECONDS = 0.2

#: RabbitMQ deletes a queue of results that nobody consumes for this long, seconds.
QUEUE_SECONDS = 3600

UNREADABLE = (
    "The stored result is not JSON: the workers need result_serializer = 'json', and no"
    " result_compression."
)


class Results(Protocol):
    """The states of one task."""

    reply_to: str
    """The queue that the message names for them; "" for none."""

    def open(self) -> None:
        """Make sure that states which come from now on are not lost."""

    def state(self) -> TaskState | None:
        """Return the newest state, None while there is none."""

    def close(self, *, is_over: bool) -> None:
        """Give up the connection, and leave nothing behind if all *is_over*; never raises."""


class RedisResults:
    """The results that workers store in a Redis."""

    reply_to = ""

    def __init__(self, server: CeleryServer, policy: NetworkPolicy, task_id: str) -> None:
        self._server = server
        self._policy = policy
        self._key = f"{_prefix(server.key_prefix)}{RESULT_KEY}{task_id}"
        self._lock = threading.Lock()
        self._client: Redis | None = None

    def open(self) -> None:
        """Do nothing: Redis keeps a result for whoever comes."""

    def state(self) -> TaskState | None:
        """Return the state that is stored now."""
        with self._lock:
            if self._client is None:
                self._client = redis_connection(self._server, self._policy)
            try:
                stored: Any = self._client.get(self._key)
            except Exception as error:
                self._drop()
                raise no_answer(self._server, error) from error
        try:
            return read_state(stored if isinstance(stored, bytes) else None)
        except UnreadableResult:
            raise CeleryFailed(UNREADABLE) from None

    def close(self, *, is_over: bool) -> None:
        """Close the connection; Redis deletes a result by itself."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


class QueuedResults:
    """The results that workers send to a queue of the broker: Celery's backend `rpc://`.

    The queue outlives a lost connection and a lost worker, and is deleted at the end.
    """

    def __init__(self, broker: CeleryServer, policy: NetworkPolicy, task_id: str) -> None:
        self._broker = broker
        self._policy = policy
        self._task_id = task_id
        self.reply_to = f"jobs-app-results-{task_id}"
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None
        self._state: TaskState | None = None
        self._is_unreadable = False

    def open(self) -> None:
        """Declare the queue and consume it."""
        with self._lock:
            self._opened()

    def state(self) -> TaskState | None:
        """Return the newest state that has come."""
        with self._lock:
            connection = self._opened()
            try:
                # It finds out if the server is gone without a word.
                connection.heartbeat_check()
                connection.drain_events(timeout=DRAIN_SECONDS)
            except TimeoutError:
                pass
            except Exception as error:
                self._drop()
                raise no_answer(self._broker, error) from error
        if self._is_unreadable:
            raise CeleryFailed(UNREADABLE)
        return self._state

    def close(self, *, is_over: bool) -> None:
        """Close the connection; delete the queue before if nobody reads it any more."""
        with self._lock:
            if is_over and self._consumer is not None:
                # The queue expires by itself; in Redis an empty one leaves nothing.
                with suppress(Exception):
                    self._consumer.cancel()
                    channel: Any = self._consumer.channel
                    channel.queue_delete(self.reply_to)
            self._drop()

    def _opened(self) -> Connection:
        if self._connection is None:
            connection = broker_connection(self._broker, self._policy)
            try:
                queue = Queue(
                    self.reply_to,
                    Exchange(""),
                    routing_key=self.reply_to,
                    durable=False,
                    expires=QUEUE_SECONDS,
                )
                self._consumer = Consumer(
                    connection.default_channel, [queue], on_message=self._take, accept=["json"]
                )
                self._consumer.consume()
            except Exception as error:
                connection.release()
                raise no_answer(self._broker, error) from error
            self._connection = connection
        return self._connection

    def _take(self, message: Any) -> None:
        try:
            if message.properties.get("correlation_id") in (None, self._task_id):
                self._state = state_of(message.decode())
        except (ContentDisallowed, DecodeError, UnreadableResult):
            self._is_unreadable = True
        message.ack()

    def _drop(self) -> None:
        connection, self._connection, self._consumer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.release()


def _prefix(prefix: str) -> str:
    """Return what stands before the key of a result, as Celery makes it of a key prefix."""
    return f"{prefix}_" if prefix and prefix[-1] not in ":_-." else prefix
