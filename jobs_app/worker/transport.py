"""Reads the queue, also when something lies in it that nobody should have put there."""

import logging
from typing import Any

from kombu.transport import redis

log = logging.getLogger(__name__)

#: What kombu stumbles over when a message is no JSON, no object, or lacks a part.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


class Channel(redis.Channel):
    """kombu's channel; a message that it cannot read is dropped and does not end the worker."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs lack it
        except UNREADABLE as error:
            log.warning("message_unreadable error=%s", type(error).__name__)
            # It was taken from the queue, as a good one would have been.
            return True


def use_tolerant_channel() -> None:
    """Have every connection that this process opens from now on read with our channel."""
    redis.Transport.Channel = Channel
