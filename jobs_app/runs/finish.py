"""The end of an attempt: its outcome, a retry, and what follows for the job."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    case,
    exists,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from jobs_app.accounts import audit
from jobs_app.core.run_error import RunError
from jobs_app.core.states import FINAL, Event, JobState, RunState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.notifications import record
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import MESSAGE_COLUMNS, RESEND_SECONDS, message_of
from jobs_app.runs.overlap import may_have_waiting_run
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.transitions import move, owned

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `retry_after_seconds` is set when the task itself asked to be tried again
    (Celery's `self.retry()`); its own count then stands above the job's policy.
    `progress` is the last that it reported, None if that is stored.
    """

    state: RunState
    result: Any = None
    error: RunError | None = None
    exit_code: int | None = None
    reason: str | None = None
    log_bytes: int | None = None
    log_truncated: bool | None = None
    retry_after_seconds: float | None = None
    retry_kwargs: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None

    @property
    def error_json(self) -> dict[str, Any] | None:
        """The error as a row holds it."""
        return None if self.error is None else self.error.to_json()

    @property
    def is_plain(self) -> bool:
        """A success, and nothing else to tell."""
        return self.state is RunState.SUCCEEDED and self.reason is None and self.progress is None


def finish(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    *,
    retry: RetryPolicy,
    job_id: int | None,
    at: datetime,
    is_witness: bool = True,
) -> bool:
    """Write how an attempt ended; return False if it is no longer the one that counts.

    The run becomes final, or `retrying` when the policy gives it another attempt, unless
    it was asked to end or its job was deleted. What a fenced worker brings late is kept
    as a note on its attempt; what others only conclude (`is_witness` false) is not.
    """
    if job_id is not None:
        _hold(session, job_id)
    delay = _delay(run_id, attempt, outcome, retry)
    is_retried = delay is not None and _retry_later(session, run_id, attempt, outcome, delay, at=at)
    moved = is_retried or _end(session, run_id, attempt, outcome, at=at)
    if not moved and is_witness:
        _keep_note(session, run_id, attempt, outcome, at=at)
    elif moved and not is_retried and job_id is not None:
        _count_outcome(session, job_id, run_id, outcome, at=at)
    session.commit()
    if moved:
        state = RunState.RETRYING if is_retried else outcome.state
        log.info("run_%s run=%s attempt=%s reason=%s", state, run_id, attempt, outcome.reason)
    return moved


def _hold(session: Session, job_id: int) -> None:
    """Hold the job of a run that ends, until the commit.

    Who deletes the job waits for this, and cancels what is to be tried again. And who has its
    runs give way holds the job first and writes its runs then: in the other order, which this
    would be if the job were only counted up at last, each would wait for the other.
    """
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update(key_share=True))


#: Failures with no success between them, those from before a resume too.
_IN_A_ROW = Job.failures_in_a_row + Job.failures_carried

#: A success is news to its job: there were failures before it, or somebody wants to hear of it.
_SUCCESS_IS_NEWS = or_(_IN_A_ROW > 0, record.is_subscribed(Event.SUCCEEDED))


@cache
def plain_finish_statement(*, has_log: bool) -> ReturningUpdate[Any]:
    """Return the statement of `finish_plain`; made once, as that of a claim."""
    told = ("finished_at", "result", "exit_code", *(("log_bytes", "log_truncated") * has_log))
    is_news = exists().where(Job.id == Run.job_id, _SUCCESS_IS_NEWS)
    return (
        update(Run)
        .where(*owned(bindparam("ended_run"), bindparam("ended_attempt")), ~is_news)
        .values(state=RunState.SUCCEEDED, error=None, **{n: bindparam(f"new_{n}") for n in told})
        .returning(may_have_waiting_run(Run.job_id).label("has_waiting_run"))
        .execution_options(synchronize_session=False)
    )


def plain_finish_values(
    run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> dict[str, Any]:
    """Return what `plain_finish_statement` is executed with."""
    given = {
        "ended_run": run_id,
        "ended_attempt": attempt,
        "new_finished_at": at,
        "new_result": outcome.result,
        "new_exit_code": outcome.exit_code,
    }
    if outcome.log_bytes is not None:
        given |= {
            "new_log_bytes": outcome.log_bytes,
            "new_log_truncated": bool(outcome.log_truncated),
        }
    return given


def finish_plain(
    connection: Connection, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> bool | None:
    """Write the plainest of ends by one statement: a success that is no news to its job.

    Returns whether another run may wait for the place that is free now; None if nothing
    was written, and `finish` has to see what is the matter.
    """
    if not outcome.is_plain:
        return None
    given = plain_finish_values(run_id, attempt, outcome, at=at)
    has_log = outcome.log_bytes is not None
    has_waiting_run = connection.execute(
        plain_finish_statement(has_log=has_log), given
    ).scalar_one_or_none()
    connection.commit()
    if has_waiting_run is None:
        return None
    log.info("run_succeeded run=%s attempt=%s", run_id, attempt)
    return bool(has_waiting_run)


def _delay(run_id: UUID, attempt: int, outcome: Outcome, retry: RetryPolicy) -> float | None:
    if outcome.retry_after_seconds is not None:
        return outcome.retry_after_seconds
    if retry.allows(outcome.state, attempt=attempt):
        return retry.delay(run_id, attempt=attempt)
    return None


def _told(outcome: Outcome) -> dict[str, Any]:
    """Return the columns that an outcome sets, and only those that it knows."""
    told: dict[str, Any] = {"error": outcome.error_json, "exit_code": outcome.exit_code}
    if outcome.reason is not None:
        # Else the reason of whoever asked it to end would be gone.
        told["reason"] = outcome.reason
    if outcome.log_bytes is not None:
        told |= {"log_bytes": outcome.log_bytes, "log_truncated": bool(outcome.log_truncated)}
    if outcome.progress is not None:
        told["progress"] = outcome.progress
    return told


def _end(session: Session, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime) -> bool:
    return move(
        session,
        owned(run_id, attempt),
        state=outcome.state,
        finished_at=at,
        result=outcome.result,
        **_told(outcome),
    )


def _retry_later(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    delay: float,
    *,
    at: datetime,
) -> bool:
    changed = {} if outcome.retry_kwargs is None else {"kwargs": outcome.retry_kwargs}
    before = session.execute(
        select(Run.started_at, Worker.name)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(Run.id == run_id)
    ).one_or_none()
    is_deleted = exists().where(Job.id == Run.job_id, Job.deleted_at.is_not(None))
    moved = move(
        session,
        # What somebody wanted to end, or whose job is gone, gets no other attempt.
        (*owned(run_id, attempt), Run.cancel_mode.is_(None), ~is_deleted),
        state=RunState.RETRYING,
        not_before=at + timedelta(seconds=delay),
        worker_id=None,
        **changed,
        **_told(outcome),
    )
    if moved and before is not None:
        ended = Attempt(
            run_id=run_id,
            attempt=attempt,
            state=outcome.state,
            started_at=before.started_at,
            finished_at=at,
            worker=before.name,
            error=outcome.error_json,
            exit_code=outcome.exit_code,
        )
        session.add(ended)
    return moved


def _keep_note(
    session: Session, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> None:
    note = {
        "state": outcome.state,
        "exit_code": outcome.exit_code,
        "error": outcome.error_json,
        "at": at.isoformat(),
    }
    kept = session.execute(
        update(Attempt)
        # The answer to a commit may get lost: what is on record already comes not late but twice.
        .where(Attempt.run_id == run_id, Attempt.attempt == attempt, Attempt.state != outcome.state)
        .values(note=note)
        .execution_options(synchronize_session=False)
    )
    is_kept = bool(rowcount(kept))
    if not is_kept and not _adds_last(session, run_id, attempt, outcome.state, note=note):
        return
    log.warning("late_result run=%s attempt=%s state=%s", run_id, attempt, outcome.state)


def _adds_last(
    session: Session, run_id: UUID, attempt: int, state: RunState, *, note: dict[str, Any]
) -> bool:
    """Give the last attempt of a run that is over a row of its own, to keep a note on.

    Not if the run ended as *state*, or has such a row; tell whether it was given one.
    """
    is_there = exists().where(Attempt.run_id == run_id, Attempt.attempt == attempt)
    row = session.execute(
        select(Run, Worker.name)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(Run.id == run_id, Run.attempt == attempt, Run.state.in_(FINAL))
        .where(Run.state != state, ~is_there)
    ).one_or_none()
    if row is None:
        return False
    run, worker = row
    session.add(
        Attempt(
            run_id=run_id,
            attempt=attempt,
            state=run.state,
            started_at=run.started_at,
            finished_at=run.finished_at,
            worker=worker,
            error=run.error,
            exit_code=run.exit_code,
            note=note,
        )
    )
    return True


#: What `notifications` wants to know of a job.
_TOLD = (Job.id, Job.notify, Job.subscribed_events, Job.failing_since, Job.deleted_at)


def _count_outcome(
    session: Session, job_id: int, run_id: UUID, outcome: Outcome, *, at: datetime
) -> None:
    """Count failures in a row, pause the job that has had its fill of them, and tell of it.

    A success that nobody wants to hear of costs one statement that changes nothing.
    """
    state = outcome.state
    if state is RunState.CANCELLED:
        return
    job = update(Job).where(Job.id == job_id).execution_options(synchronize_session=False)
    if state is RunState.SUCCEEDED:
        ended = (
            job.where(_SUCCESS_IS_NEWS)
            .values(failures_before=_IN_A_ROW, failures_in_a_row=0, failures_carried=0)
            .returning(*_TOLD, Job.failures_before)
        )
        found = session.execute(ended).one_or_none()
        if found is not None:
            record.notify_outcome(
                session, found, state, run_id=run_id, failures=found.failures_before, at=at
            )
        return
    failed = job.values(
        failures_in_a_row=Job.failures_in_a_row + 1,
        failing_since=case(
            (_IN_A_ROW == 0, literal(at, Job.failing_since.type)), else_=Job.failing_since
        ),
    ).returning(*_TOLD, _IN_A_ROW.label("failures"))
    found = session.execute(failed).one_or_none()
    if found is None:
        return
    record.notify_outcome(
        session,
        found,
        state,
        run_id=run_id,
        failures=found.failures,
        error=outcome.error,
        exit_code=outcome.exit_code,
        at=at,
    )
    _pause_if_enough(session, found, at=at)


def _pause_if_enough(session: Session, job: Row[Any], *, at: datetime) -> None:
    """Pause a job that has failed as often in a row as its `pause_after_failures` allows."""
    reason = "Paused after failures in a row, as pause_after_failures says."
    paused = session.execute(
        update(Job)
        .where(
            Job.id == job.id,
            Job.state == JobState.ACTIVE,
            # Of a job that was deleted nothing is paused, and nobody told.
            Job.deleted_at.is_(None),
            Job.failures_in_a_row >= Job.pause_after_failures,
            # A fire that is due must first come on record: the failure after it pauses.
            or_(Job.next_due_at.is_(None), Job.next_due_at > at),
        )
        .values(
            state=JobState.PAUSED,
            paused_at=at,
            paused_by="jobs-app",
            paused_reason=reason,
            next_fire_at=None,
            next_due_at=None,
            version=Job.version + 1,
        )
        .execution_options(synchronize_session=False)
    )
    if rowcount(paused):
        audit.note(session, "pause", by="jobs-app", at=at, job_id=job.id, reason=reason)
        record.notify_paused(session, job, by="jobs-app", reason=reason, at=at)


def queue_due_retries(session: Session, *, at: datetime, limit: int = 500) -> list[Message]:
    """Queue the next attempt of every run whose delay is over; return their messages."""
    due = (
        select(Run.id)
        .where(Run.state == RunState.RETRYING, Run.not_before <= at)
        .order_by(Run.not_before)
        .limit(limit)
    )
    statement = (
        update(Run)
        .where(Run.id.in_(list(session.scalars(due))))
        .where(Run.state == RunState.RETRYING, Run.not_before <= at)
        .values(
            state=RunState.QUEUED,
            attempt=Run.attempt + 1,
            not_before=None,
            queued_at=at,
            started_at=None,
            # That of the attempt before; its own row keeps the error.
            reason=None,
            sends=0,
            send_at=at + timedelta(seconds=RESEND_SECONDS),
            progress=None,
        )
        .returning(*MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    rows = session.execute(statement).all()
    session.commit()
    return [message_of(row.id, row.attempt, row) for row in rows]


def report_progress(session: Session, run_id: UUID, attempt: int, progress: dict[str, Any]) -> bool:
    """Store how far a running attempt has come; False if it is no longer the one that counts."""
    moved = move(session, owned(run_id, attempt), progress=progress)
    session.commit()
    return moved
