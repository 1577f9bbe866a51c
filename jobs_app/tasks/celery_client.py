"""Sends messages to the workers of other people's Celery, and reads the results they store.

Calls block for as long as the server lets them, within CONNECT_SECONDS and IO_SECONDS for
each step. Every error of the libraries is a CeleryFailed.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from kombu import Connection, Exchange, Producer
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs_app.core.text import reason_of
from jobs_app.tasks.celery_message import (
    RESULT_KEY,
    TaskMessage,
    TaskState,
    UnreadableResult,
    read_state,
    revocation,
)
from jobs_app.tasks.celery_server import AMQP, REDIS, CeleryServer
from jobs_app.tasks.context import CeleryFailed, HttpFailed
from jobs_app.tasks.network_policy import NetworkPolicy

CONNECT_SECONDS = 10.0
IO_SECONDS = 10.0

#: Where workers listen for remote control: Celery's default `control_exchange`.
CONTROL_EXCHANGE = "celery.pidbox"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CeleryClient:
    """A broker with its workers, and the Redis where they store results, if there is one."""

    broker: CeleryServer
    results: CeleryServer | None
    policy: NetworkPolicy

    def send(self, message: TaskMessage) -> None:
        """Send *message*, once; return when the broker has taken it.

        Raises CeleryFailed, whose `may_pass` says that nothing was sent. RabbitMQ is asked
        for the queue first: it drops a message for a queue that it does not have.
        """
        with self._channel() as channel:
            if self.broker.kind == AMQP:
                _require_queue(channel, message.queue, self.broker)
            try:
                Producer(channel).publish(
                    message.body(),
                    exchange="",
                    routing_key=message.queue,
                    headers=message.headers(),
                    correlation_id=message.id,
                    reply_to="",
                    serializer="json",
                    delivery_mode=2,
                    # The stubs leave None out, which means the broker's own priority.
                    priority=message.priority,  # type: ignore[arg-type]  # as said
                )
            except Exception as error:
                raise CeleryFailed(
                    f"{self.broker.address} did not confirm the message ({reason_of(error)}): it"
                    " may have been sent."
                ) from error

    def revoke(self, task_id: str, *, signal: str | None) -> None:
        """Order all workers to drop a task, and to end it by *signal* if it has begun."""
        # RabbitMQ has the exchange, made by a worker with whatever options. Redis has none.
        exchange = Exchange(
            CONTROL_EXCHANGE,
            type="fanout",
            durable=False,
            delivery_mode="transient",
            passive=self.broker.kind == AMQP,
        )
        with self._channel() as channel:
            try:
                Producer(channel).publish(
                    revocation(task_id, signal=signal),
                    exchange=exchange.name,
                    declare=[exchange],
                    headers={"clock": 1, "expires": 0},
                    serializer="json",
                )
            except Exception as error:
                raise CeleryFailed(
                    f"{self.broker.address} did not take the order ({reason_of(error)})."
                ) from error

    def state(self, task_id: str) -> TaskState | None:
        """Return the state of a task as it is stored, None while nothing is.

        Raises CeleryFailed; `may_pass` says that a later call may succeed.
        """
        server = self.results
        if server is None:
            return None
        key = f"{_result_prefix(server.key_prefix)}{RESULT_KEY}{task_id}"
        try:
            return read_state(self._connected(server, lambda host: _get(server, host, key)))
        except UnreadableResult:
            raise CeleryFailed(
                "The stored result is not JSON: the workers need result_serializer = 'json', and"
                " no result_compression."
            ) from None

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = self._connected(self.broker, lambda host: _connect(self.broker, host))
        try:
            yield connection.default_channel
        finally:
            connection.release()

    def _connected(self, server: CeleryServer, call: Callable[[str], T]) -> T:
        """Return what *call* returns for the first of the server's addresses that answers."""
        try:
            addresses = asyncio.run(self.policy.checked_addresses(server.host, server.port))
        except HttpFailed as error:
            raise CeleryFailed(error.detail, may_pass=error.may_pass) from None
        failure: Exception | None = None
        for address in addresses:
            try:
                return call(server.host_to_call(str(address)))
            # Beside its own errors, each library lets through those of sockets and of TLS.
            except Exception as error:  # noqa: BLE001
                failure = error
        reason = "it has no address" if failure is None else reason_of(failure)
        raise CeleryFailed(
            f"{server.address} does not answer: {reason}.", may_pass=True
        ) from failure


def _connect(server: CeleryServer, host: str) -> Connection:
    """Return an open connection to a broker."""
    if server.kind == REDIS:
        options: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": IO_SECONDS,
            "global_keyprefix": server.key_prefix,
        }
    else:
        options = {
            "confirm_publish": True,
            "read_timeout": IO_SECONDS,
            "write_timeout": IO_SECONDS,
        }
        host = f"[{host}]" if ":" in host else host
    connection = Connection(
        hostname=host,
        port=server.port,
        userid=server.user,
        password=server.password,
        virtual_host=server.path,
        transport="redis" if server.kind == REDIS else "pyamqp",
        ssl=server.tls() or False,
        connect_timeout=CONNECT_SECONDS,
        transport_options=options,
    )
    try:
        # Once: a message of this attempt would come late by each pause of a retry.
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    except Exception:
        connection.release()
        raise
    return connection


def _require_queue(channel: Any, queue: str, broker: CeleryServer) -> None:
    try:
        channel.queue_declare(queue, passive=True)
    except Exception as error:
        raise CeleryFailed(
            f"{broker.address} has no queue {queue!r} in {broker.path!r} ({reason_of(error)}):"
            " nothing was sent."
        ) from error


def _get(server: CeleryServer, host: str, key: str) -> bytes | None:
    with Redis(
        host=host,
        port=server.port,
        db=int(server.path),
        username=server.user,
        password=server.password,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=IO_SECONDS,
        retry=Retry(NoBackoff(), 0),
        ssl=server.is_encrypted,
        **(server.tls() or {}),
    ) as client:
        value: Any = client.get(key)
    return value if isinstance(value, bytes) else None


def _result_prefix(prefix: str) -> str:
    """Return what stands before the key of a result, as Celery makes it of a key prefix."""
    return f"{prefix}_" if prefix and prefix[-1] not in ":_-." else prefix
