"""The tables of runs, their attempts and their logs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    String,
    Text,
    UniqueConstraint,
    case,
    false,
    func,
    select,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import ACTIVE, CancelMode, RunState, Trigger
from jobs_app.db.columns import Base, Json, new_run_id, one_of, partial_index
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker

#: A queued run that has found no free slot of its concurrency key; its `reason` says so.
KEPT_WAITING = "concurrency_key IS NOT NULL AND state = 'queued' AND reason IS NOT NULL"
#: Of these, the runs without a message, and the runs with one, which were offered a slot.
PARKED = f"{KEPT_WAITING} AND send_at IS NULL"
UNPARKED = f"{KEPT_WAITING} AND send_at IS NOT NULL"

# The expression of `Run.instant` in the indexes.
INSTANT = text("coalesce(scheduled_for, created_at)")

# Conditions of partial indexes. A query repeats them word for word: else SQLite does not use
# the index.
# Not by `state`: PostgreSQL would search the run of a claim among all queued ones, and SQLite
# would build the list of states again for each row that it writes.
IS_OVER = "finished_at IS NOT NULL"
IS_UNFINISHED = "finished_at IS NULL"
# Not "IS NULL": SQLite would read these rows by `uq_runs_fire` and sort them.
HAS_NO_FIRE = "NOT (scheduled_for IS NOT NULL)"
IS_UNSCHEDULED = "trigger <> 'schedule'"
IS_FOLDED = "fires > 1"
HAS_WORDS = "note IS NOT NULL OR error IS NOT NULL"


class Run(Base):
    """The record of one fire or one manual start; while `queued`, also its outbox.

    `send_at` is when the janitor sends its message (again). The run has its own copy of task,
    kwargs and limits, which no later edit of the job changes.
    """

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    scheduled_for: Mapped[datetime | None]
    state: Mapped[RunState] = mapped_column(one_of(RunState, "state"))
    reason: Mapped[str | None] = mapped_column(Text)
    trigger: Mapped[Trigger] = mapped_column(one_of(Trigger, "trigger"))
    triggered_by: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(Text)
    fires: Mapped[int] = mapped_column(default=1)  # above 1 for a `missed` row of several fires

    task: Mapped[str] = mapped_column(String(255))
    kwargs: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    queue: Mapped[str] = mapped_column(String(100))
    priority: Mapped[int] = mapped_column(default=5)
    concurrency_key: Mapped[str | None] = mapped_column(String(100))
    concurrency_limit: Mapped[int | None]
    concurrency_slot: Mapped[int | None]  # the slot of its last attempt, from 1
    soft_time_limit_seconds: Mapped[int | None]
    time_limit_seconds: Mapped[int | None]
    kill_grace_seconds: Mapped[int] = mapped_column(default=10)
    retry: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    max_attempts: Mapped[int] = mapped_column(default=1)
    is_exclusive: Mapped[bool] = mapped_column(default=False)

    attempt: Mapped[int] = mapped_column(default=1)
    not_before: Mapped[datetime | None]  # when the next attempt of a `retrying` run is due
    send_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[UUID | None] = mapped_column(ForeignKey("workers.id"))
    cancel_mode: Mapped[CancelMode | None] = mapped_column(one_of(CancelMode, "cancel_mode"))
    cancelled_by: Mapped[str | None] = mapped_column(String(200))

    created_at: Mapped[datetime]
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    result: Mapped[Any] = mapped_column(Json, nullable=True)
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    exit_code: Mapped[int | None]
    progress: Mapped[dict[str, Any] | None] = mapped_column(Json)
    log_bytes: Mapped[int] = mapped_column(default=0)
    log_truncated: Mapped[bool] = mapped_column(default=False)
    # By retention, which deletes logs before runs.
    log_deleted: Mapped[bool] = mapped_column(default=False, server_default=false())
    retry_of: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))

    @hybrid_property
    def instant(self) -> datetime:
        """The instant of a run: its fire, or its creation if it was started by hand."""
        return self.scheduled_for or self.created_at

    @instant.inplace.expression
    @classmethod
    def _instant(cls) -> ColumnElement[datetime]:
        return func.coalesce(cls.scheduled_for, cls.created_at)

    @property
    def first_started_at(self) -> datetime | None:
        """When its first attempt started; `started_at` is of the last one. Loads no attempts."""
        starts = [attempt.started_at for attempt in self.attempts] + [self.started_at]
        return min((start for start in starts if start is not None), default=None)

    job: Mapped[Job | None] = relationship(lazy="raise")
    worker: Mapped["Worker | None"] = relationship(lazy="raise")
    attempts: Mapped[list["Attempt"]] = relationship(lazy="raise", order_by="Attempt.attempt")

    __table_args__ = (
        # Invariant 2: one row for each fire, however often it is recorded.
        UniqueConstraint("job_id", "scheduled_for", name="uq_runs_fire"),
        # Invariant 6: the database allows one active run of a job that may not overlap.
        partial_index(
            "uq_runs_active",
            "job_id",
            unique=True,
            where=f"is_exclusive AND state IN {tuple(map(str, ACTIVE))}",
        ),
        # The planner: has the job an active run that may overlap?
        partial_index(
            "ix_runs_beside",
            "job_id",
            where=f"NOT is_exclusive AND state IN {tuple(map(str, ACTIVE))}",
        ),
        # Each running run of a concurrency key has a slot of its own. `place_within_limit`
        # keeps the slots within the limit.
        partial_index(
            "uq_runs_slot",
            "concurrency_key",
            "concurrency_slot",
            unique=True,
            where="concurrency_key IS NOT NULL AND state = 'running'",
        ),
        # The run that is next for a free slot, those that were offered one, the longest waiting.
        partial_index(
            "ix_runs_kept_waiting", "concurrency_key", "queue", "priority", "id", where=KEPT_WAITING
        ),
        partial_index("ix_runs_called", "concurrency_key", "queue", where=UNPARKED),
        partial_index(
            "ix_runs_parked",
            "concurrency_key",
            "concurrency_limit",
            "queue",
            "priority",
            "id",
            where=PARKED,
        ),
        # The janitor: messages to send again, retries that are due, runs of a lost worker.
        partial_index("ix_runs_send_at", "send_at", where="send_at IS NOT NULL"),
        partial_index("ix_runs_not_before", "not_before", where="state = 'retrying'"),
        # With the state: the runs of a worker now, and whether any run names it.
        partial_index("ix_runs_worker", "worker_id", "state", where="worker_id IS NOT NULL"),
        # A finished run promotes the oldest waiting run of its job.
        partial_index("ix_runs_waiting", "job_id", "id", where="state = 'waiting'"),
        # Is any run waiting? SQLite takes the narrowest index: without this one it would read
        # all fires of the job.
        partial_index("ix_runs_awaited", "job_id", where="state = 'waiting'"),
        # GET /runs, newest instant first: all runs, or those in one state. Finished runs have
        # indexes of their own, which are written once and not at each earlier step. For one job,
        # `uq_runs_fire` has the scheduled runs in this order; the others are here.
        partial_index("ix_runs_instant", INSTANT, "id", where=IS_OVER),
        partial_index("ix_runs_state", "state", INSTANT, "id", where=IS_OVER),
        partial_index("ix_runs_unfinished", "state", INSTANT, "id", where=IS_UNFINISHED),
        partial_index("ix_runs_without_fire", "job_id", "created_at", "id", where=HAS_NO_FIRE),
        # One job in one state: GET /runs, its stats, and the runs that retention deletes.
        partial_index("ix_runs_outcome", "job_id", "state", INSTANT, "id", where=IS_OVER),
        # GET /runs?trigger=: runs that no schedule started are rare.
        partial_index("ix_runs_trigger", "trigger", INSTANT, "id", where=IS_UNSCHEDULED),
        partial_index(
            "ix_runs_job_trigger", "job_id", "trigger", INSTANT, "id", where=IS_UNSCHEDULED
        ),
        # GET /runs?by=: what a person or a token has started.
        partial_index(
            "ix_runs_triggered_by", "triggered_by", INSTANT, "id", where="triggered_by IS NOT NULL"
        ),
        # GET /runs?q=: the runs with text to search, all of them and of one job. (PostgreSQL
        # with pg_trgm also has ix_runs_words, on the text itself.)
        partial_index("ix_runs_said", INSTANT, "id", where=HAS_WORDS),
        partial_index("ix_runs_job_said", "job_id", INSTANT, "id", where=HAS_WORDS),
        # Explain a fire: the `missed` row that stands for it and others.
        partial_index("ix_runs_folded", "job_id", "scheduled_for", where=IS_FOLDED),
        # The foreign key when a run is deleted, and the runs that repeat it.
        partial_index("ix_runs_retry_of", "retry_of", where="retry_of IS NOT NULL"),
        CheckConstraint("attempt >= 1", name="attempt_counts_from_one"),
        CheckConstraint(
            "concurrency_slot >= 1 AND concurrency_slot <= concurrency_limit",
            name="place_within_limit",
        ),
    )


#: The columns of a run that `RunLimits.of` reads.
LIMIT_COLUMNS = tuple(getattr(Run, name) for name in RunLimits.__slots__)


class Attempt(Base):
    """A finished attempt of a run that got another attempt.

    The last attempt is in the run itself; it has a row here only for a late result.
    """

    __tablename__ = "run_attempts"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[RunState] = mapped_column(one_of(RunState, "state"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime]
    worker: Mapped[str | None] = mapped_column(String(255))
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    exit_code: Mapped[int | None]
    note: Mapped[dict[str, Any] | None] = mapped_column(Json)  # the late result of a fenced worker


#: When the first attempt of a run started, in SQL: `Run.started_at` is of the last one. Few runs
#: have another attempt, and only for those the attempts are read.
FIRST_STARTED_AT: ColumnElement[datetime | None] = case(
    (
        Run.attempt > 1,
        func.coalesce(
            select(func.min(Attempt.started_at))
            .where(Attempt.run_id == Run.id)
            .correlate(Run)
            .scalar_subquery(),
            Run.started_at,
        ),
    ),
    else_=Run.started_at,
)


class LogChunk(Base):
    """A piece of the output of an attempt; `seq` counts from 0 within the attempt.

    `lengths` is set if it has output of both streams: the characters of each part, with
    commas. The parts alternate between the streams, and `stream` is that of the first.
    """

    __tablename__ = "run_logs"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(String(8))
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)
    lengths: Mapped[str | None] = mapped_column(Text)

    def parts(self) -> list[tuple[str, str]]:
        """Return the output as (stream, text), in order."""
        if self.lengths is None:
            return [(self.stream, self.text)]
        other = "stderr" if self.stream == "stdout" else "stdout"
        parts, at = [], 0
        for number, length in enumerate(map(int, self.lengths.split(","))):
            parts.append((other if number % 2 else self.stream, self.text[at : at + length]))
            at += length
        return parts


class PrunedRuns(Base):
    """How many runs of a job retention has deleted, by outcome: no count ever falls.

    `latest_at` is the newest instant among them. Runs without a job have the job 0.
    """

    __tablename__ = "forgotten_runs"

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[RunState] = mapped_column(one_of(RunState, "state"), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    latest_at: Mapped[datetime]
