"""Holds the finish of a run for a moment, to write it in one transaction with the next claim.

A busy worker gets its next message a fraction of a millisecond after a run. One transaction
takes half the time of two; it writes the same under the same guards. If no message comes
within HOLD_SECONDS, the finish is written alone (see celery_hooks/pools.py). A worker that
is not busy holds nothing. JOBS_WORKER_PREFETCH=false turns all of this off.
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
from jobs_app.worker.output.run_log import RunLog

#: A finish waits this long for the next message, seconds.
HOLD_SECONDS = 0.002

#: A worker whose last message came sooner than this is busy, seconds.
BUSY_SECONDS = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """The outcome of a run, and when it ended; not written yet.

    `log` is its log if that could not be stored whole, None if it is stored.
    """

    claimed: ClaimedRun
    outcome: Outcome
    at: datetime
    log: RunLog | None = None


class Completer:
    """The held finishes of a process: at most one a thread; any thread may write it."""

    def __init__(self) -> None:
        self._held: deque[FinishedRun] = deque()
        self._own = threading.local()
        self._idle_since = -math.inf
        self._is_busy = False

    def note_message(self) -> None:
        """Note that a message has arrived."""
        self._is_busy = time.monotonic() - self._idle_since < BUSY_SECONDS

    def note_idle(self) -> None:
        """Note that this thread is ready for the next message."""
        self._idle_since = time.monotonic()

    def hold(self, finished_run: FinishedRun) -> bool:
        """Hold a finish if the worker is busy; False: the caller must write it at once.

        Never holds failures (somebody may wait for the news), keyed runs (others wait for
        the slot) nor runs whose log must be stored first.
        """
        is_plain = finished_run.outcome.is_plain and finished_run.claimed.concurrency_key is None
        is_plain = is_plain and finished_run.log is None
        if not (self._is_busy and is_plain):
            return False
        self._own.finished_run = finished_run
        self._held.append(finished_run)
        return True

    def take(self) -> FinishedRun | None:
        """Return a held finish, if there is one; the caller must write it.

        This thread's own comes first: a thread can hold only one.
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
        """Whether this thread has held a finish; another thread may have written it since."""
        return getattr(self._own, "finished_run", None) is not None

    def take_own(self) -> FinishedRun | None:
        """Return the finish that this thread holds, if no other thread has taken it."""
        own: Any = getattr(self._own, "finished_run", None)
        self._own.finished_run = None
        try:
            self._held.remove(own)
        except ValueError:
            return None
        finished_run: FinishedRun = own
        return finished_run
