"""Reads the queue, also when something lies in it that nobody should have put there."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any

from kombu.transport import redis, virtual

from jobs_app.celery_app import RUN_TASK
from jobs_app.worker.celery_hooks.prefetch import Prefetch

log = logging.getLogger(__name__)

#: What kombu stumbles over when a message is no JSON, no object, or lacks a part.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)

#: How long Redis waits for a message that no process is free for yet, seconds.
PREFETCH_POLL_SECONDS = 0.05


class Unacknowledged(redis.QoS):
    """What was taken from the queue and is not acknowledged: runs' messages in memory only.

    kombu notes every message in Redis, so that it is found again when its worker is gone,
    and takes the note back: two round trips. What is found again of a run is its row.
    """

    channel: Any
    _delivered: Any
    _dirty: Any
    prefetch_count: int

    def can_consume(self) -> bool:
        """Tell whether a message may be asked for, or read."""
        prefetch = self.channel.prefetch
        if prefetch is None:
            return bool(super().can_consume())
        if self.channel._in_poll:
            # What was asked for may have left its queue, and must not lie in a socket.
            return True
        unaccepted = len(self._delivered) - len(self._dirty) - len(prefetch)
        has_credit = not self.prefetch_count or unaccepted < self.prefetch_count
        return has_credit and prefetch.may_fetch

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message."""
        if _is_run_message(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message: somebody has accepted it."""
        if _is_run_message(self._delivered.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, as a worker that stops does with the last ones."""
        message = self._delivered.get(tag)
        if not _is_run_message(message):
            super().restore_by_tag(tag, client, leftmost)
            return
        place = message.delivery_info
        with self.channel.conn_or_acquire(client) as connected:
            self.channel._do_restore_message(
                message._raw, place["exchange"], place["routing_key"], connected, leftmost
            )


def _is_run_message(message: Any) -> bool:
    """Tell whether *message* is about a run, and so may be lost: its row is the truth."""
    return message is not None and message.headers.get("task") == RUN_TASK


class Channel(redis.Channel):
    """kombu's channel; a message that it cannot read is dropped and does not end the worker."""

    QoS = Unacknowledged
    _in_poll: Any

    #: Says when messages are asked for; None if nobody works on them.
    prefetch: Prefetch | None = None

    def use_prefetch(self, prefetch: Prefetch) -> None:
        """Ask for messages as *ahead* says from now on, and give it those that come."""
        self.prefetch = prefetch
        prefetch.open(self)

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Any, consumer_tag: str | None, **options: Any
    ) -> Any:
        """Have the messages of a queue come to *callback*."""

        def receive(message: Any) -> None:
            if self.prefetch is None or _is_run_message(message):
                # What is done with a run's message says itself that it may wait.
                callback(message)
            else:
                deliver = partial(callback, message)
                # It may not: it would be lost with this process, and no row tells of it.
                self.prefetch.receive(message.delivery_tag, deliver, may_wait=False)

        return super().basic_consume(queue, no_ack, receive, consumer_tag, **options)

    def requeue(self, tags: Sequence[str]) -> None:
        """Put messages back where they were, ahead of all that came after them."""
        if self.closed:
            return
        for tag in reversed(tags):
            # Not "leftmost": there the queue ends.
            self.qos.restore_by_tag(tag)  # type: ignore[attr-defined]  # it is ours
            virtual.QoS.ack(self.qos, tag)

    def receive_pending(self) -> None:
        """Take what Redis was asked for: it may have left its queue."""
        if self._in_poll and not self.closed:
            with suppress(Empty):
                self._brpop_read()

    def _brpop_start(self, timeout: float | None = None) -> None:
        if timeout is None and self.prefetch is not None and not self.prefetch.has_free_slot:
            timeout = PREFETCH_POLL_SECONDS
        super()._brpop_start(timeout)  # type: ignore[misc]  # the stubs lack it

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # as above
        except UNREADABLE as error:
            log.warning("message_unreadable error=%s", type(error).__name__)
            # It was taken from the queue, as a good one would have been.
            return True


def use_tolerant_channel() -> None:
    """Have every connection that this process opens from now on read with our channel."""
    redis.Transport.Channel = Channel
