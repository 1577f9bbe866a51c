"""Counts equal events in windows of time, so that nobody fills the disk with them."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

#: Equal events are noted at once, and once with their number after this time, seconds.
WINDOW_SECONDS = 60.0

#: Most different events that are noted in that time.
MAX_NAMED = 10

Event = TypeVar("Event", bound=Hashable)


class RepeatCount(Generic[Event]):
    """Tells which events to note: at most 2 * MAX_NAMED + 1 times in WINDOW_SECONDS."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ends_at = 0.0
        #: Events of this window that are noted, with the number of those that are not.
        self._repeated: Counter[Event] = Counter()
        self._others = 0

    def is_new(self, event: Event) -> bool:
        """Tell whether to note *event*; else it is counted."""
        with self._lock:
            if not self._ends_at:
                self._ends_at = self._monotonic() + WINDOW_SECONDS
            if event in self._repeated:
                self._repeated[event] += 1
                return False
            if len(self._repeated) == MAX_NAMED:
                self._others += 1
                return False
            self._repeated[event] = 0
            return True

    def has_ended(self) -> bool:
        """Tell whether a window has begun and is over."""
        return bool(self._ends_at) and self._monotonic() >= self._ends_at

    def ended(self) -> tuple[dict[Event, int], int]:
        """Return how often events came again in the last window, and how many others came.

        Nothing is returned before the window ends; call this at each request.
        """
        return self.totals() if self.has_ended() else ({}, 0)

    def totals(self) -> tuple[dict[Event, int], int]:
        """Return the same of the present window, which ends."""
        with self._lock:
            repeated, others = self._repeated, self._others
            self._repeated, self._others, self._ends_at = Counter(), 0, 0.0
        return {event: count for event, count in repeated.items() if count}, others
