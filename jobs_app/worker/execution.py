"""Claim, work, finish: how a worker processes the message of a run.

A message holds `run_id, attempt` and nothing else. The claim is one conditional UPDATE; a
worker that loses it drops the message. Between claim and finish no transaction is open.
"""

import contextlib
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from billiard.einfo import ExceptionInfo
from billiard.pool import SIG_SOFT_TIMEOUT
from celery import shared_task
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs_app.celery_app import RUN_TASK
from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.errors import error_name, is_outage
from jobs_app.db.models.runs import Run
from jobs_app.runs.claim import ClaimedRun, claim, claim_plain, reclaim
from jobs_app.runs.finish import finish_unreadable
from jobs_app.runs.finish_and_claim import finish_and_claim
from jobs_app.runs.messages import read_arguments
from jobs_app.runs.outcome import Outcome
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.context import current_run
from jobs_app.worker.completer import FinishedRun
from jobs_app.worker.finish_run import RETRY_DATABASE_SECONDS, finish_run, queue_next
from jobs_app.worker.liveness.write_failures import WriteFailures
from jobs_app.worker.outcomes import cut, failed
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.pool_process import Process, this_process
from jobs_app.worker.run_events import (
    PACKED_CHARS,
    REVOKED,
    RunEvent,
    event_of,
    packed,
)
from jobs_app.worker.runner import work

log = logging.getLogger(__name__)

# Celery logs arguments and results of tasks; we must not. A task started by a stock RedBeat
# entry is not a jobs-app run: log its errors here, because nothing else does.
logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
logging.getLogger("celery.app.trace").addFilter(lambda _: current_run.get(None) is None)
logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)

#: A message waits this long for a heartbeat before it is left to the janitor, seconds.
LEASE_WAIT_SECONDS = 3.0


class RunTask(AnyTask):
    """The task that every message names; with prefetch it has a strategy of ours."""

    ignore_result = True
    resultrepr_maxsize = PACKED_CHARS


@shared_task(name=RUN_TASK, base=RunTask)
def run(run_id: str, attempt: int) -> str | None:
    """Claim one attempt of a run and work on it; drop the message if the claim fails.

    With JOBS_EVENTS it returns the event about the end, packed.
    """
    process = this_process()
    process.completer.note_message()
    try:
        key = read_arguments((run_id, attempt))
    except ValueError as error:
        process.count_dropped()
        log.warning("message_dropped error=%s", error)
        return None
    event: RunEvent | None = None
    process.active_runs.begin(*key)
    try:
        with _ignoring_soft_limit():
            claimed = _claim_or_finish(process, *key)
        if claimed is None:
            process.count_dropped()
            log.debug("message_dropped run=%s attempt=%s", run_id, attempt)
            if process.settings.events:
                event = _event_of_dropped(process, key[0])
        else:
            began = time.monotonic()
            outcome = _work_and_finish(process, claimed)
            if process.settings.events:
                event = event_of(claimed, outcome, seconds=time.monotonic() - began)
    finally:
        process.active_runs.end()
    process.completer.note_idle()
    return None if event is None else packed(event)


def _event_of_dropped(process: Process, run_id: UUID) -> RunEvent | None:
    """Return the event about a run that was cancelled before it started; None for others."""
    try:
        with process.database.reading() as session:
            state = session.scalar(select(Run.state).where(Run.id == run_id))
    except SQLAlchemyError:
        return None
    return REVOKED if state is RunState.CANCELLED else None


def _work_and_finish(process: Process, claimed: ClaimedRun) -> Outcome:
    """Run the task of a claimed run, and write or hold its finish; return how it ended."""
    log.info("run_started run=%s attempt=%s job=%s", claimed.run_id, claimed.attempt, claimed.job)
    run_log: RunLog | None = None
    try:
        outcome, run_log = work(process, claimed)
    except Exception as error:  # noqa: BLE001  # nobody else would finish the claimed run
        outcome = failed(error, traceback.format_exc())
    with _ignoring_soft_limit():
        outcome = cut(outcome)
        finished_run = FinishedRun(claimed, outcome, clock.now(), run_log)
        may_hold = process.can_hold_finish and not process.must_exit
        if not (may_hold and process.completer.hold(finished_run)):
            finish_run(process, finished_run)
    if process.must_exit:
        # The pool, or the supervisor of the worker, starts another process.
        reason = ",".join(process.retire_reasons)
        log.error("process_retired run=%s reason=%s", claimed.run_id, reason)
        os._exit(1)
    return outcome


def write_held_finish() -> None:
    """Write the finish that this thread holds, if it holds one."""
    with _ignoring_soft_limit():
        _finish_held(this_process())


def run_in_pool(run_id: str, attempt: int) -> tuple[bool, ExceptionInfo | str | None, float]:
    """Call `run` and answer as Celery's tracer does: (has failed, error or result, seconds).

    It fails only for errors that are neither the task's nor the database's.
    """
    try:
        event: str | None = run.run(run_id, attempt)
    except Exception:  # noqa: BLE001  # the worker's main process logs it and finishes the run
        return True, ExceptionInfo(), 0.0
    return False, event, 0.0


@contextlib.contextmanager
def _ignoring_soft_limit() -> Iterator[None]:
    """Ignore the soft time limit: it is for the task and would interrupt a transaction.

    Celery's pool sends it as a signal to the main thread of a pool process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(SIG_SOFT_TIMEOUT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, handler or signal.SIG_DFL)


def _claim_or_finish(process: Process, run_id: UUID, attempt: int) -> ClaimedRun | None:
    """Claim an attempt, or finish one whose row cannot be read.

    None means that the message is dropped.
    """
    at = clock.now()
    data_error: Exception | None = None
    # Twice: at first the finish that this process held may have been refused.
    for _ in range(2):
        try:
            claimed = _claim(process, run_id, attempt, at=at)
        except Exception as error:  # noqa: BLE001  # a stored value may fail in any way
            data_error = error
            continue
        if claimed is None and data_error is not None:
            claim = (process.lease.worker_id, at)
            _finish_unreadable(process, run_id, attempt, data_error, claim)
        return claimed
    if data_error is not None:
        _finish_unreadable(process, run_id, attempt, data_error)
    return None


def _claim(process: Process, run_id: UUID, attempt: int, *, at: datetime) -> ClaimedRun | None:
    """Claim an attempt; try again until the database answers. Raises errors of the data."""
    _await_lease(process)
    unanswered = False
    failures = WriteFailures(process.lease)
    while True:
        worker_id = process.lease.worker_id
        try:
            claimed = None
            if process.lease.seconds_left() > 0:
                claimed = _claim_once(process, run_id, attempt, worker_id=worker_id, at=at)
            if claimed is None and unanswered:
                # Also without a lease: a claim that took effect must be finished.
                with process.database.session() as session:
                    claimed = reclaim(session, run_id, attempt, worker_id=worker_id, at=at)
            return claimed
        except Exception as error:  # noqa: BLE001  # it is raised again if it is no outage
            _raise_unless_outage(error)
            log.warning("claim_failed run=%s error=%s", run_id, error_name(error))
            process.note_failed_write(failures, error)
            # A pooled connection may be dead for hours: try at once with a new one.
            if unanswered or not _is_stale(error):
                time.sleep(RETRY_DATABASE_SECONDS)
            unanswered = True


def _raise_unless_outage(error: Exception) -> None:
    if not is_outage(error):
        raise error


def _finish_unreadable(
    process: Process,
    run_id: UUID,
    attempt: int,
    error: Exception,
    claim: tuple[UUID, datetime] | None = None,
) -> None:
    """Fail a run whose row cannot be read, or else each copy of its message would fail.

    It is queued, or claimed by us with *claim*: the worker, and the instant of its claim.
    """
    log.error("run_unreadable run=%s attempt=%s", run_id, attempt, exc_info=error)
    kind = type(error).__name__
    try:
        with process.database.session() as session:
            finish_unreadable(session, run_id, attempt, kind, claim=claim, at=clock.now())
    except SQLAlchemyError as failure:
        # The janitor sends the message again, at growing intervals.
        log.warning("run_not_finished run=%s error=%s", run_id, type(failure).__name__)


def _is_stale(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _claim_once(
    process: Process, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> ClaimedRun | None:
    last = process.completer.take()
    if last is not None:
        claimed = _finish_and_claim(process, last, run_id, attempt, worker_id=worker_id, at=at)
    else:
        with process.database.single() as connection:
            claimed = claim_plain(connection, run_id, attempt, worker_id=worker_id, at=at)
    if claimed is not None:
        return claimed
    with process.database.session() as session:
        return claim(session, run_id, attempt, worker_id=worker_id, at=at)


def _finish_and_claim(
    process: Process,
    last: FinishedRun,
    run_id: UUID,
    attempt: int,
    *,
    worker_id: UUID,
    at: datetime,
) -> ClaimedRun | None:
    """Claim, and finish another run in the same transaction; separately if that fails."""
    ended = (last.claimed.run_id, last.claimed.attempt)
    try:
        with process.database.single() as connection:
            has_waiting_run, claimed = finish_and_claim(
                connection,
                *ended,
                last.outcome,
                finished_at=last.at,
                run_id=run_id,
                attempt=attempt,
                worker_id=worker_id,
                at=at,
            )
    except Exception:
        # One of the two was refused, or there was no answer: write each by itself.
        finish_run(process, last)
        raise
    if has_waiting_run is None:
        finish_run(process, last)
    elif has_waiting_run:
        queue_next(process, last.claimed)
    return claimed


def _await_lease(process: Process) -> None:
    """Wait a moment for a heartbeat: the worker may just have been thawed."""
    give_up_at = time.monotonic() + LEASE_WAIT_SECONDS
    while process.lease.seconds_left() <= 0 and time.monotonic() < give_up_at:
        # Do not delay the finish of the run before.
        _finish_held(process)
        time.sleep(0.1)


def _finish_held(process: Process) -> None:
    """Write the finish that this thread holds, if no other thread has."""
    finished_run = process.completer.take_own()
    if finished_run is not None:
        finish_run(process, finished_run)
