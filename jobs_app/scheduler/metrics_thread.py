"""The thread in which a scheduler counts for /metrics, beside the tick."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.core.job_series import JobSeries
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.db.errors import PutAside, error_name
from jobs_app.runs.counting import RunCounter
from jobs_app.runs.traces import Span

log = logging.getLogger(__name__)

#: The time between two steps, seconds.
STEP_SECONDS = 5.0

#: The pause between steps while there is more to count, seconds.
BACKLOG_PAUSE_SECONDS = 0.2


class MetricsThread:
    """Counts runs and writes what this process has counted, until it is stopped.

    Every scheduler does so, also a standby: nobody is active while Redis is down.
    """

    def __init__(
        self,
        database: Database,
        pending: PendingCounts,
        series: JobSeries,
        *,
        on_spans: Callable[[list[Span]], None] | None = None,
    ) -> None:
        self._database = database
        self._pending = pending
        self._counter = RunCounter(database, series, on_spans=on_spans)
        self._put_aside = PutAside("metrics_put_aside")
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and write what was counted since the last step."""
        self._is_stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
            self._step_or_log()

    def _run(self) -> None:
        has_more = False
        while not self._is_stopped.wait(BACKLOG_PAUSE_SECONDS if has_more else STEP_SECONDS):
            has_more = self._step_or_log()

    def _step_or_log(self) -> bool:
        try:
            return bool(self._put_aside.run("step", self.step))
        except (SQLAlchemyError, OSError, MemoryError) as error:
            log.warning("metrics_wait_for_database error=%s", error_name(error))
            return False

    def step(self) -> bool:
        """Write what was counted; return whether more runs are to be counted."""
        self._pending.write(self._database)
        return self._counter.step(at=clock.now())
