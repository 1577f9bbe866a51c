"""What happens to runs: the only module that writes a run's state.

Each move is one conditional UPDATE whose row count is read. Losing is normal: the run
was cancelled, the message came twice, or the worker was given up in the meantime.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from jobs_app.dispatch import Message
from jobs_app.models import Attempt, Job, LogChunk, Run, Worker
from jobs_app.retry import RetryPolicy
from jobs_app.states import (
    ACTIVE,
    CANCELLABLE_AT_ONCE,
    CancelMode,
    JobState,
    OverlapPolicy,
    RunState,
    Trigger,
)

log = logging.getLogger(__name__)

#: A run's message is repeated after this time, doubled each time, seconds.
RESEND_SECONDS = 15.0
RESEND_MOST_SECONDS = 600.0

#: Tasks whose limits are kept by the process around them, in every pool.
KEEPS_OWN_LIMITS = frozenset({"shell", "http", "sleep"})

_MESSAGE_COLUMNS = (
    Run.id,
    Run.attempt,
    Run.task,
    Run.queue,
    Run.priority,
    Run.soft_time_limit_seconds,
    Run.time_limit_seconds,
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that a worker now owns: all that it needs to work."""

    run_id: UUID
    attempt: int
    job_id: int | None
    job: str | None
    task: str
    kwargs: dict[str, Any]
    scheduled_for: datetime | None
    soft_time_limit_seconds: int | None
    time_limit_seconds: int | None
    kill_grace_seconds: int
    retry: RetryPolicy
    started_at: datetime
    queue: str
    priority: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `retry_after_seconds` is set when the task itself asked to be tried again
    (Celery's `self.retry()`); its own count then stands above the job's policy.
    """

    state: RunState
    result: Any = None
    error: dict[str, Any] | None = None
    exit_code: int | None = None
    reason: str | None = None
    log_bytes: int | None = None
    log_truncated: bool | None = None
    retry_after_seconds: float | None = None
    retry_kwargs: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A run about to be recorded."""

    id: UUID
    job_id: int | None
    state: RunState
    trigger: Trigger
    task: str
    kwargs: dict[str, Any]
    queue: str
    priority: int
    created_at: datetime
    scheduled_for: datetime | None = None
    reason: str | None = None
    triggered_by: str | None = None
    note: str | None = None
    fires: int = 1
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = None
    kill_grace_seconds: int = 10
    retry: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 1
    is_exclusive: bool = False
    retry_of: UUID | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns to insert."""
        is_queued = self.state is RunState.QUEUED
        is_over = self.state in (RunState.SKIPPED, RunState.MISSED)
        return {name: getattr(self, name) for name in self.__slots__} | {
            "queued_at": self.created_at if is_queued else None,
            "finished_at": self.created_at if is_over else None,
            # The message goes out right after the commit; if that fails, the janitor repeats it.
            "send_at": self.created_at + timedelta(seconds=RESEND_SECONDS) if is_queued else None,
        }

    def message(self) -> Message:
        """Return the message of a queued run."""
        return _message(self.id, 1, self)


def draft(
    job: Job,
    *,
    run_id: UUID,
    state: RunState,
    trigger: Trigger,
    at: datetime,
    policy: OverlapPolicy | None = None,
    **given: Any,
) -> Draft:
    """Return a run of *job* with the job's own task, limits and queue, for *given* changes."""
    defaults: dict[str, Any] = {
        "kwargs": job.kwargs,
        "soft_time_limit_seconds": job.soft_time_limit_seconds,
        "time_limit_seconds": job.time_limit_seconds,
        "kill_grace_seconds": job.kill_grace_seconds,
        "retry": job.retry,
        "max_attempts": int(job.retry.get("max_attempts", 1)),
    }
    return Draft(
        id=run_id,
        job_id=job.id,
        state=state,
        trigger=trigger,
        task=job.task,
        queue=job.queue,
        priority=job.priority,
        created_at=at,
        is_exclusive=(policy or job.overlap_policy) is not OverlapPolicy.ALLOW_ALL,
        **(defaults | given),
    )


def insert_drafts(session: Session, drafts: Sequence[Draft]) -> set[UUID]:
    """Insert *drafts* and return the ids of those that were new; does not commit.

    A fire that is on record already is passed over in silence (invariant 2).
    Raises IntegrityError if a job would get a second active run (invariant 6).
    """
    if not drafts:
        return set()
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Run)
        .on_conflict_do_nothing(index_elements=["job_id", "scheduled_for"])
        .returning(Run.id)
    )
    return set(session.scalars(statement, [each.row() for each in drafts]))


def claim(
    session: Session, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> Claimed | None:
    """Make *worker_id* the owner of exactly this attempt; None if it is not to be had.

    None is normal: a redelivered message, a cancelled run, or a worker that was
    given up while it was frozen.
    """
    worker_lives = exists().where(Worker.id == worker_id, Worker.gone_at.is_(None))
    statement = (
        update(Run)
        .where(Run.id == run_id, Run.attempt == attempt, Run.state == RunState.QUEUED)
        .where(worker_lives)
        .values(state=RunState.RUNNING, worker_id=worker_id, started_at=at, send_at=None)
        .returning(*_claimed_columns())
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    session.commit()
    return None if row is None else _claimed(run_id, attempt, row, at=at)


def _claimed_columns() -> tuple[Any, ...]:
    job_name = select(Job.name).where(Job.id == Run.job_id).scalar_subquery()
    return (
        Run.job_id,
        job_name.label("job"),
        Run.task,
        Run.kwargs,
        Run.scheduled_for,
        Run.soft_time_limit_seconds,
        Run.time_limit_seconds,
        Run.kill_grace_seconds,
        Run.retry,
        Run.queue,
        Run.priority,
    )


def _claimed(run_id: UUID, attempt: int, row: Row[Any], *, at: datetime) -> Claimed:
    values = row._asdict() | {"retry": RetryPolicy.from_json(row.retry)}
    return Claimed(run_id=run_id, attempt=attempt, started_at=at, **values)


def reclaim(
    session: Session, run_id: UUID, attempt: int, *, worker_id: UUID, at: datetime
) -> Claimed | None:
    """Return the claim made at *at* if it took effect and only its answer got lost."""
    statement = select(*_claimed_columns()).where(
        *_owned(run_id, attempt), Run.worker_id == worker_id, Run.started_at == at
    )
    row = session.execute(statement).one_or_none()
    return None if row is None else _claimed(run_id, attempt, row, at=at)


def finish(
    session: Session,
    run_id: UUID,
    attempt: int,
    outcome: Outcome,
    *,
    retry: RetryPolicy,
    job_id: int | None,
    at: datetime,
) -> bool:
    """Write how an attempt ended; return False if it is no longer the one that counts.

    The run becomes final, or `retrying` when the policy gives it another attempt.
    What a fenced worker brings late is kept as a note on its attempt.
    """
    delay = _delay(run_id, attempt, outcome, retry)
    if delay is None:
        moved = _end(session, run_id, attempt, outcome, at=at)
    else:
        moved = _retry_later(session, run_id, attempt, outcome, delay, at=at)
    if not moved:
        _keep_note(session, run_id, attempt, outcome, at=at)
    elif delay is None and job_id is not None:
        _count_outcome(session, job_id, outcome.state, at=at)
    session.commit()
    if moved:
        state = outcome.state if delay is None else RunState.RETRYING
        log.info("run_%s run=%s attempt=%s reason=%s", state, run_id, attempt, outcome.reason)
    return moved


def _delay(run_id: UUID, attempt: int, outcome: Outcome, retry: RetryPolicy) -> float | None:
    if outcome.retry_after_seconds is not None:
        return outcome.retry_after_seconds
    if retry.allows(outcome.state, attempt=attempt):
        return retry.delay(run_id, attempt=attempt)
    return None


def _owned(run_id: UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """The evidence of a worker: this attempt of this run, and it is still running."""
    return (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.RUNNING)


def _move(session: Session, guard: Sequence[ColumnElement[bool]], **values: Any) -> bool:
    """Change one run if it is still what *guard* says; tell whether it was."""
    statement = update(Run).where(*guard).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _told(outcome: Outcome) -> dict[str, Any]:
    """Return the columns that an outcome sets, and only those that it knows."""
    told: dict[str, Any] = {"error": outcome.error, "exit_code": outcome.exit_code}
    if outcome.reason is not None:
        # Else the reason of whoever asked it to end would be gone.
        told["reason"] = outcome.reason
    if outcome.log_bytes is not None:
        told |= {"log_bytes": outcome.log_bytes, "log_truncated": bool(outcome.log_truncated)}
    return told


def _end(session: Session, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime) -> bool:
    return _move(
        session,
        _owned(run_id, attempt),
        state=outcome.state,
        finished_at=at,
        result=outcome.result,
        **_told(outcome),
    )


def _retry_later(
    session: Session, run_id: UUID, attempt: int, outcome: Outcome, delay: float, *, at: datetime
) -> bool:
    changed = {} if outcome.retry_kwargs is None else {"kwargs": outcome.retry_kwargs}
    before = session.execute(
        select(Run.started_at, Worker.name)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(Run.id == run_id)
    ).one_or_none()
    moved = _move(
        session,
        _owned(run_id, attempt),
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
            error=outcome.error,
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
        "error": outcome.error,
        "at": at.isoformat(),
    }
    session.execute(
        update(Attempt)
        .where(Attempt.run_id == run_id, Attempt.attempt == attempt)
        .values(note=note)
        .execution_options(synchronize_session=False)
    )
    log.warning("late_result run=%s attempt=%s state=%s", run_id, attempt, outcome.state)


def _count_outcome(session: Session, job_id: int, state: RunState, *, at: datetime) -> None:
    """Count failures in a row, and pause the job that has had its fill of them."""
    if state is RunState.CANCELLED:
        return
    job = update(Job).where(Job.id == job_id).execution_options(synchronize_session=False)
    if state is RunState.SUCCEEDED:
        session.execute(job.where(Job.failures_in_a_row > 0).values(failures_in_a_row=0))
        return
    session.execute(job.values(failures_in_a_row=Job.failures_in_a_row + 1))
    session.execute(
        job.where(
            Job.state == JobState.ACTIVE, Job.failures_in_a_row >= Job.pause_after_failures
        ).values(
            state=JobState.PAUSED,
            paused_at=at,
            paused_by="jobs-app",
            paused_reason="Paused after failures in a row, as pause_after_failures says.",
            next_fire_at=None,
            next_due_at=None,
            version=Job.version + 1,
        )
    )


def promote(session: Session, job_id: int, *, at: datetime) -> Message | None:
    """Queue the oldest run that waits for *job_id*'s place, if the place is free."""
    # The planner holds the same lock while it looks whether the place is taken.
    session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
    other = aliased(Run)
    is_taken = exists().where(
        other.job_id == job_id, other.is_exclusive.is_(True), other.state.in_(ACTIVE)
    )
    oldest = (
        select(other.id)
        .where(other.job_id == job_id, other.state == RunState.WAITING)
        .order_by(other.id)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        update(Run)
        .where(Run.id == oldest, Run.state == RunState.WAITING, ~is_taken)
        .values(
            state=RunState.QUEUED,
            queued_at=at,
            send_at=at + timedelta(seconds=RESEND_SECONDS),
        )
        .returning(*_MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    try:
        row = session.execute(statement).one_or_none()
        session.commit()
    except IntegrityError:
        # Another finish promoted one in the same moment.
        session.rollback()
        return None
    return None if row is None else _message(row.id, row.attempt, row)


def promotable_jobs(session: Session, *, limit: int = 100) -> list[int]:
    """Return jobs with a run that waits for nobody: its promoter died before it could."""
    other = aliased(Run)
    is_taken = exists().where(
        other.job_id == Run.job_id, other.is_exclusive.is_(True), other.state.in_(ACTIVE)
    )
    statement = (
        select(Run.job_id).where(Run.state == RunState.WAITING, ~is_taken).distinct().limit(limit)
    )
    return [job_id for job_id in session.scalars(statement) if job_id is not None]


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
            sends=0,
            send_at=at + timedelta(seconds=RESEND_SECONDS),
            progress=None,
        )
        .returning(*_MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    rows = session.execute(statement).all()
    session.commit()
    return [_message(row.id, row.attempt, row) for row in rows]


def unsent_by_queue(session: Session, *, at: datetime) -> dict[str, int]:
    """Return, for each queue with messages to send again, how many runs are queued there."""
    from_queue = select(Run.queue).where(Run.state == RunState.QUEUED, Run.send_at <= at).distinct()
    counts: dict[str, int] = {}
    for queue in session.scalars(from_queue):
        runs = select(Run.id).where(Run.state == RunState.QUEUED, Run.queue == queue)
        counts[queue] = len(session.scalars(runs.limit(10_000)).all())
    return counts


def send_soon(session: Session, run_ids: Collection[UUID], *, at: datetime) -> None:
    """Have the janitor send the messages of queued runs at once; does not commit."""
    statement = update(Run).where(Run.id.in_(run_ids), Run.state == RunState.QUEUED)
    session.execute(statement.values(send_at=at).execution_options(synchronize_session=False))


def take_unsent(session: Session, queue: str, *, at: datetime, limit: int) -> list[Message]:
    """Put off the next repetition of up to *limit* overdue messages and return them to be sent.

    The delay doubles with each repetition, 15 s to 10 min, so that runs in a long
    queue are not sent over and over.
    """
    due = (
        select(Run.id, Run.sends)
        .where(Run.state == RunState.QUEUED, Run.send_at <= at, Run.queue == queue)
        .order_by(Run.send_at)
        .limit(limit)
    )
    by_sends: dict[int, list[UUID]] = {}
    for run_id, sends in session.execute(due):
        by_sends.setdefault(sends, []).append(run_id)
    messages = []
    for sends, ids in by_sends.items():
        delay = min(RESEND_SECONDS * 2 ** min(sends + 1, 10), RESEND_MOST_SECONDS)
        statement = (
            update(Run)
            .where(Run.id.in_(ids), Run.state == RunState.QUEUED, Run.sends == sends)
            .values(sends=sends + 1, send_at=at + timedelta(seconds=delay))
            .returning(*_MESSAGE_COLUMNS)
            .execution_options(synchronize_session=False)
        )
        messages += [_message(row.id, row.attempt, row) for row in session.execute(statement)]
    session.commit()
    return messages


def cancel(
    session: Session, run_id: UUID, *, mode: CancelMode, by: str, reason: str, at: datetime
) -> RunState | None:
    """Cancel a run, or ask its worker to; return the state that it found.

    A waiting, queued or retrying run is cancelled at once. Of a running one the
    row says that it is to end, and its worker sees that within a second. None
    means that there was nothing to cancel: no such run, or it is over.
    """
    at_once = _move(
        session,
        (Run.id == run_id, Run.state.in_(CANCELLABLE_AT_ONCE)),
        state=RunState.CANCELLED,
        finished_at=at,
        cancelled_by=by,
        reason=reason,
        send_at=None,
    )
    asked = not at_once and _move(
        session,
        (
            Run.id == run_id,
            Run.state == RunState.RUNNING,
            # A kill may follow a graceful cancel, never the other way round.
            or_(Run.cancel_mode.is_(None), Run.cancel_mode == CancelMode.GRACEFUL),
        ),
        cancel_mode=mode,
        cancelled_by=by,
        reason=reason,
    )
    session.commit()
    if at_once:
        return RunState.CANCELLED
    return RunState.RUNNING if asked else None


def cancel_unstarted(session: Session, job_id: int, *, by: str, reason: str, at: datetime) -> None:
    """Cancel what has not begun of a job; does not commit (the caller's change does)."""
    _move(
        session,
        (Run.job_id == job_id, Run.state.in_(CANCELLABLE_AT_ONCE)),
        state=RunState.CANCELLED,
        finished_at=at,
        cancelled_by=by,
        reason=reason,
        send_at=None,
    )


def give_way(
    session: Session, job_id: int, mode: CancelMode | None, *, drop_waiting: bool, at: datetime
) -> None:
    """End a job's other runs for a newer one, as its overlap policy says; does not commit."""
    over = {
        "state": RunState.CANCELLED,
        "finished_at": at,
        "cancelled_by": "jobs-app",
        "reason": "superseded",
        "send_at": None,
    }
    if drop_waiting:
        _move(session, (Run.job_id == job_id, Run.state == RunState.WAITING), **over)
    if mode is not None:
        unstarted = (RunState.QUEUED, RunState.RETRYING)
        _move(session, (Run.job_id == job_id, Run.state.in_(unstarted)), **over)
        _move(
            session,
            (Run.job_id == job_id, Run.state == RunState.RUNNING),
            cancel_mode=mode,
            cancelled_by="jobs-app",
            reason="superseded",
        )


def cancel_requests(session: Session, worker_id: UUID) -> dict[UUID, CancelMode]:
    """Return the running runs of a worker that are to end, and how."""
    statement = select(Run.id, Run.cancel_mode).where(
        Run.worker_id == worker_id, Run.state == RunState.RUNNING, Run.cancel_mode.is_not(None)
    )
    return {row.id: row.cancel_mode for row in session.execute(statement)}


def orphans(session: Session, *, limit: int = 500) -> list[Row[Any]]:
    """Return the running runs whose worker is gone: id, attempt, job_id, retry."""
    statement = (
        select(Run.id, Run.attempt, Run.job_id, Run.retry)
        .join(Worker, Worker.id == Run.worker_id)
        .where(Run.state == RunState.RUNNING, Worker.gone_at.is_not(None))
        .limit(limit)
    )
    return list(session.execute(statement))


def end_dead(
    session: Session,
    run_id: UUID,
    attempt: int,
    *,
    job_id: int | None,
    retry: RetryPolicy,
    reason: str,
    at: datetime,
    state: RunState = RunState.LOST,
) -> bool:
    """End an attempt whose process is gone, or give the run its next one.

    One that was asked to end has been cancelled, not lost. False is normal: the
    process had written its result before it died.
    """
    is_cancelled = select(Run.cancelled_by).where(
        *_owned(run_id, attempt), Run.cancel_mode.is_not(None)
    )
    if session.scalars(is_cancelled).first() is not None:
        outcome = Outcome(RunState.CANCELLED)
    else:
        kind = "TimeLimitExceeded" if state is RunState.TIMED_OUT else "WorkerLost"
        error = {"type": kind, "message": reason, "traceback": None}
        outcome = Outcome(state, error=error, reason=reason)
    return finish(session, run_id, attempt, outcome, retry=retry, job_id=job_id, at=at)


def report_progress(session: Session, run_id: UUID, attempt: int, progress: dict[str, Any]) -> bool:
    """Store how far a running attempt has come; False if it is no longer the one that counts."""
    moved = _move(session, _owned(run_id, attempt), progress=progress)
    session.commit()
    return moved


def purge(session: Session, run_ids: Collection[UUID]) -> None:
    """Delete runs and all that belongs to them; does not commit."""
    session.execute(delete(LogChunk).where(LogChunk.run_id.in_(run_ids)))
    session.execute(delete(Attempt).where(Attempt.run_id.in_(run_ids)))
    session.execute(delete(Run).where(Run.id.in_(run_ids)))


def _message(run_id: UUID, attempt: int, limits: Any) -> Message:
    """Return the message of an attempt; Celery's pool is told only the limits it must keep."""
    keeps = limits.task in KEEPS_OWN_LIMITS
    return Message(
        run_id=run_id,
        attempt=attempt,
        task=limits.task,
        queue=limits.queue,
        priority=limits.priority,
        soft_time_limit_seconds=None if keeps else limits.soft_time_limit_seconds,
        time_limit_seconds=None if keeps else limits.time_limit_seconds,
    )
