"""A job's failures in a row: counted with each outcome, and the job paused at its limit."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, literal, or_, select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.states import Event, JobState, RunState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.notifications import record
from jobs_app.notifications.subscriptions import any_subscribed, is_subscribed
from jobs_app.runs.outcome import Outcome

#: Failures since the last success, those from before a resume too.
_FAILURES_IN_A_ROW = Job.failures_in_a_row + Job.failures_carried

#: The columns of a job that `notifications` needs.
_NOTIFIED_COLUMNS = (Job.id, Job.notify, Job.subscribed_events, Job.failing_since, Job.deleted_at)


def success_is_news(*, has_output: bool) -> ColumnElement[bool]:
    """Return the condition that a success is news to its job.

    It follows a failure, or somebody subscribes to successes, or to its output.
    """
    events = (Event.SUCCEEDED, Event.OUTPUT) if has_output else (Event.SUCCEEDED,)
    return or_(_FAILURES_IN_A_ROW > 0, is_subscribed(*events))


def count_outcome(
    session: Session, job_id: int, run_id: UUID, outcome: Outcome, *, at: datetime
) -> None:
    """Count failures in a row, pause the job when it reaches its limit, and notify.

    A success that is no news costs one statement that changes nothing.
    """
    state = outcome.state
    if state is RunState.CANCELLED:
        return
    statement = update(Job).where(Job.id == job_id).execution_options(synchronize_session=False)
    if state is RunState.SUCCEEDED:
        succeeded = (
            statement.where(success_is_news(has_output=bool(outcome.log_bytes)))
            .values(failures_before=_FAILURES_IN_A_ROW, failures_in_a_row=0, failures_carried=0)
            .returning(*_NOTIFIED_COLUMNS, Job.failures_before)
        )
        job = session.execute(succeeded).one_or_none()
        if job is not None:
            record.notify_outcome(
                session,
                job,
                state,
                run_id=run_id,
                failures=job.failures_before,
                has_output=bool(outcome.log_bytes),
                at=at,
            )
        return
    failed = statement.values(
        failures_in_a_row=Job.failures_in_a_row + 1,
        failing_since=case(
            (_FAILURES_IN_A_ROW == 0, literal(at, Job.failing_since.type)), else_=Job.failing_since
        ),
    ).returning(*_NOTIFIED_COLUMNS, _FAILURES_IN_A_ROW.label("failures"))
    job = session.execute(failed).one_or_none()
    if job is None:
        return
    record.notify_outcome(
        session,
        job,
        state,
        run_id=run_id,
        failures=job.failures,
        has_output=_has_output(session, job, run_id, outcome),
        error=outcome.error,
        exit_code=outcome.exit_code,
        at=at,
    )
    _pause_after_failures(session, job, at=at)


def _has_output(session: Session, job: Row[Any], run_id: UUID, outcome: Outcome) -> bool:
    """Tell whether the attempt has printed something, if a channel wants to know."""
    if outcome.log_bytes is not None or not any_subscribed(job.subscribed_events, [Event.OUTPUT]):
        return bool(outcome.log_bytes)
    # The judge of a lost run knows nothing of its log: its worker has counted it.
    return bool(session.scalar(select(Run.log_bytes).where(Run.id == run_id)))


def _pause_after_failures(session: Session, job: Row[Any], *, at: datetime) -> None:
    """Pause a job that has failed as often in a row as its `pause_after_failures` allows."""
    reason = "Paused after failures in a row, as pause_after_failures says."
    paused = session.execute(
        update(Job)
        .where(
            Job.id == job.id,
            Job.state == JobState.ACTIVE,
            # A deleted job is not paused, and nobody is notified.
            Job.deleted_at.is_(None),
            Job.failures_in_a_row >= Job.pause_after_failures,
            # Record a due fire first; the next failure pauses the job.
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
