"""The end of a run that is held back for a moment, to be written with the next run's claim.

A busy worker gets its next message a fraction of a millisecond after it has ended a run.
The two written in one transaction take half the time of two transactions; what is written,
and under which guards, is the same. Nobody waits for longer than HOLD_SECONDS to see how a
run ended: when no message comes until then, the end is written by itself (see pools.py). And
where the last message was longer in coming, nothing is held back at all.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome

#: How long the end of a run waits for the next message, seconds.
HOLD_SECONDS = 0.002

#: A worker whose last message came sooner than that has a lot to do, seconds.
BUSY_SECONDS = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """How a run ended, and when; to be written."""

    claimed: ClaimedRun
    outcome: Outcome
    at: datetime


class Completer:
    """What the threads of a process hold back: each one at most, and any may write it."""

    def __init__(self) -> None:
        self._held: deque[FinishedRun] = deque()
        self._own = threading.local()
        self._idle_since = -math.inf
        self._is_busy = False

    def note_message(self) -> None:
        """Note that a message has come."""
        self._is_busy = time.monotonic() - self._idle_since < BUSY_SECONDS

    def note_idle(self) -> None:
        """Note that a message may come."""
        self._idle_since = time.monotonic()

    def hold(self, finished_run: FinishedRun) -> bool:
        """Hold back an end for which that is worth while; False: it is to be written at once.

        Of a failure somebody may wait to hear, and for the place of a key to be free.
        """
        is_plain = finished_run.outcome.is_plain and finished_run.claimed.concurrency_key is None
        if not (self._is_busy and is_plain):
            return False
        self._own.finished_run = finished_run
        self._held.append(finished_run)
        return True

    def take(self) -> FinishedRun | None:
        """Return an end that is held back, if there is one; whoever takes it writes it.

        This thread's own comes first: holding back the next one, it would forget it.
        """
        own = self.take_own()
        if own is not None:
            return own
        try:
            return self._held.popleft()
        except IndexError:
            return None

    @property
    def has_own(self) -> bool:
        """Whether this thread has held back an end; others may have written it since."""
        return getattr(self._own, "finished_run", None) is not None

    def take_own(self) -> FinishedRun | None:
        """Return what this thread holds back, if nobody else has taken it."""
        own: Any = getattr(self._own, "finished_run", None)
        self._own.finished_run = None
        try:
            self._held.remove(own)
        except ValueError:
            return None
        finished_run: FinishedRun = own
        return finished_run
