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
KEPT_SECONDS = 0.1


class Source(Protocol):
    """Where messages come from."""

    def give_back(self, tags: Sequence[str]) -> None:
        """Put messages back where they were, ahead of all that came after them."""

    def take_last(self) -> None:
        """Take what is on its way."""


class Kept(NamedTuple):
    """A message that waits for a place."""

    tag: str
    hand_over: Callable[[], object]
    since: float


class Ahead:
    """What has been taken and not been handed over, and whether more may be taken.

    `places` says how many the pool works on at once, `taken` how many of them are taken.
    Its methods are the event loop's to call, if no other thread is said to.
    """

    def __init__(
        self,
        places: Callable[[], int],
        taken: Callable[[], int],
        *,
        is_eager: bool = True,
        call_after: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = places
        self._taken = taken
        self._is_eager = is_eager
        self._call_after = call_after
        self._now = now
        self._kept: deque[Kept] = deque()
        self._short_until = 0.0
        self._is_watched = False
        self._source: Source | None = None
        self._is_open = False

    def __len__(self) -> int:
        return len(self._kept)

    def open(self, source: Source) -> None:
        """Begin, or begin anew with another connection: of the one before nothing is left."""
        self._kept.clear()
        self._short_until = 0.0
        self._is_watched = False
        self._source = source
        self._is_open = True

    def close(self) -> None:
        """Hand over nothing any more, and give back what is kept or on its way."""
        self._is_open = False
        if self._source is not None:
            self._source.take_last()
        self._return_all()

    @property
    def has_place(self) -> bool:
        """Whether a place is free that nothing waits for."""
        return self._taken() + len(self._kept) < self._places()

    @property
    def may_ask(self) -> bool:
        """Whether a message may be asked for."""
        return self._is_open and (
            self.has_place
            or (
                self._is_eager
                and len(self._kept) < self._places()
                and self._now() < self._short_until
            )
        )

    def note_end(self, seconds: float) -> None:
        """Note that a run has ended, and how long it has taken. Any thread may."""
        if seconds <= SHORT_SECONDS:
            self._short_until = self._now() + SHORT_SECONDS

    def receive(self, tag: str, hand_over: Callable[[], object], *, may_wait: bool) -> None:
        """Hand over a message that has come, or keep it; or give it back if it may not wait."""
        # None is handed over before those that came earlier.
        self.hand_over()
        if not self._kept and self._is_free:
            hand_over()
        elif may_wait:
            self._kept.append(Kept(tag, hand_over, self._now()))
            if not self._is_watched:
                self._watch(KEPT_SECONDS)
        else:
            self._return([tag])

    def hand_over(self) -> None:
        """Hand over as much as there are places for."""
        while self._kept and self._is_free:
            self._kept.popleft().hand_over()

    @property
    def _is_free(self) -> bool:
        return self._is_open and self._taken() < self._places()

    def _watch(self, seconds: float) -> None:
        self._is_watched = True
        self._call_after(seconds, self._look)

    def _look(self) -> None:
        """Give back what has been kept for long enough."""
        self._is_watched = False
        # Not only the end of a run makes room, and of the rest nobody tells.
        self.hand_over()
        if not self._kept:
            return
        left = self._kept[0].since + KEPT_SECONDS - self._now()
        if left > 0:
            self._watch(left)
        else:
            self._return_all()

    def _return_all(self) -> None:
        tags = [kept.tag for kept in self._kept]
        self._kept.clear()
        self._return(tags)

    def _return(self, tags: Sequence[str]) -> None:
        # It would be taken again at once.
        self._short_until = 0.0
        if tags and self._source is not None:
            self._source.give_back(tags)


class Step(bootsteps.StartStopStep):
    """Has Celery's consumer ask for messages as `Ahead` says."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        super().__init__(consumer)
        lease = this_process().lease

        def places() -> int:
            # What nobody here can claim is lost to others.
            return _most(consumer) if lease.is_fresh else 0

        consumer.ahead = Ahead(
            places,
            lambda: len(state.reserved_requests),
            # Without an event loop nobody could hand over what is kept.
            is_eager=consumer.hub is not None,
            call_after=consumer.timer.call_after,
        )

    def start(self, consumer: Any) -> None:
        """Begin with the channel that messages will come from."""
        consumer.task_consumer.channel.ask_as(consumer.ahead)

    def stop(self, consumer: Any) -> None:
        """Leave nothing with this worker that it will not work on."""
        # The connection may be lost, and with it what came by it: the rows tell of that.
        with suppress(*consumer.connection_errors):
            consumer.ahead.close()


def _most(consumer: Any) -> int:
    """Return how many runs the pool works on at once, at most."""
    grown = getattr(consumer.controller, "max_concurrency", None)
    return int(grown or consumer.pool.num_processes)
