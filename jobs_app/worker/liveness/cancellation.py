"""Watches over the runs of one pool process: cancelled, superseded, or fenced off?

Two threads a process, awake only while a run is being worked on. One asks the database
and keeps the answers in memory, where tasks ask for them. The other interrupts a Python
task that does not ask; it never waits for a database, which may hang for longer than the
lease lasts.
"""

import ctypes
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.states import CancelMode, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.tasks.context import Cancelled, TimedOut
from jobs_app.worker.liveness.lease import Lease
from jobs_app.worker.output.capture import stay_out_of_runs

log = logging.getLogger(__name__)

#: Time between two looks at the database, seconds. A shorter run is never looked at.
CANCEL_POLL_SECONDS = 1.0

#: How long tasks that watch the lease themselves get before their process is killed, seconds.
LAST_GRACE_SECONDS = 3.0

#: How long runs have when the worker is to stop at once, seconds.
STOP_GRACE_SECONDS = 2.0

#: Longest grace of a command in a fenced worker, as in `command_supervisor`, seconds.
FENCE_GRACE_SECONDS = 5.0


class Interrupted(Cancelled):
    """Raised out of nowhere in a Python task that is to end; Python makes it, without arguments."""

    def __init__(self) -> None:
        super().__init__("The run was cancelled.")


class LimitReached(TimedOut):
    """Raised out of nowhere in a Python task at its time limit, as Interrupted is."""

    def __init__(self) -> None:
        super().__init__("The run was stopped at its time limit.")


@dataclass(slots=True)
class CancellableRun:
    """A run that this process works on, and what the watch knows of it.

    `is_cooperative` says that the task asks for itself and ends by itself. `worker_id` is
    whom the run was claimed for; None stands for the worker as it is called now. `limits`
    are what is raised in the task after so many seconds, where no pool does that.
    `is_stopped` says that it ends because its worker does.
    """

    run_id: UUID
    attempt: int
    thread_id: int
    kill_grace_seconds: float
    is_cooperative: bool
    worker_id: UUID | None = None
    limits: list[tuple[float, type[Exception]]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    cancel_mode: CancelMode | None = None
    is_interrupted: bool = False
    is_stopped: bool = False
    stop_by: float = float("inf")


class CancelListener:
    """The watch of one pool process. Make it after the fork."""

    def __init__(self, database: Database, lease: Lease, *, may_kill_process: bool) -> None:
        self._database = database
        self._lease = lease
        self._may_kill_process = may_kill_process
        self._runs: dict[UUID, CancellableRun] = {}
        self._changed = threading.Lock()
        # Set while there is something to watch, or was a moment ago: of the runs that are too
        # short to be looked at, most wake nobody.
        self._is_busy = threading.Event()
        self._threads: list[threading.Thread] = []
        self._is_stopping = False

    def add(self, watched: CancellableRun) -> None:
        """CancelListener a run from now on."""
        with self._changed:
            self._runs[watched.run_id] = watched
            if not self._threads:
                for work in (self._poll, self._enforce):
                    thread = threading.Thread(target=self._loop, args=(work,), daemon=True)
                    thread.start()
                    self._threads.append(thread)
            if not self._is_busy.is_set():
                self._is_busy.set()

    def remove(self, watched: CancellableRun) -> None:
        """Stop watching a run: its task has ended."""
        with self._changed:
            self._runs.pop(watched.run_id, None)

    def stop_all(self) -> None:
        """End all runs, because the worker ends; those that do not listen end with it.

        Like a cancel, with a short grace; the second time it does nothing.
        """
        with self._changed:
            left = list(self._runs.values())
            # What somebody cancelled before is cancelled, and not lost.
            for run in left:
                run.is_stopped = run.is_stopped or run.cancel_mode is None
                run.cancel_mode = run.cancel_mode or CancelMode.GRACEFUL
            is_first, self._is_stopping = not self._is_stopping, True
        if is_first:
            threading.Thread(target=self._exit_unless_ended, args=(left,), daemon=True).start()

    def _exit_unless_ended(self, runs: list[CancellableRun]) -> None:
        stay_out_of_runs()
        time.sleep(STOP_GRACE_SECONDS)
        for run in runs:
            run.cancel_mode = CancelMode.KILL
        time.sleep(LAST_GRACE_SECONDS)
        with self._changed:
            is_left = any(run.run_id in self._runs for run in runs)
        if is_left:
            # The janitor finds out that nobody beats any more.
            log.error("worker_stopped_with_its_runs")
            os._exit(70)

    def _loop(self, work: Callable[[list[CancellableRun]], None]) -> None:
        stay_out_of_runs()
        while True:
            self._is_busy.wait()
            time.sleep(CANCEL_POLL_SECONDS)
            with self._changed:
                runs = list(self._runs.values())
                if not runs:
                    self._is_busy.clear()
            try:
                work(runs)
            except Exception:
                # Without this thread nothing of the process would ever be stopped again.
                log.exception("watch_failed")

    def _poll(self, runs: list[CancellableRun]) -> None:
        """Ask the database which of *runs* are to end."""
        old = [run for run in runs if time.monotonic() - run.began >= CANCEL_POLL_SECONDS / 2]
        if not old:
            return
        statement = select(Run.id, Run.attempt, Run.state, Run.cancel_mode).where(
            Run.id.in_([run.run_id for run in old])
        )
        try:
            with self._database.reading() as session:
                found = {row.id: row for row in session.execute(statement)}
        except SQLAlchemyError as error:
            # The lease decides how long we may go on without the database.
            log.warning("watch_failed error=%s", type(error).__name__)
            return
        for run in old:
            row = found.get(run.run_id)
            is_ours = row is not None and (row.attempt, row.state) == (
                run.attempt,
                RunState.RUNNING,
            )
            if not is_ours:
                # Given to a newer attempt, or deleted: nobody waits for this one.
                run.cancel_mode = CancelMode.KILL
            elif row is not None and row.cancel_mode is not None:
                run.cancel_mode = row.cancel_mode

    def _enforce(self, runs: list[CancellableRun]) -> None:
        """Interrupt Python tasks that are to end, and kill the process if that does not help."""
        now = time.monotonic()
        for run in runs:
            self._raise_limits(run, now - run.began)
            is_fenced = self._is_fenced(run)
            if run.cancel_mode is None and not is_fenced:
                run.stop_by = float("inf")
                continue
            # What is asked for later may be more urgent, never less.
            run.stop_by = min(run.stop_by, now + self._grace(run, is_fenced))
            if not run.is_cooperative and not is_fenced and not run.is_interrupted:
                run.is_interrupted = True
                self._interrupt(run, Interrupted)
            if now >= run.stop_by:
                self._kill_process(run)

    def _is_fenced(self, run: CancellableRun) -> bool:
        return self._lease.seconds_left(of=run.worker_id) <= 0

    def _grace(self, run: CancellableRun, is_fenced: bool) -> float:
        if run.is_cooperative:
            # The task's own process kills at the grace; this is for when it hangs itself.
            grace = run.kill_grace_seconds
            return (min(grace, FENCE_GRACE_SECONDS) if is_fenced else grace) + LAST_GRACE_SECONDS
        if is_fenced or run.cancel_mode is CancelMode.KILL:
            return 0.0
        return run.kill_grace_seconds

    def _raise_limits(self, run: CancellableRun, elapsed_seconds: float) -> None:
        for limit in [each for each in run.limits if each[0] <= elapsed_seconds]:
            run.limits.remove(limit)
            self._interrupt(run, limit[1])

    def _interrupt(self, run: CancellableRun, error: type[Exception]) -> None:
        """Raise *error* in the task's thread, at its next bytecode."""
        with self._changed:
            if run.run_id in self._runs:
                log.info("run_interrupted run=%s attempt=%s", run.run_id, run.attempt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(run.thread_id), ctypes.py_object(error)
                )

    def _kill_process(self, run: CancellableRun) -> None:
        with self._changed:
            if run.run_id not in self._runs:
                return
        if self._may_kill_process:
            # The worker's main process sees its child die and ends the run.
            log.warning("run_killed run=%s attempt=%s", run.run_id, run.attempt)
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._is_fenced(run):
            # In a pool of threads only the whole worker can be stopped; it may not go on.
            log.error("worker_fenced run=%s", run.run_id)
            os._exit(70)
