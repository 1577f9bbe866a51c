"""The cancel listener of a pool process: ends runs that are cancelled, superseded or fenced.

It has two threads, awake only while a run is active. One polls the database and keeps the
answers in memory for the tasks. The other interrupts Python tasks that do not ask. It never
waits for the database, which may hang for longer than the lease lasts.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.engine import Database
from jobs_app.db.errors import error_name
from jobs_app.db.models.runs import Run
from jobs_app.tasks.context import Cancelled, TimedOut
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.output.routing import leave_run_output
from jobs_app.worker.run_programs import LEFTOVER_GRACE_SECONDS, RunPrograms

log = logging.getLogger(__name__)

#: Time between two polls of the database, seconds. Shorter runs are never polled.
CANCEL_POLL_SECONDS = 1.0

#: Extra time for tasks that check the lease themselves before their process is killed, seconds.
LAST_GRACE_SECONDS = 3.0

#: Grace of runs when the worker must stop at once, seconds.
STOP_GRACE_SECONDS = 2.0

#: Wakes a task in the main thread of its process. A process without a handler ignores it.
WAKE_SIGNAL = signal.SIGURG

#: Longest grace of a command in a fenced worker, as in `command_supervisor`, seconds.
FENCE_GRACE_SECONDS = 5.0

#: An abortable task that has not ended by itself is interrupted so long before its process is
#: killed, seconds; in the middle of a shorter grace.
ABORT_RESERVE_SECONDS = 2.0


class Interrupted(Cancelled):
    """Raised asynchronously in a cancelled Python task; Python creates it without arguments."""

    def __init__(self) -> None:
        super().__init__("The run was cancelled.")


class LimitReached(TimedOut):
    """Raised asynchronously in a Python task at its time limit, as Interrupted is."""

    def __init__(self) -> None:
        super().__init__("The run was stopped at its time limit.")


@dataclass(slots=True)
class CancellableRun:
    """An active run of this process, and what the listener knows of it.

    `is_cooperative` says that the task checks for a cancel itself. `worker_id` is the id under
    which the run was claimed; None means the worker's present id. `interrupts` are seconds and the
    error to raise then, in pools without limits. `is_stopped`: it ends because its worker stops.
    `is_abortable` says that the task is an AbortableTask: at a cancel it may end by itself.
    """

    run_id: UUID
    attempt: int
    thread_id: int
    limits: RunLimits
    is_cooperative: bool
    is_abortable: bool = False
    worker_id: UUID | None = None
    interrupts: list[tuple[float, type[Exception]]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    cancel_mode: CancelMode | None = None
    is_interrupted: bool = False
    # The task has asked `self.is_aborted()`, and the answer was yes.
    knows_abort: bool = False
    is_stopped: bool = False
    stop_by: float = float("inf")
    # The programs of a Python task.
    programs: RunPrograms | None = None
    # When programs that TERM did not end are killed, after the time limit.
    kill_programs_at: float = float("inf")

    def is_aborted(self) -> bool:
        """Return whether the run must end, and note that its task knows it."""
        self.knows_abort = self.knows_abort or self.cancel_mode is not None
        return self.knows_abort

    def may_end_itself(self, now: float) -> bool:
        """Return whether the task of a cancelled run is left alone at *now*."""
        grace = self.limits.kill_grace_seconds
        return self.is_abortable and now < self.stop_by - min(ABORT_RESERVE_SECONDS, grace / 2)


def wake_by_signal() -> None:
    """From now on, let WAKE_SIGNAL interrupt what the main thread of this process waits for.

    Python then calls the handler at once, and raises there what another thread has set.
    """
    signal.signal(WAKE_SIGNAL, _do_nothing)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def grace_seconds(
    limits: RunLimits, mode: CancelMode | None, *, is_cooperative: bool, is_fenced: bool = False
) -> float:
    """Return how long a run that must end may take before its process is killed, seconds."""
    grace = limits.kill_grace_seconds
    if is_cooperative:
        # The supervisor kills at the grace; this is for a task that hangs itself.
        return (min(grace, FENCE_GRACE_SECONDS) if is_fenced else grace) + LAST_GRACE_SECONDS
    return 0.0 if is_fenced or mode is CancelMode.KILL else grace


class CancelListener:
    """The cancel listener of one pool process. Create it after the fork."""

    def __init__(self, database: Database, lease: Lease, *, may_kill_process: bool) -> None:
        self._database = database
        self._lease = lease
        self._may_kill_process = may_kill_process
        self._runs: dict[UUID, CancellableRun] = {}
        self._changed = threading.Lock()
        # Set while a run is active, and a moment longer: most short runs wake no thread.
        self._is_busy = threading.Event()
        self._threads: list[threading.Thread] = []
        self._is_stopping = False

    def add(self, run: CancellableRun) -> None:
        """Listen for a cancel of *run*."""
        with self._changed:
            self._runs[run.run_id] = run
            if not self._threads:
                for step in (self._poll, self._enforce):
                    thread = threading.Thread(target=self._loop, args=(step,), daemon=True)
                    thread.start()
                    self._threads.append(thread)
            if not self._is_busy.is_set():
                self._is_busy.set()

    def remove(self, run: CancellableRun) -> None:
        """Stop listening: the task of *run* has ended."""
        with self._changed:
            self._runs.pop(run.run_id, None)

    def stop_all(self) -> None:
        """Stop all runs because the worker stops; exit the process if some do not end.

        It works like a cancel with a short grace. A second call does nothing.
        """
        with self._changed:
            runs = list(self._runs.values())
            # A run that was cancelled before ends as cancelled, not as lost.
            for run in runs:
                run.is_stopped = run.is_stopped or run.cancel_mode is None
                run.cancel_mode = run.cancel_mode or CancelMode.GRACEFUL
            is_first, self._is_stopping = not self._is_stopping, True
        if is_first:
            threading.Thread(target=self._exit_unless_ended, args=(runs,), daemon=True).start()

    def _exit_unless_ended(self, runs: list[CancellableRun]) -> None:
        leave_run_output()
        time.sleep(STOP_GRACE_SECONDS)
        for run in runs:
            run.cancel_mode = CancelMode.KILL
        time.sleep(LAST_GRACE_SECONDS)
        with self._changed:
            is_left = any(run.run_id in self._runs for run in runs)
        if is_left:
            # The janitor notices that the heartbeats stopped.
            log.error("worker_stopped_with_its_runs")
            os._exit(70)

    def _loop(self, step: Callable[[list[CancellableRun]], None]) -> None:
        leave_run_output()
        while True:
            self._is_busy.wait()
            time.sleep(CANCEL_POLL_SECONDS)
            with self._changed:
                runs = list(self._runs.values())
                if not runs:
                    self._is_busy.clear()
            try:
                step(runs)
            except Exception:
                # Without this thread no run of this process could be stopped any more.
                log.exception("watch_failed")

    def _poll(self, runs: list[CancellableRun]) -> None:
        """Ask the database which of *runs* must end."""
        old = [run for run in runs if time.monotonic() - run.began >= CANCEL_POLL_SECONDS / 2]
        if not old:
            return
        statement = select(Run.id, Run.attempt, Run.state, Run.cancel_mode).where(
            Run.id.in_([run.run_id for run in old])
        )
        try:
            with self._database.reading() as session:
                rows = {row.id: row for row in session.execute(statement)}
        except SQLAlchemyError as error:
            # The lease limits how long we continue without the database.
            log.warning("watch_failed error=%s", error_name(error))
            return
        for run in old:
            row = rows.get(run.run_id)
            is_ours = row is not None and (row.attempt, row.state) == (
                run.attempt,
                RunState.RUNNING,
            )
            if not is_ours:
                # A newer attempt runs, or the run was deleted: nobody needs this one.
                run.cancel_mode = CancelMode.KILL
            elif row is not None and row.cancel_mode is not None:
                run.cancel_mode = row.cancel_mode

    def _enforce(self, runs: list[CancellableRun]) -> None:
        """Interrupt Python tasks that must end; kill the process after the grace."""
        now = time.monotonic()
        for run in runs:
            self._raise_limits(run, now)
            is_fenced = self._is_fenced(run)
            if run.cancel_mode is None and not is_fenced:
                run.stop_by = float("inf")
                continue
            # A later request may shorten the grace, never extend it.
            grace = grace_seconds(
                run.limits, run.cancel_mode, is_cooperative=run.is_cooperative, is_fenced=is_fenced
            )
            run.stop_by = min(run.stop_by, now + grace)
            is_left_alone = run.is_cooperative or run.is_interrupted or run.may_end_itself(now)
            if not is_fenced and not is_left_alone:
                run.is_interrupted = True
                self._interrupt(run, Interrupted)
                if run.programs is not None:
                    # A task that waits for a program notices nothing until that ends.
                    run.programs.signal(signal.SIGTERM)
            if now >= run.stop_by:
                self._kill_process(run)

    def _is_fenced(self, run: CancellableRun) -> bool:
        return self._lease.seconds_left(of=run.worker_id) <= 0

    def _raise_limits(self, run: CancellableRun, now: float) -> None:
        """Raise the limits that are over; end the programs of the run at its time limit."""
        for seconds, error in list(run.interrupts):
            if seconds <= now - run.began:
                run.interrupts.remove((seconds, error))
                self._interrupt(run, error)
                if run.programs is not None and error is LimitReached:
                    # As at a cancel: a task that waits for a program notices nothing before.
                    run.programs.signal(signal.SIGTERM)
                    grace = min(run.limits.kill_grace_seconds, LEFTOVER_GRACE_SECONDS)
                    run.kill_programs_at = now + grace
        if run.programs is not None and now >= run.kill_programs_at:
            run.programs.kill()

    def _interrupt(self, run: CancellableRun, error: type[Exception]) -> None:
        """Raise *error* in the task's thread, at its next bytecode, and wake it if we can."""
        with self._changed:
            if run.run_id in self._runs:
                log.info("run_interrupted run=%s attempt=%s", run.run_id, run.attempt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(run.thread_id), ctypes.py_object(error)
                )
                if run.thread_id == threading.main_thread().ident:
                    signal.pthread_kill(run.thread_id, WAKE_SIGNAL)
        if run.programs is not None:
            run.programs.wake()

    def _kill_process(self, run: CancellableRun) -> None:
        with self._changed:
            if run.run_id not in self._runs:
                return
        if run.programs is not None:
            run.programs.kill()
        if self._may_kill_process:
            # The worker's main process sees this process die and finishes the run.
            log.warning("run_killed run=%s attempt=%s", run.run_id, run.attempt)
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._is_fenced(run):
            # In the pools threads and solo only the whole worker can be stopped.
            log.error("worker_fenced run=%s", run.run_id)
            os._exit(70)
