"""Runs' messages that a worker takes a moment before its pool has a place for them.

Between the end of a run and the next one lies the way to Redis and back, in which a process
has nothing to do. A worker whose runs are short therefore asks beforehand, and keeps what comes
until there is a place, in the order in which it came. It keeps nothing for long: what there was
no place for goes back to where it was, to be had by a worker that has time.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from celery import bootsteps
from celery.worker import state

from jobs_app.worker.pool_process import this_process

#: A run is short that takes no longer. So long after its end another short one is expected.
SHORT_SECONDS = 0.05

#: How long a message is kept, seconds.
KEEP_SECONDS = 0.1


class Source(Protocol):
    """Where messages come from."""

    def requeue(self, tags: Sequence[str]) -> None:
        """Put messages back where they were, ahead of all that came after them."""

    def receive_pending(self) -> None:
        """Take what is on its way."""


class PrefetchedMessage(NamedTuple):
    """A message that waits for a place."""

    tag: str
    deliver: Callable[[], object]
    since: float


class Prefetch:
    """What has been taken and not been handed over, and whether more may be taken.

    `slots` says how many the pool works on at once, `taken` how many of them are taken.
    Its methods are the event loop's to call, if no other thread is said to.
    """

    def __init__(
        self,
        slots: Callable[[], int],
        taken: Callable[[], int],
        *,
        is_eager: bool = True,
        call_after: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._used = taken
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
        """Begin, or begin anew with another connection: of the one before nothing is left."""
        self._messages.clear()
        self._short_until = 0.0
        self._is_check_scheduled = False
        self._source = source
        self._is_open = True

    def close(self) -> None:
        """Hand over nothing any more, and give back what is kept or on its way."""
        self._is_open = False
        if self._source is not None:
            self._source.receive_pending()
        self._requeue_all()

    @property
    def has_free_slot(self) -> bool:
        """Whether a place is free that nothing waits for."""
        return self._used() + len(self._messages) < self._slots()

    @property
    def may_fetch(self) -> bool:
        """Whether a message may be asked for."""
        return self._is_open and (
            self.has_free_slot
            or (
                self._is_eager
                and len(self._messages) < self._slots()
                and self._now() < self._short_until
            )
        )

    def note_finished(self, seconds: float) -> None:
        """Note that a run has ended, and how long it has taken. Any thread may."""
        if seconds <= SHORT_SECONDS:
            self._short_until = self._now() + SHORT_SECONDS

    def receive(self, tag: str, deliver: Callable[[], object], *, may_wait: bool) -> None:
        """Hand over a message that has come, or keep it; or give it back if it may not wait."""
        # None is handed over before those that came earlier.
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
        """Hand over as much as there are slots for."""
        while self._messages and self._is_free:
            self._messages.popleft().deliver()

    @property
    def _is_free(self) -> bool:
        return self._is_open and self._used() < self._slots()

    def _schedule_check(self, seconds: float) -> None:
        self._is_check_scheduled = True
        self._call_after(seconds, self._check)

    def _check(self) -> None:
        """Give back what has been kept for long enough."""
        self._is_check_scheduled = False
        # Not only the end of a run makes room, and of the rest nobody tells.
        self.deliver()
        if not self._messages:
            return
        left = self._messages[0].since + KEEP_SECONDS - self._now()
        if left > 0:
            self._schedule_check(left)
        else:
            self._requeue_all()

    def _requeue_all(self) -> None:
        tags = [kept.tag for kept in self._messages]
        self._messages.clear()
        self._requeue(tags)

    def _requeue(self, tags: Sequence[str]) -> None:
        # It would be taken again at once.
        self._short_until = 0.0
        if tags and self._source is not None:
            self._source.requeue(tags)


class PrefetchStep(bootsteps.StartStopStep):
    """Has Celery's consumer ask for messages as `Prefetch` says."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        super().__init__(consumer)
        lease = this_process().lease

        def slots() -> int:
            # What nobody here can claim is lost to others.
            return _pool_size(consumer) if lease.is_fresh else 0

        consumer.prefetch = Prefetch(
            slots,
            lambda: len(state.reserved_requests),
            # Without an event loop nobody could hand over what is kept.
            is_eager=consumer.hub is not None,
            call_after=consumer.timer.call_after,
        )

    def start(self, consumer: Any) -> None:
        """Begin with the channel that messages will come from."""
        consumer.task_consumer.channel.use_prefetch(consumer.prefetch)

    def stop(self, consumer: Any) -> None:
        """Leave nothing with this worker that it will not work on."""
        # The connection may be lost, and with it what came by it: the rows tell of that.
        with suppress(*consumer.connection_errors):
            consumer.prefetch.close()


def _pool_size(consumer: Any) -> int:
    """Return how many runs the pool works on at once, at most."""
    grown = getattr(consumer.controller, "max_concurrency", None)
    return int(grown or consumer.pool.num_processes)
