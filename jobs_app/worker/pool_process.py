"""What one pool process holds: its database, its watch, and what it inherited of the worker.

The main process prepares a `Process` before the pool forks; each child completes its own
copy after the fork, so that no connection and no thread is shared.
"""

import os
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from typing import Any
from uuid import UUID

from billiard import current_process
from celery import Celery

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.worker.completer import Completer
from jobs_app.worker.liveness.active_runs import ActiveRuns
from jobs_app.worker.liveness.cancellation import CancelListener
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.output.capture import own_descriptors
from jobs_app.worker.process_state import ProcessState, is_short_of_files


class Process:
    """The surroundings of the runs that one process works on."""

    def __init__(self, app: Celery, settings: Settings, name: str, *, is_prefork: bool) -> None:
        self.app = app
        self.settings = settings
        self.name = name
        self.is_prefork = is_prefork
        self.lease = Lease(settings.fence_seconds)
        # A run's claim and end, and a few for logs, the watch and the rest; what is lent beyond
        # them is opened anew each time.
        size = 5 + (0 if is_prefork else settings.worker_concurrency)
        self.database = Database(settings.effective_database_url, has_single=True, pool_size=size)
        self.cancel_listener = CancelListener(
            self.database, self.lease, may_kill_process=is_prefork
        )
        # Set by a pool that writes, before it waits, what is held back (see pools.py).
        self.can_hold_finish = False
        self.completer = Completer()
        self.active_runs = ActiveRuns()
        self.tracers: dict[str, Callable[..., Any]] = {}
        self.must_exit = False
        self._saved_state: ProcessState | None = None
        self._dropped = RawValue("L", 0)
        self._dropped_reported = 0
        # Of the worker's main process: whom it tells of runs whose process is gone, and
        # what each process has worked on last, the end of which it may hold back.
        self.report_dead: Callable[[UUID, int, str], None] | None = None
        self._last_runs: dict[int, tuple[UUID, int]] = {}
        self._pid = os.getpid()

    def after_fork(self) -> None:
        """Make this copy the child's own."""
        self.database.after_fork()
        self.cancel_listener = CancelListener(
            self.database, self.lease, may_kill_process=self.is_prefork
        )
        self.tracers = {}
        if self.is_prefork:
            # The place of a process in its pool; who takes that of a dead one, gets its number.
            pool_process: Any = current_process()
            self.active_runs.take_slot(pool_process.index)
            own_descriptors()

    def save_state(self) -> None:
        """Note what this process has, once: what a task changes of it is put back after it."""
        if self.is_prefork and self._saved_state is None:
            self._saved_state = ProcessState.of_this_process()

    def restore_state(self) -> None:
        """Give this process back what it had before the task; does nothing among threads."""
        if self._saved_state is not None:
            self._saved_state.restore()
            self.must_exit = is_short_of_files()

    def note_last_run(self, pid: int, run_id: UUID, attempt: int) -> None:
        """Note that a pool process has done its work on a run."""
        self._last_runs[pid] = (run_id, attempt)

    def report_gone(self, pid: int) -> None:
        """Have the last run of a pool process that is gone ended, if it has not been."""
        last = self._last_runs.pop(pid, None)
        if last is not None and self.report_dead is not None:
            self.report_dead(*last, "The process of the run died before its end was on record.")

    def count_dropped(self) -> None:
        """Count a message that was not for us; a lost count is no harm."""
        self._dropped.value += 1

    def take_dropped(self) -> int:
        """Return how many messages were dropped since the last call."""
        total = int(self._dropped.value)
        dropped, self._dropped_reported = total - self._dropped_reported, total
        return dropped


_process: Process | None = None


def set_process(process: Process) -> None:
    """Make *process* the surroundings of every run from now on, here and in children."""
    global _process
    _process = process


def this_process() -> Process:
    """Return the surroundings of a run; a RuntimeError says that no worker was started."""
    if _process is None:
        raise RuntimeError("jobs_app.run works only inside a worker")
    return _process
