"""Runs the task of a claimed run, with its log, context, secrets and cancel listener."""

import contextlib
import contextvars
import decimal
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from celery.contrib.abortable import AbortableTask
from celery.exceptions import SoftTimeLimitExceeded

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.core.text import text_of
from jobs_app.runs import outbox
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.last_log import last_log
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.progress import report_progress
from jobs_app.runs.sent_task import CELERY, lost
from jobs_app.tasks.context import LastLog, LogSink, RunContext, TimedOut, current_run
from jobs_app.worker.invocation import call
from jobs_app.worker.liveness.cancellation import CancellableRun, LimitReached
from jobs_app.worker.outcomes import aborted, failed, stopped, with_log
from jobs_app.worker.output.capture import capture_output
from jobs_app.worker.output.log_store import SqlChunkStore
from jobs_app.worker.output.process_masking import mask_process_output
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.output.secret_masking import Mask, MaskedLog
from jobs_app.worker.pool_process import Process
from jobs_app.worker.progress import Progress
from jobs_app.worker.run_programs import ended_text
from jobs_app.worker.secret_injection import Injection, inject
from jobs_app.worker.sent_task import SentTask

#: Tasks that check the lease, the limits and a cancel themselves.
COOPERATIVE = outbox.ENFORCES_OWN_LIMITS

#: Exit codes of a pool process that a signal ends: billiard's -(256 - number).
STOPPED_BY_SIGNAL = range(-255, -191)

#: Time to store the rest of a log when the lease has run out, seconds.
LOG_CLOSE_SECONDS = 2.0

#: The pool counts a time limit from before the claim, which takes at most this long, seconds.
BEFORE_CLAIM_SECONDS = 0.5


def work(process: Process, claimed: ClaimedRun) -> tuple[Outcome, RunLog | None]:
    """Run the task with its secrets, log, context and cancel listener; return the outcome.

    The log comes with it if it could not be stored whole, else None.
    """
    injection = inject(process, claimed)
    store = SqlChunkStore(process.database, claimed.run_id, claimed.attempt)
    run_log = RunLog(store, limit_bytes=process.settings.log_limit_bytes)
    masked_log = MaskedLog(run_log, injection.mask) if injection.mask else None
    run = CancellableRun(
        claimed.run_id,
        claimed.attempt,
        threading.get_ident(),
        claimed.limits,
        is_cooperative=claimed.task in COOPERATIVE,
        is_abortable=isinstance(process.app.tasks.get(claimed.task), AbortableTask),
        worker_id=claimed.worker_id,
        interrupts=_interrupts(process, claimed),
    )
    progress = Progress(
        lambda report: _store_progress(process, claimed, report), mask=injection.mask.json
    )
    sent_task = SentTask(process, claimed, run) if claimed.task == CELERY else None
    log = masked_log or run_log
    context = _context(process, claimed, run, progress, log, injection.mask, sent_task)
    is_python = claimed.task not in COOPERATIVE
    output = capture_output(context.log, is_python=is_python)
    with _current(context), mask_process_output(injection.mask), output:
        if is_python:
            process.save_state()
            run.programs = process.start_programs()
        process.cancel_listener.add(run)
        outcome = guarded(
            lambda: contextvars.copy_context().run(_call, process, claimed, injection),
            lambda: process.cancel_listener.remove(run),
        )
        if is_python:
            _restore(process, run, context.log)
    outcome = _at_its_limit(outcome, run)
    is_stored, unstored_progress = False, None
    with contextlib.suppress(SoftTimeLimitExceeded):
        if masked_log is not None:
            masked_log.close()
        is_stored = run_log.close(timeout_seconds=_seconds_to_store(process, claimed))
        unstored_progress = progress.close()
    # Again: an interrupt may have hit the first call.
    process.cancel_listener.remove(run)
    outcome = _after_cancel(outcome, run, sent_task)
    outcome = replace(with_log(injection.masked(outcome), run_log), progress=unstored_progress)
    return outcome, None if is_stored else run_log


def _after_cancel(outcome: Outcome, run: CancellableRun, sent_task: SentTask | None) -> Outcome:
    """Return *outcome* as what it is if its run was asked to end, or its worker stops."""
    if run.knows_abort and outcome.state is RunState.SUCCEEDED:
        outcome = aborted(outcome)
    if run.is_stopped and outcome.state is RunState.CANCELLED:
        outcome = stopped()
    if sent_task is not None and outcome == stopped():
        return lost(outcome, run.attempt, sent_task.sent)
    return outcome


def _seconds_to_store(process: Process, claimed: ClaimedRun) -> float:
    """Return how long the end of a run waits for the database to take its log.

    While the lease lasts we wait, here or for the finish. A process that its run has damaged
    may never reach the database.
    """
    if process.must_exit:
        return LOG_CLOSE_SECONDS
    return max(LOG_CLOSE_SECONDS, process.lease.seconds_left(of=claimed.worker_id))


def _call(process: Process, claimed: ClaimedRun, injection: Injection) -> Outcome:
    """Call the task in contextvars of its own; decimal's present context is one of them.

    A module may have changed that at its import, in this thread: the run gets a copy.
    """
    decimal.setcontext(decimal.getcontext().copy())
    return call(process, claimed, injection)


def _restore(process: Process, run: CancellableRun, log: LogSink) -> None:
    """Restore the state of this process, and end the programs that the run started."""
    for _ in range(2):
        # The limit fires once, and the task has ended: ignore it.
        with contextlib.suppress(SoftTimeLimitExceeded):
            process.restore_state()
            names = run.programs.end(run.limits.kill_grace_seconds) if run.programs else []
            if names:
                log.write("stderr", ended_text(names).encode("utf-8", "backslashreplace"))
            return


def _context(
    process: Process,
    claimed: ClaimedRun,
    run: CancellableRun,
    progress: Progress,
    log: LogSink,
    mask: Mask,
    sent_task: SentTask | None,
) -> RunContext:
    return RunContext(
        run_id=claimed.run_id,
        job=claimed.job,
        scheduled_for=claimed.scheduled_for,
        attempt=claimed.attempt,
        log=log,
        limits=claimed.limits,
        is_cancelled=lambda: run.cancel_mode,
        lease_seconds_left=lambda: process.lease.seconds_left(of=claimed.worker_id),
        mask=mask.json,
        settings=process.settings,
        progress=progress,
        is_aborted=run.is_aborted,
        sent_task=sent_task,
        last_log=lambda job, limit_bytes: _last_log(process, job, limit_bytes),
    )


def _last_log(process: Process, job: str, limit_bytes: int) -> LastLog | None:
    with process.database.reading() as session:
        return last_log(session, job, limit_bytes=limit_bytes)


def _store_progress(process: Process, claimed: ClaimedRun, report: dict[str, Any]) -> None:
    with process.database.session() as session:
        report_progress(session, claimed.run_id, claimed.attempt, report)


def _interrupts(process: Process, claimed: ClaimedRun) -> list[tuple[float, type[Exception]]]:
    """Return the limits that we must enforce: Celery's pools threads and solo enforce none."""
    if process.is_prefork or claimed.task in COOPERATIVE:
        return []
    limits = (
        (claimed.limits.soft_time_limit_seconds, SoftTimeLimitExceeded),
        (claimed.limits.time_limit_seconds, LimitReached),
    )
    return [(seconds, error) for seconds, error in limits if seconds is not None]


@contextlib.contextmanager
def _current(context: RunContext) -> Iterator[None]:
    token = current_run.set(context)
    try:
        yield
    finally:
        current_run.reset(token)


def guarded(call_task: Callable[[], Outcome], cleanup: Callable[[], None]) -> Outcome:
    """Return the outcome of *call_task*, whatever the task raises past Celery's handling."""
    own_pid = os.getpid()
    try:
        try:
            return call_task()
        finally:
            if os.getpid() != own_pid:
                _exit_forked_copy(sys.exc_info()[1])
            cleanup()
    except SystemExit as error:
        if error.code in STOPPED_BY_SIGNAL:
            # A signal ended the pool process, and our task with it.
            return stopped()
        with contextlib.suppress(SystemExit):
            # billiard keeps the code of the last call for the end of the pool process.
            sys.exit(None)
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        # As the kernel reports an exit code.
        code = int(code) & 0xFF
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
        why = RunError("SystemExit", text_of(error.code)) if code else None
        return Outcome(state, error=why, exit_code=code)
    except BaseException as error:  # noqa: BLE001  # user code; see below
        # An interrupt may hit anywhere, and a hook of the task may raise. An error that is no
        # Exception would end the pool process, or be lost in a thread.
        return failed(error, traceback.format_exc())


def _exit_forked_copy(error: BaseException | None) -> None:
    """Exit a child that the task forked and that returned here: the run belongs to its parent."""
    code = error.code if isinstance(error, SystemExit) else None if error is None else 1
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)


def _at_its_limit(outcome: Outcome, run: CancellableRun) -> Outcome:
    """Return *outcome*, or a timeout if the run ended at its time limit.

    Celery's pool sends the same signal at the limit as when the worker stops.
    """
    limit, elapsed = run.limits.time_limit_seconds, time.monotonic() - run.began
    if limit is None or elapsed < limit - BEFORE_CLAIM_SECONDS or outcome != stopped():
        return outcome
    return failed(TimedOut(f"The run was stopped at its time limit of {limit:g} s."), None)
