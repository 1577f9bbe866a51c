"""Kills pool processes that do not respond to a cancel, for example C code that holds the GIL.

Normally the cancel listener of the pool process ends its run (cancellation.py). When no
Python code can run in that process, the worker's main process kills it.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

from sqlalchemy.orm import Session

from jobs_app.runs import outbox
from jobs_app.runs.cancel import CancelRequest, cancel_requests
from jobs_app.worker.liveness.active_runs import Attempt
from jobs_app.worker.liveness.cancellation import grace_seconds
from jobs_app.worker.liveness.lease import Lease

log = logging.getLogger(__name__)

#: Extra seconds before we act, so that the run's own process acts first.
FORCE_DELAY_SECONDS = 1.5


class ForcedCancellation:
    """Kills, from the main process, pool processes whose cancelled run does not end.

    *active_runs* returns the process id of each active attempt.
    """

    def __init__(self, lease: Lease, active_runs: Callable[[], Mapping[Attempt, int]]) -> None:
        self._lease = lease
        self._active_runs = active_runs
        self._requested_at: dict[Attempt, float] = {}

    @property
    def has_work(self) -> bool:
        """Whether any run is active."""
        return bool(self._active_runs())

    def check(self, open_session: Callable[[], AbstractContextManager[Session]]) -> None:
        """Kill the processes whose cancelled run should have ended by now."""
        if not self.has_work:
            return
        with open_session() as session:
            requests = cancel_requests(session, self._lease.worker_id)
        now = time.monotonic()
        attempts = {(request.run_id, request.attempt): request for request in requests}
        self._requested_at = {attempt: self._requested_at.get(attempt, now) for attempt in attempts}
        for attempt, request in attempts.items():
            pid = self._active_runs().get(attempt)
            if pid is not None and now >= self._requested_at[attempt] + grace_of(request):
                log.warning("run_killed_from_outside run=%s attempt=%s", *attempt)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def grace_of(request: CancelRequest) -> float:
    """Return how long the process of a cancelled run may take to end it, seconds."""
    is_cooperative = request.task in outbox.ENFORCES_OWN_LIMITS
    grace = grace_seconds(request.limits, request.mode, is_cooperative=is_cooperative)
    return grace + FORCE_DELAY_SECONDS
