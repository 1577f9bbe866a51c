"""Reads the queue, also when something lies in it that nobody should have put there."""

import logging
from typing import Any, ClassVar

from kombu.transport import redis, virtual

from jobs_app.celery_app import RUN_TASK
from jobs_app.worker.lease import Lease

log = logging.getLogger(__name__)

#: What kombu stumbles over when a message is no JSON, no object, or lacks a part.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


class Unacknowledged(redis.QoS):
    """What was taken from the queue and is not acknowledged: runs' messages in memory only.

    kombu notes every message in Redis, so that it is found again when its worker is gone,
    and takes the note back: two round trips. What is found again of a run is its row.
    """

    #: The worker's, once it has one.
    lease: ClassVar[Lease | None] = None

    channel: Any
    _delivered: Any

    def can_consume(self) -> bool:
        """Tell whether a message may be taken: one that nobody here can claim is lost to others."""
        is_cut_off = self.lease is not None and not self.lease.is_fresh
        return not is_cut_off and bool(super().can_consume())

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message."""
        if _is_hint(message):
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Forget a message: somebody has accepted it."""
        if _is_hint(self._delivered.get(delivery_tag)):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Put a message back into its queue, as a worker that stops does with the last ones."""
        message = self._delivered.get(tag)
        if not _is_hint(message):
            super().restore_by_tag(tag, client, leftmost)
            return
        place = message.delivery_info
        with self.channel.conn_or_acquire(client) as connected:
            self.channel._do_restore_message(
                message._raw, place["exchange"], place["routing_key"], connected, leftmost
            )


def _is_hint(message: Any) -> bool:
    """Tell whether *message* is about a run, and so may be lost: its row is the truth."""
    return message is not None and message.headers.get("task") == RUN_TASK


class Channel(redis.Channel):
    """kombu's channel; a message that it cannot read is dropped and does not end the worker."""

    QoS = Unacknowledged

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except UNREADABLE as error:
            log.warning("message_unreadable error=%s", type(error).__name__)
            # It was taken from the queue, as a good one would have been.
            return True


def use_tolerant_channel(lease: Lease) -> None:
    """Have every connection that this process opens from now on read with our channel."""
    Unacknowledged.lease = lease
    redis.Transport.Channel = Channel
