"""Writes the finish of a run, however long the database is away, and queues the next run."""

import logging
import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.db.errors import is_outage
from jobs_app.runs import concurrency, overlap
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.finish import finish, finish_alone, finish_plain
from jobs_app.runs.messages import Message, publish
from jobs_app.runs.outcome import Outcome
from jobs_app.worker.completer import FinishedRun
from jobs_app.worker.liveness.write_failures import WriteFailures
from jobs_app.worker.outcomes import unstorable
from jobs_app.worker.pool_process import Process

log = logging.getLogger(__name__)

#: Pause between two tries while the database is away, seconds.
RETRY_DATABASE_SECONDS = 0.5

#: Writes an outcome; returns whether a run may wait for this one, or the error.
Write = Callable[[Process, ClaimedRun, Outcome, datetime], bool | Exception]


def finish_run(process: Process, finished_run: FinishedRun) -> None:
    """Write the outcome, however long the database is away; then release the slot."""
    claimed, outcome = finished_run.claimed, finished_run.outcome
    # Only this worker may write it: if the run is no longer ours, the guard refuses.
    write: Write = _write
    is_replaced = False
    failures = WriteFailures(process.lease)
    # The log first: who follows it reads until the run has finished.
    while isinstance(
        written := _store_log(finished_run) or write(process, claimed, outcome, finished_run.at),
        Exception,
    ):
        kind = type(written).__name__
        log.warning("finish_failed run=%s error=%s", claimed.run_id, kind)
        if is_outage(written):
            process.note_failed_write(failures, written)
            time.sleep(RETRY_DATABASE_SECONDS)
        elif not is_replaced:
            outcome, is_replaced = unstorable(outcome, kind), True
        elif write is _write:
            # Not the outcome is refused, but what goes with it: the job's count, a notification.
            write = _write_alone
        else:
            # Nothing more can be done here: the heartbeat finds the run as a stalled one.
            return
    if written or claimed.concurrency_key is not None:
        queue_next(process, claimed)


def _store_log(finished_run: FinishedRun) -> Exception | None:
    """Store what is left of the log of an outage; return the error if it goes on."""
    try:
        if finished_run.log is not None:
            finished_run.log.store_rest()
    except Exception as error:  # noqa: BLE001  # as in `_write`
        return error
    return None


def queue_next(process: Process, claimed: ClaimedRun) -> None:
    """Queue the runs that waited for this one; if that fails, the janitor does it."""
    try:
        messages = _promote_waiting(process, claimed)
        if messages:
            publish(process.app, messages)
    except (SQLAlchemyError, BrokerUnavailable) as error:
        kind = type(error).__name__
        log.warning("next_left_to_janitor run=%s error=%s", claimed.run_id, kind)


def _write(
    process: Process, claimed: ClaimedRun, outcome: Outcome, at: datetime
) -> bool | Exception:
    """Write the outcome; return whether a run may wait for this one, or the error."""
    try:
        with process.database.single() as connection:
            has_waiting_run = finish_plain(
                connection, claimed.run_id, claimed.attempt, outcome, at=at
            )
        if has_waiting_run is not None:
            return has_waiting_run
        with process.database.session() as session:
            finish(
                session,
                claimed.run_id,
                claimed.attempt,
                outcome,
                retry=claimed.retry,
                job_id=claimed.job_id,
                at=at,
            )
    except Exception as error:  # noqa: BLE001  # a value of the task may not be storable
        return error
    return True


def _write_alone(
    process: Process, claimed: ClaimedRun, outcome: Outcome, at: datetime
) -> bool | Exception:
    """Write the outcome without anything that goes with it."""
    try:
        with process.database.session() as session:
            ours = (claimed.run_id, claimed.attempt, outcome)
            finish_alone(session, *ours, worker_id=claimed.worker_id, at=at)
    except Exception as error:  # noqa: BLE001  # as above
        return error
    return True


def _promote_waiting(process: Process, claimed: ClaimedRun) -> list[Message]:
    """Promote the runs that waited for the slot of the run's key or for its job."""
    messages: list[Message] = []
    if claimed.concurrency_key is None and claimed.job_id is None:
        return messages
    with process.database.session() as session:
        # The key first: a run promoted for the job has not waited for a slot yet.
        if claimed.concurrency_key is not None:
            messages += concurrency.unpark(session, claimed.concurrency_key, at=clock.now())
        if claimed.job_id is not None:
            promoted = overlap.promote(session, claimed.job_id, at=clock.now())
            messages += [] if promoted is None else [promoted]
    return messages
