"""The work on a run that is ours: its task, with log, context, secrets and watch around it."""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.runs import history, outbox
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.progress import report_progress
from jobs_app.tasks.context import LastLog, RunContext, TimedOut, current_run
from jobs_app.worker.invocation import call
from jobs_app.worker.liveness.cancellation import CancellableRun, LimitReached
from jobs_app.worker.outcomes import failed, stopped, with_log
from jobs_app.worker.output.capture import capture_output
from jobs_app.worker.output.error_text import message_of
from jobs_app.worker.output.log_store import SqlChunkStore
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.output.secret_masking import MaskedLog, in_use
from jobs_app.worker.pool_process import Process
from jobs_app.worker.progress import Progress
from jobs_app.worker.secret_injection import inject

#: Tasks that watch the lease, the limits and the wish to cancel by themselves.
COOPERATIVE = outbox.KEEPS_OWN_LIMITS

#: What a pool process exits with when a signal ends it: billiard's -(256 - number).
STOPPED_BY_SIGNAL = range(-255, -191)

#: How long the end of a log is tried to be stored without a lease, seconds.
LOG_CLOSE_SECONDS = 2.0

#: The pool counts a time limit from before the claim, which takes so long at most, seconds.
BEFORE_CLAIM_SECONDS = 0.5


def work(process: Process, claimed: ClaimedRun) -> Outcome:
    """Run the task with its secrets, its log, its context and its watch around it."""
    injected = inject(process, claimed)
    store = SqlChunkStore(process.database, claimed.run_id, claimed.attempt)
    run_log = RunLog(store, limit_bytes=process.settings.log_limit_bytes)
    masked_log = MaskedLog(run_log, injected.mask) if injected.mask else None
    watched = CancellableRun(
        claimed.run_id,
        claimed.attempt,
        threading.get_ident(),
        claimed.kill_grace_seconds,
        is_cooperative=claimed.task in COOPERATIVE,
        worker_id=claimed.worker_id,
        limits=_own_limits(process, claimed),
    )
    progress = Progress(
        lambda shown: _store_progress(process, claimed, shown), mask=injected.mask.json
    )
    context = RunContext(
        run_id=claimed.run_id,
        job=claimed.job,
        scheduled_for=claimed.scheduled_for,
        attempt=claimed.attempt,
        log=masked_log or run_log,
        soft_time_limit_seconds=claimed.soft_time_limit_seconds,
        time_limit_seconds=claimed.time_limit_seconds,
        kill_grace_seconds=claimed.kill_grace_seconds,
        is_cancelled=lambda: None if watched.cancel_mode is None else watched.cancel_mode.value,
        lease_seconds_left=lambda: process.lease.seconds_left(of=claimed.worker_id),
        mask=injected.mask.json,
        settings=process.settings,
        progress=progress,
        last_log=lambda job, limit_bytes: _last_log(process, job, limit_bytes),
    )
    is_python = claimed.task not in COOPERATIVE
    output = capture_output(context.log, is_python=is_python)
    with _current(context), in_use(injected.mask), output:
        process.cancel_listener.add(watched)
        outcome = guarded(
            lambda: call(process, claimed, injected),
            lambda: process.cancel_listener.remove(watched),
        )
    outcome = _at_its_limit(outcome, claimed.time_limit_seconds, watched)
    # A database that is away keeps us waiting, here or for the result, as long as the lease.
    patience = max(LOG_CLOSE_SECONDS, process.lease.seconds_left(of=claimed.worker_id))
    unstored = None
    with contextlib.suppress(SoftTimeLimitExceeded):
        if masked_log is not None:
            masked_log.close()
        run_log.close(timeout_seconds=patience)
        unstored = progress.close()
    # Again: an interrupt may have landed in the first one.
    process.cancel_listener.remove(watched)
    if watched.is_stopped and outcome.state is RunState.CANCELLED:
        outcome = stopped()
    return replace(with_log(injected.cleaned(outcome), run_log), progress=unstored)


def _last_log(process: Process, job: str, limit_bytes: int) -> LastLog | None:
    with process.database.reading() as session:
        return history.last_log(session, job, limit_bytes=limit_bytes)


def _store_progress(process: Process, claimed: ClaimedRun, shown: dict[str, Any]) -> None:
    with process.database.session() as session:
        report_progress(session, claimed.run_id, claimed.attempt, shown)


def _own_limits(process: Process, claimed: ClaimedRun) -> list[tuple[float, type[Exception]]]:
    """Return the limits that nobody else keeps: Celery's pools of threads, and solo, know none."""
    if process.is_prefork or claimed.task in COOPERATIVE:
        return []
    limits = (
        (claimed.soft_time_limit_seconds, SoftTimeLimitExceeded),
        (claimed.time_limit_seconds, LimitReached),
    )
    return [(seconds, error) for seconds, error in limits if seconds is not None]


@contextlib.contextmanager
def _current(context: RunContext) -> Iterator[None]:
    token = current_run.set(context)
    try:
        yield
    finally:
        current_run.reset(token)


def guarded(work_on: Callable[[], Outcome], then: Callable[[], None]) -> Outcome:
    """Return the outcome of *work_on*, whatever the task raises past Celery's own handling."""
    own_pid = os.getpid()
    try:
        try:
            return work_on()
        finally:
            if os.getpid() != own_pid:
                _leave_to_parent(sys.exc_info()[1])
            then()
    except SystemExit as error:
        if error.code in STOPPED_BY_SIGNAL:
            # The pool process was told to end, and our task with it.
            return stopped()
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        # As the system would report it of a process.
        code = int(code) & 0xFF
        state = RunState.SUCCEEDED if code == 0 else RunState.FAILED
        why = RunError("SystemExit", message_of(error.code)) if code else None
        return Outcome(state, error=why, exit_code=code)
    except BaseException as error:  # noqa: BLE001
        # The task is a stranger: an interrupt may land anywhere, a hook of its may raise, and
        # what is no Exception would end the process of the run, or in a thread nothing at all.
        return failed(error, traceback.format_exc())


def _leave_to_parent(error: BaseException | None) -> None:
    """End a child that the task forked and that came back to us: the run is its parent's."""
    code = error.code if isinstance(error, SystemExit) else None if error is None else 1
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)


def _at_its_limit(outcome: Outcome, limit: float | None, watched: CancellableRun) -> Outcome:
    """Return *outcome*, or that the run was stopped at its time limit, if that is why it ended.

    Celery's pool ends the process of such a run with the signal that a stopped worker sends.
    """
    elapsed = time.monotonic() - watched.began
    if limit is None or elapsed < limit - BEFORE_CLAIM_SECONDS or outcome != stopped():
        return outcome
    return failed(TimedOut(f"The run was stopped at its time limit of {limit:g} s."), None)
