"""Sends messages to the workers of other people's Celery; errors are CeleryFailed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kombu import Exchange, Producer

from jobs_app.core.text import reason_of
from jobs_app.tasks.celery_connection import broker_connection
from jobs_app.tasks.celery_message import TaskMessage, revocation
from jobs_app.tasks.celery_server import AMQP, CeleryServer
from jobs_app.tasks.context import CeleryFailed
from jobs_app.tasks.network_policy import NetworkPolicy

#: Where workers listen for remote control: Celery's default `control_exchange`.
CONTROL_EXCHANGE = "celery.pidbox"

#: So many messages of a queue are looked at for one that nobody has taken.
NEWEST = 1000


@dataclass(frozen=True, slots=True)
class CeleryClient:
    """A broker with its workers."""

    broker: CeleryServer
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
                    reply_to=message.reply_to,
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

    def is_untaken(self, message: TaskMessage) -> bool:
        """Tell whether *message* lies in its queue, or nobody consumes that, with RabbitMQ.

        False if that cannot be known: among very many messages, or if the broker is away.
        """
        try:
            with self._channel() as channel:
                if self.broker.kind == AMQP:
                    declared = channel.queue_declare(message.queue, passive=True)
                    return bool(declared.message_count and not declared.consumer_count)
                return _is_in_list(channel, message)
        except Exception:  # noqa: BLE001  # a hint for people: no failure of it matters
            return False

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        connection = broker_connection(self.broker, self.policy)
        try:
            yield connection.default_channel
        finally:
            # The server has answered by then.
            with suppress(Exception):
                connection.release()


def _is_in_list(channel: Any, message: TaskMessage) -> bool:
    """Tell whether *message* is among the newest ones of its queue, which kombu pushes in front.

    kombu has a list for each step of priority.
    """
    wanted = message.id.encode()
    for step in channel.priority_steps:
        key = f"{message.queue}{channel.sep}{step}" if step else message.queue
        newest = channel.client.lrange(f"{channel.global_keyprefix}{key}", 0, NEWEST - 1)
        if any(wanted in text for text in newest):
            return True
    return False


def _require_queue(channel: Any, queue: str, broker: CeleryServer) -> None:
    try:
        channel.queue_declare(queue, passive=True)
    except Exception as error:
        raise CeleryFailed(
            f"{broker.address} has no queue {queue!r} in {broker.path!r} ({reason_of(error)}):"
            " nothing was sent."
        ) from error
