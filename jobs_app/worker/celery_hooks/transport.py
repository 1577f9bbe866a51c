"""kombu's Redis channel with prefetch; it drops messages that it cannot read."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual

from jobs_app.broker import transport
from jobs_app.broker.gate import Refusal
from jobs_app.celery_app import RUN_TASK
from jobs_app.worker.celery_hooks.prefetch import Prefetch

#: BRPOP time-out of a prefetch, seconds.
PREFETCH_POLL_SECONDS = 0.05


class Unacknowledged(redis.QoS):
    """The messages that are not acknowledged yet; those of runs are in memory only.

    kombu notes each message in Redis until it is acknowledged, to restore it if its worker
    dies: two round trips. A run does not need that: the janitor sends it again from its row.
    """

    channel: Any
    _delivered: Any
    _dirty: Any
    prefetch_count: int

    def can_consume(self) -> bool:
        """Tell whether the consumer may fetch or read a message."""
        prefetch = self.channel.prefetch
        if prefetch is None:
            return bool(super().can_consume())
        if self.channel._in_poll:
            # The requested message may have left its queue: read it from the socket.
            return True
        unaccepted = len(self._delivered) - len(self._dirty) - len(prefetch)
        has_credit = not self.prefetch_count or unaccepted < self.prefetch_count
        return has_credit and prefetch.may_fetch

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a fetched message."""
        if _is_run_message(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        if _is_run_message(self._delivered.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Return a message to its queue, as a stopping worker does."""
        message = self._delivered.get(tag)
        if not _is_run_message(message):
            super().restore_by_tag(tag, client, leftmost)
            return
        route = message.delivery_info
        with self.channel.conn_or_acquire(client) as connected:
            self.channel._do_restore_message(
                message._raw, route["exchange"], route["routing_key"], connected, leftmost
            )


def _is_run_message(message: Any) -> bool:
    """Tell whether *message* is about a run; it may be lost, because the row is the truth."""
    return message is not None and message.headers.get("task") == RUN_TASK


class TolerantChannel(transport.Channel):
    """Our channel; a message that is not JSON does not end the worker."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except transport.MALFORMED:
            self.gate.note(Refusal.UNREADABLE)
            # The message has left the queue, as a good one would have.
            return True

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)  # type: ignore[misc]  # as above
        except transport.MALFORMED as error:
            self.gate.note(Refusal.UNREADABLE)
            raise Empty from error


class Channel(TolerantChannel):
    """Our channel with prefetch."""

    QoS = Unacknowledged
    _in_poll: Any

    #: Decides when to fetch; None in processes that do not consume.
    prefetch: Prefetch | None = None

    def use_prefetch(self, prefetch: Prefetch) -> None:
        """Fetch messages as *prefetch* decides, and pass them to it."""
        self.prefetch = prefetch
        prefetch.open(self)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> Any:
        """Deliver the messages of a queue to *callback*."""

        def receive(message: Any) -> None:
            if self.prefetch is None or _is_run_message(message):
                # The strategy of runs passes the message to `prefetch` itself.
                callback(message)
            else:
                deliver = partial(callback, message)
                # Another task's message must not wait here: it would be lost with this process.
                self.prefetch.receive(message.delivery_tag, deliver, may_wait=False)

        return super().basic_consume(queue, no_ack, receive, consumer_tag, **options)

    def requeue(self, tags: Sequence[str]) -> None:
        """Return messages to the front of their queue."""
        if self.closed:
            return
        for tag in reversed(tags):
            # Not "leftmost": that is the back of the queue.
            self.qos.restore_by_tag(tag)  # type: ignore[attr-defined]  # the stubs have another class
            virtual.QoS.ack(self.qos, tag)

    def receive_pending(self) -> None:
        """Receive the requested message: it may have left its queue."""
        if self._in_poll and not self.closed:
            with suppress(Empty):
                self._brpop_read()

    def _brpop_start(self, timeout: float | None = None) -> None:
        if timeout is None and self.prefetch is not None and not self.prefetch.has_free_slot:
            timeout = PREFETCH_POLL_SECONDS
        super()._brpop_start(timeout)  # type: ignore[misc]  # the stubs lack it


def use_channel(*, with_prefetch: bool) -> None:
    """Use the worker's channel for each connection that our application opens from now on."""
    channel = Channel if with_prefetch else TolerantChannel
    transport.Transport.Channel = channel
    # The same with the one way to connect that differs.
    # Typed Any: a class that is made here has no type of its own.
    sentinel_transport: Any = transport.SentinelTransport
    sentinel_transport.Channel = type("SentinelChannel", (channel, redis.SentinelChannel), {})
