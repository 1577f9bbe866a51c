"""Finds runs that are running on this worker by the database, but that no process works on.

Normally there are none: a process writes the finish of its run, and the main process sees a
process die. If both fail, nobody else would finish the run while its worker lives.
"""

import math
import time
from collections.abc import Callable, Iterable
from uuid import UUID

from jobs_app.worker.liveness.active_runs import ActiveRuns, Attempt

#: A run that nobody works on for this long is stalled, seconds. A held finish takes
#: milliseconds; if the database is away it takes longer, but then nobody polls either.
STALLED_SECONDS = 15.0

#: Time between two checks, seconds.
STALLED_POLL_SECONDS = 5.0


class StalledRuns:
    """Finds, over several checks, the attempts that nobody works on."""

    def __init__(self, active_runs: ActiveRuns, now: Callable[[], float] = time.monotonic) -> None:
        self._active_runs = active_runs
        self._now = now
        self._since: dict[Attempt, float] = {}
        self._next_check_at = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next check."""
        return self._now() >= self._next_check_at

    def is_active(self, run_id: UUID, attempt: int) -> bool:
        """Tell whether a living process or thread of this worker works on an attempt."""
        return self._active_runs.is_active(run_id, attempt)

    def find(self, running: Iterable[Attempt]) -> list[Attempt]:
        """Return those of *running*, just read, that nobody has worked on for STALLED_SECONDS."""
        now = self._now()
        self._next_check_at = now + STALLED_POLL_SECONDS
        if not self._active_runs.is_complete:
            return []
        known = self._active_runs.attempts()
        self._since = {
            attempt: self._since.get(attempt, now) for attempt in running if attempt not in known
        }
        return [attempt for attempt, since in self._since.items() if now - since >= STALLED_SECONDS]
