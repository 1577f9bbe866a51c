"""Runs that are this worker's by the database, and that nobody in it works on.

There should be none: what ends a run puts it on record, and when a process dies the main
process sees it. Should both ever fail, nobody else would end the run while its worker lives.
"""

import math
import time
from collections.abc import Callable, Iterable
from uuid import UUID

from jobs_app.worker.liveness.active_runs import ActiveRuns, Attempt

#: How long nobody may have worked on a run until it is given up, seconds. An end that is held
#: back takes milliseconds, or as long as the database is away: then nobody looks either.
STALLED_SECONDS = 15.0

#: Time between two looks, seconds.
STALLED_POLL_SECONDS = 5.0


class StalledRuns:
    """Finds, in look after look, the attempts that nobody works on."""

    def __init__(self, active_runs: ActiveRuns, now: Callable[[], float] = time.monotonic) -> None:
        self._active_runs = active_runs
        self._now = now
        self._since: dict[Attempt, float] = {}
        self._next_look = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return self._now() >= self._next_look

    def is_active(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether a living process, or thread, of this worker has an attempt in hand."""
        return self._active_runs.is_active(run_id, attempt)

    def find(self, running: Iterable[Attempt]) -> list[Attempt]:
        """Return which of *running*, just read, nobody has worked on for STALLED_SECONDS."""
        now = self._now()
        self._next_look = now + STALLED_POLL_SECONDS
        if not self._active_runs.is_complete:
            return []
        known = self._active_runs.attempts()
        self._since = {
            attempt: self._since.get(attempt, now) for attempt in running if attempt not in known
        }
        return [attempt for attempt, since in self._since.items() if now - since >= STALLED_SECONDS]
