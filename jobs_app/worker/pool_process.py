"""The state of one pool process: database, cancel listener, and what it shares with its worker.

The main process creates a `Process` before the pool forks. Each pool process completes its
own copy after the fork, so that they share no connection and no thread.
"""

import logging
import os
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from typing import Any
from uuid import UUID

from billiard import current_process
from celery import Celery

from jobs_app.core.process_tree import become_subreaper
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.worker.completer import Completer
from jobs_app.worker.liveness.active_runs import ActiveRuns
from jobs_app.worker.liveness.cancellation import CancelListener, wake_by_signal
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.liveness.write_failures import CANNOT_WRITE, WriteFailures
from jobs_app.worker.output.capture import capture_descriptors
from jobs_app.worker.process_state.credentials import Credentials
from jobs_app.worker.process_state.descriptors import (
    CLOSED,
    Descriptors,
    empty_stdin,
    ensure_standard_descriptors,
)
from jobs_app.worker.process_state.fork_signals import (
    end_watchdog_before_forks,
    reset_signals_in_forks,
)
from jobs_app.worker.process_state.limits import Limits
from jobs_app.worker.process_state.snapshot import ProcessState
from jobs_app.worker.run_programs import RunPrograms
from jobs_app.worker.thread_programs import ThreadPrograms, note_processes

log = logging.getLogger(__name__)


class Process:
    """What the runs of one process need from it."""

    def __init__(
        self,
        app: Celery,
        settings: Settings,
        name: str,
        *,
        is_prefork: bool,
        is_solo: bool = False,
    ) -> None:
        self.app = app
        self.settings = settings
        self.name = name
        self.is_prefork = is_prefork
        # A run has its process for itself: what it changes there can be restored.
        self.is_exclusive = is_prefork or is_solo
        if is_prefork:
            end_watchdog_before_forks()
        else:
            # Tasks run in this process. With prefork, each pool process does it after its fork.
            reset_signals_in_forks()
            if is_solo:
                wake_by_signal()
            else:
                note_processes()
        self.lease = Lease(settings.fence_seconds)
        # One connection for claim and finish, a few for logs, cancel listener and the rest.
        size = 5 + (0 if is_prefork else settings.worker_concurrency)
        self.database = Database(settings.effective_database_url, has_single=True, pool_size=size)
        self.cancel_listener = CancelListener(
            self.database, self.lease, may_kill_process=is_prefork
        )
        # Set by a pool that writes the held finish before it waits (see celery_hooks/pools.py).
        self.can_hold_finish = False
        self.completer = Completer()
        self.active_runs = ActiveRuns()
        self.tracers: dict[str, Callable[..., Any]] = {}
        self.must_exit = False
        self.retire_reasons: list[str] = []
        self._descriptors = Descriptors()
        self._essentials = (Credentials(), Limits(), self._descriptors)
        self._saved_state: ProcessState | None = None
        self._dropped = RawValue("L", 0)
        self._dropped_reported = 0
        # Used by the main process: reports a run whose process died, and the last run of each
        # pool process, whose finish that process may still hold.
        self.report_dead: Callable[[UUID, int, str], None] | None = None
        self._last_runs: dict[int, tuple[UUID, int]] = {}
        self._pid = os.getpid()

    def after_fork(self) -> None:
        """Give this copy, in a new pool process, its own connections and listener."""
        self.database.after_fork()
        self.cancel_listener = CancelListener(
            self.database, self.lease, may_kill_process=self.is_prefork
        )
        self.tracers = {}
        if self.is_prefork:
            # The index of a process in its pool; the successor of a dead process gets its index.
            pool_process: Any = current_process()
            self.active_runs.take_slot(pool_process.index)
            ensure_standard_descriptors()
            empty_stdin()
            self._descriptors = Descriptors(capture_descriptors())
            become_subreaper()
            reset_signals_in_forks()
            wake_by_signal()

    def start_programs(self) -> RunPrograms:
        """Return the programs of a run that starts now, in this thread."""
        return RunPrograms() if self.is_exclusive else ThreadPrograms()

    def save_state(self) -> None:
        """Save the state of this process, once, to restore it after each task."""
        if self.is_exclusive and self._saved_state is None:
            self._saved_state = ProcessState(self._descriptors)

    def restore_state(self) -> None:
        """Restore the state from before the task; does nothing in a pool of threads.

        If something cannot be restored, this process must be replaced after the run. If its
        pipes are closed, it exits at once: the descriptors of its connections may be other
        files now.
        """
        if self._saved_state is None:
            return
        self.retire_reasons = self._saved_state.restore()
        self.must_exit = bool(self.retire_reasons)
        if CLOSED in self.retire_reasons:
            os._exit(CANNOT_WRITE)

    def note_failed_write(self, failures: WriteFailures, error: BaseException) -> None:
        """Exit this process if its writes fail, and those of its worker do not."""
        self.repair()
        damage = ",".join(self.retire_reasons)
        failures.note(error, damage=damage, has_own_heartbeat=not self.is_prefork)

    def repair(self) -> None:
        """Restore rights and limits of a worker whose runs share its main process.

        Threads may work meanwhile, so this is only for a worker that cannot write any more.
        """
        if not self.is_prefork:
            changed = [name for part in self._essentials for name in part.restore()]
            self.retire_reasons, self.must_exit = changed, bool(changed)
            if CLOSED in changed:
                log.error("process_left reason=%s", ",".join(changed))
                os._exit(CANNOT_WRITE)

    def note_last_run(self, pid: int, run_id: UUID, attempt: int) -> None:
        """Note the last run of a pool process."""
        self._last_runs[pid] = (run_id, attempt)

    def report_gone(self, pid: int) -> None:
        """Report the last run of a dead pool process: it may have held its finish."""
        attempt = self._last_runs.pop(pid, None)
        if attempt is not None and self.report_dead is not None:
            self.report_dead(*attempt, "The process of the run died before its end was on record.")

    def count_dropped(self) -> None:
        """Count a dropped message; a lost count does no harm."""
        self._dropped.value += 1

    def take_dropped(self) -> int:
        """Return how many messages were dropped since the last call."""
        total = int(self._dropped.value)
        dropped, self._dropped_reported = total - self._dropped_reported, total
        return dropped


_process: Process | None = None


def set_process(process: Process) -> None:
    """Use *process* for every run from now on, here and in forked processes."""
    global _process
    _process = process


def this_process() -> Process:
    """Return the process of the current run; raises RuntimeError outside a worker."""
    if _process is None:
        raise RuntimeError("jobs_app.run works only inside a worker")
    return _process
