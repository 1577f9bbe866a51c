"""Finishes an attempt: writes its outcome, or has the run try again."""

import logging
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    case,
    exists,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.runs.cancel import NO_REASON
from jobs_app.runs.job_failures import count_outcome, success_is_news
from jobs_app.runs.late_results import keep_late_result
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.overlap import may_have_waiting_run
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.transitions import move, owned

log = logging.getLogger(__name__)


def finish(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    *,
    retry: RetryPolicy,
    job_id: int | None,
    at: datetime,
    is_from_worker: bool = True,
) -> bool:
    """Write how an attempt ended; return False if it is no longer the one that counts.

    The run becomes `retrying` if the policy gives it another attempt, else final. A run
    that was asked to stop, or whose job was deleted, is not retried. A late result of a
    fenced worker is kept as a note on its attempt. A late conclusion of another process
    (`is_from_worker` false) is dropped.
    """
    if job_id is not None:
        _lock_job(session, job_id)
    delay = _retry_delay(run_id, attempt, outcome, retry)
    is_retried = delay is not None and _schedule_retry(
        session, run_id, attempt, outcome, delay, at=at
    )
    moved = is_retried or _write_outcome(session, run_id, attempt, outcome, at=at)
    if not moved and is_from_worker:
        keep_late_result(session, run_id, attempt, outcome, at=at)
    elif moved and not is_retried and job_id is not None:
        count_outcome(session, job_id, run_id, outcome, at=at)
    session.commit()
    if moved:
        state = RunState.RETRYING if is_retried else outcome.state
        log.info("run_%s run=%s attempt=%s reason=%s", state, run_id, attempt, outcome.reason)
    return moved


def finish_alone(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    *,
    worker_id: UUID,
    at: datetime,
) -> bool:
    """Write a final outcome without a retry, a count or a notification, and commit.

    For a run whose `finish` fails on the data of its job or of its rows: no run stays
    `running` for ever. False is normal: it has ended, or is another worker's.
    """
    moved = move(
        session,
        (*owned(run_id, attempt), Run.worker_id == worker_id),
        state=outcome.state,
        finished_at=at,
        result=outcome.result,
        **_final_columns(outcome),
    )
    session.commit()
    if moved:
        log.error("run_%s run=%s attempt=%s alone=true", outcome.state, run_id, attempt)
    return moved


def finish_unreadable(
    session: Session,
    run_id: UUID,
    attempt: int,
    kind: str,
    *,
    claim: tuple[UUID, datetime] | None,
    at: datetime,
) -> bool:
    """Fail an attempt that cannot be worked on, because its row cannot be read; commits.

    It is queued, or it was claimed by *claim*: the worker, and the instant of its claim.
    """
    message = f"The run could not be started: its data cannot be read ({kind})."
    guard: tuple[ColumnElement[bool], ...] = (
        Run.id == run_id,
        Run.attempt == attempt,
        Run.state == RunState.QUEUED,
    )
    if claim is not None:
        worker_id, started_at = claim
        guard = (
            *owned(run_id, attempt),
            Run.worker_id == worker_id,
            Run.started_at == started_at,
        )
    moved = move(
        session,
        guard,
        state=RunState.FAILED,
        finished_at=at,
        send_at=None,
        reason=message,
        error=RunError(kind, message).to_json(),
    )
    session.commit()
    return moved


def _lock_job(session: Session, job_id: int) -> None:
    """Lock the job of a run that finishes, until the commit.

    Whoever deletes the job waits for this lock, then cancels the retry that we schedule.
    The lock is taken before the run is written, because `make_room` also locks the job first:
    if we locked it last, to count a failure, the two transactions could deadlock.
    """
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))


@cache
def plain_finish_statement(*, has_log: bool) -> ReturningUpdate[Any]:
    """Return the statement of `finish_plain`; built once, because building it is slow."""
    columns = ("finished_at", "result", "exit_code", *(("log_bytes", "log_truncated") * has_log))
    # A log that is counted is not empty.
    is_news = exists().where(Job.id == Run.job_id, success_is_news(has_output=has_log))
    return (
        update(Run)
        .where(*owned(bindparam("finished_run"), bindparam("finished_attempt")), ~is_news)
        .values(state=RunState.SUCCEEDED, error=None, reason=_reason(RunState.SUCCEEDED))
        .values({name: bindparam(f"new_{name}") for name in columns})
        .returning(may_have_waiting_run(Run.job_id).label("has_waiting_run"))
        .execution_options(synchronize_session=False)
    )


def plain_finish_values(
    run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> dict[str, Any]:
    """Return the parameters of `plain_finish_statement`."""
    values = {
        "finished_run": run_id,
        "finished_attempt": attempt,
        "new_finished_at": at,
        "new_result": outcome.result,
        "new_exit_code": outcome.exit_code,
    }
    if outcome.log_bytes is not None:
        values |= {
            "new_log_bytes": outcome.log_bytes,
            "new_log_truncated": bool(outcome.log_truncated),
        }
    return values


def finish_plain(
    connection: Connection, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> bool | None:
    """Finish a run by a single statement, if it is a success that is no news to its job.

    Return whether another run of the job may wait for this one. None means that nothing
    was written: call `finish`.
    """
    if not outcome.is_plain:
        return None
    values = plain_finish_values(run_id, attempt, outcome, at=at)
    has_log = outcome.log_bytes is not None
    has_waiting_run = connection.execute(
        plain_finish_statement(has_log=has_log), values
    ).scalar_one_or_none()
    connection.commit()
    if has_waiting_run is None:
        return None
    log.info("run_succeeded run=%s attempt=%s", run_id, attempt)
    return bool(has_waiting_run)


def _retry_delay(run_id: UUID, attempt: int, outcome: Outcome, retry: RetryPolicy) -> float | None:
    if outcome.retry_after_seconds is not None:
        return outcome.retry_after_seconds
    if retry.allows(outcome.state, attempt=attempt):
        return retry.delay(run_id, attempt=attempt)
    return None


def _outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """Return the columns that an outcome sets; those it knows nothing of are left out."""
    columns: dict[str, Any] = {"error": outcome.error_json, "exit_code": outcome.exit_code}
    if outcome.reason is not None:
        # Without one of its own, the reason given with a cancel request stays.
        columns["reason"] = outcome.reason
    if outcome.log_bytes is not None:
        columns |= {"log_bytes": outcome.log_bytes, "log_truncated": bool(outcome.log_truncated)}
    if outcome.progress is not None:
        columns["progress"] = outcome.progress
    return columns


#: The end of a run that was asked to stop, and ended otherwise; a lost one has a reason.
_ALL_THE_SAME = {
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "reached its time limit",
}


def _final_columns(outcome: Outcome) -> dict[str, Any]:
    """Return the columns that a final outcome sets.

    A task may catch the exception of a cancel and go on. The reason then says so, because
    that of the cancel alone would call a run cancelled that has, say, succeeded.
    """
    columns = _outcome_columns(outcome)
    if outcome.state in _ALL_THE_SAME:
        columns["reason"] = _reason(outcome.state, outcome.reason)
    return columns


def _reason(state: RunState, own_reason: str | None = None) -> ColumnElement[str]:
    """Return the reason of a run that ends in *state*, whether or not it was asked to stop."""
    own = Run.reason if own_reason is None else literal(own_reason)
    end = f", and {_ALL_THE_SAME[state]} all the same."
    end += "" if own_reason is None else f" {own_reason}"
    why = case((Run.reason == NO_REASON, ""), else_=literal(" (") + Run.reason + ")")
    is_asked = Run.cancel_mode.is_not(None)
    return case((is_asked, literal("It was asked to end") + why + end), else_=own)


def _write_outcome(
    session: Session, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> bool:
    return move(
        session,
        owned(run_id, attempt),
        state=outcome.state,
        finished_at=at,
        result=outcome.result,
        **_final_columns(outcome),
    )


def _schedule_retry(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    delay: float,
    *,
    at: datetime,
) -> bool:
    kwargs = {} if outcome.retry_kwargs is None else {"kwargs": outcome.retry_kwargs}
    attempt_row = session.execute(
        select(Run.started_at, Worker.name)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(Run.id == run_id)
    ).one_or_none()
    is_deleted = exists().where(Job.id == Run.job_id, Job.deleted_at.is_not(None))
    moved = move(
        session,
        # A run that was asked to stop, or whose job was deleted, gets no other attempt.
        (*owned(run_id, attempt), Run.cancel_mode.is_(None), ~is_deleted),
        state=RunState.RETRYING,
        not_before=at + timedelta(seconds=delay),
        worker_id=None,
        **kwargs,
        **_outcome_columns(outcome),
    )
    if moved and attempt_row is not None:
        session.add(
            Attempt(
                run_id=run_id,
                attempt=attempt,
                state=outcome.state,
                started_at=attempt_row.started_at,
                finished_at=at,
                worker=attempt_row.name,
                error=outcome.error_json,
                exit_code=outcome.exit_code,
            )
        )
    return moved
