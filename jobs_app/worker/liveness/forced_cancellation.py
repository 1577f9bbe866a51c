"""Ends pool processes that do not listen: C code may hold Python's lock for as long as it likes.

A run that is to end is ended by its own process, which watches for that (see watch.py).
When nothing in it can run, the worker's main process does it from outside.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

from sqlalchemy.orm import Session

from jobs_app.core.states import CancelMode
from jobs_app.runs import outbox
from jobs_app.runs.cancel import CancelRequest, cancel_requests
from jobs_app.worker.liveness.active_runs import Attempt
from jobs_app.worker.liveness.cancellation import LAST_GRACE_SECONDS
from jobs_app.worker.liveness.lease import Lease

log = logging.getLogger(__name__)

#: What the process of a run gets beyond what its own watch grants, to be first; seconds.
FORCE_DELAY_SECONDS = 1.5


class ForcedCancellation:
    """Looks, from outside, after the runs that were asked to end.

    *active_runs* returns which process of the pool works on which attempt.
    """

    def __init__(self, lease: Lease, active_runs: Callable[[], Mapping[Attempt, int]]) -> None:
        self._lease = lease
        self._active_runs = active_runs
        self._asked_since: dict[Attempt, float] = {}

    @property
    def has_work(self) -> bool:
        """Whether there is a run to look after."""
        return bool(self._active_runs())

    def check(self, open_session: Callable[[], AbstractContextManager[Session]]) -> None:
        """Kill the processes whose run should have ended by now."""
        if not self.has_work:
            return
        with open_session() as session:
            asked = cancel_requests(session, self._lease.worker_id)
        now = time.monotonic()
        self._asked_since = {
            (each.run_id, each.attempt): self._asked_since.get((each.run_id, each.attempt), now)
            for each in asked
        }
        for each in asked:
            attempt = (each.run_id, each.attempt)
            pid = self._active_runs().get(attempt)
            if pid is not None and now >= self._asked_since[attempt] + grace_seconds(each):
                log.warning("run_killed_from_outside run=%s attempt=%s", *attempt)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def grace_seconds(asked: CancelRequest) -> float:
    """Return how long the process of a run may take to end it, seconds."""
    if asked.task in outbox.KEEPS_OWN_LIMITS:
        return asked.kill_grace_seconds + LAST_GRACE_SECONDS + FORCE_DELAY_SECONDS
    if asked.mode is CancelMode.KILL:
        return FORCE_DELAY_SECONDS
    return asked.kill_grace_seconds + FORCE_DELAY_SECONDS
