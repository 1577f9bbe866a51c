"""Prefetch: a worker fetches messages of runs a moment before its pool has a free slot.

Between two runs a pool process waits for a round trip to Redis. A worker with short runs
fetches earlier and keeps the messages, in order, until a slot is free. It keeps them only
briefly and then returns them to their queue, for a worker with free slots.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from celery import bootsteps
from celery.worker import state

from jobs_app.worker.pool_process import this_process

#: A run shorter than this is 'short'. For this long after one, prefetch.
SHORT_SECONDS = 0.05

#: A message is kept at most this long, seconds.
KEEP_SECONDS = 0.1


class Source(Protocol):
    """The channel that messages come from."""

    def requeue(self, tags: Sequence[str]) -> None:
        """Return messages to the front of their queue."""

    def receive_pending(self) -> None:
        """Receive the message that Redis was asked for, if there is one."""


class PrefetchedMessage(NamedTuple):
    """A message that waits for a free slot."""

    tag: str
    deliver: Callable[[], object]
    since: float


class Prefetch:
    """The messages that were fetched and not delivered, and whether to fetch more.

    `slots` returns the size of the pool, `used` how many slots are in use. Only the event loop
    may call its methods, except where another thread is named.
    """

    def __init__(
        self,
        slots: Callable[[], int],
        used: Callable[[], int],
        *,
        is_eager: bool = True,
        call_after: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._used = used
        self._is_eager = is_eager
        self._call_after = call_after
        self._now = now
        self._messages: deque[PrefetchedMessage] = deque()
        self._short_until = 0.0
        self._is_check_scheduled = False
        self._source: Source | None = None
        self._is_open = False

    def __len__(self) -> int:
        return len(self._messages)

    def open(self, source: Source) -> None:
        """Start with *source*; messages of an earlier connection are forgotten."""
        self._messages.clear()
        self._short_until = 0.0
        self._is_check_scheduled = False
        self._source = source
        self._is_open = True

    def close(self) -> None:
        """Stop delivering, and return all messages that are kept or requested."""
        self._is_open = False
        if self._source is not None:
            self._source.receive_pending()
        self._requeue_all()

    @property
    def has_free_slot(self) -> bool:
        """Whether a slot is free that no kept message needs."""
        return self._used() + len(self._messages) < self._slots()

    @property
    def may_fetch(self) -> bool:
        """Whether to ask Redis for a message."""
        return self._is_open and (
            self.has_free_slot
            or (
                self._is_eager
                and len(self._messages) < self._slots()
                and self._now() < self._short_until
            )
        )

    def note_finished(self, seconds: float) -> None:
        """Note the end of a run that took *seconds*. Any thread may call it."""
        if seconds <= SHORT_SECONDS:
            self._short_until = self._now() + SHORT_SECONDS

    def receive(self, tag: str, deliver: Callable[[], object], *, may_wait: bool) -> None:
        """Deliver a new message, keep it, or return it to its queue unless it *may_wait*."""
        # Earlier messages first.
        self.deliver()
        if not self._messages and self._is_free:
            deliver()
        elif may_wait:
            self._messages.append(PrefetchedMessage(tag, deliver, self._now()))
            if not self._is_check_scheduled:
                self._schedule_check(KEEP_SECONDS)
        else:
            self._requeue([tag])

    def deliver(self) -> None:
        """Deliver as many messages as there are free slots."""
        while self._messages and self._is_free:
            self._messages.popleft().deliver()

    @property
    def _is_free(self) -> bool:
        return self._is_open and self._used() < self._slots()

    def _schedule_check(self, seconds: float) -> None:
        self._is_check_scheduled = True
        self._call_after(seconds, self._check)

    def _check(self) -> None:
        """Return the messages if they were kept for too long."""
        self._is_check_scheduled = False
        # A slot can also become free without a notice, for example from another task.
        self.deliver()
        if not self._messages:
            return
        left = self._messages[0].since + KEEP_SECONDS - self._now()
        if left > 0:
            self._schedule_check(left)
        else:
            self._requeue_all()

    def _requeue_all(self) -> None:
        tags = [message.tag for message in self._messages]
        self._messages.clear()
        self._requeue(tags)

    def _requeue(self, tags: Sequence[str]) -> None:
        # Pause prefetch, else we would fetch them again at once.
        self._short_until = 0.0
        if tags and self._source is not None:
            self._source.requeue(tags)


class PrefetchStep(bootsteps.StartStopStep):
    """Makes Celery's consumer fetch messages as `Prefetch` says."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        super().__init__(consumer)
        lease = this_process().lease

        def slots() -> int:
            # Without a fresh lease this worker cannot claim: leave the messages to other workers.
            return _pool_size(consumer) if lease.is_fresh else 0

        consumer.prefetch = Prefetch(
            slots,
            lambda: len(state.reserved_requests),
            # Without an event loop nothing would deliver the kept messages.
            is_eager=consumer.hub is not None,
            call_after=consumer.timer.call_after,
        )

    def start(self, consumer: Any) -> None:
        """Start with the consumer's channel."""
        consumer.task_consumer.channel.use_prefetch(consumer.prefetch)

    def stop(self, consumer: Any) -> None:
        """Return the messages that this worker will not work on."""
        # If the connection is lost, so are its messages; the janitor sends them again.
        with suppress(*consumer.connection_errors):
            consumer.prefetch.close()


def _pool_size(consumer: Any) -> int:
    """Return how many runs the pool can run at once."""
    autoscaled = getattr(consumer.controller, "max_concurrency", None)
    return int(autoscaled or consumer.pool.num_processes)
