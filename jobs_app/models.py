"""The tables; each constraint and index names the rule or query it serves."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Enum,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship
from uuid_utils.compat import uuid7

from jobs_app.core.states import (
    ACTIVE,
    CancelMode,
    CatchupPolicy,
    JobState,
    NotificationState,
    OverlapPolicy,
    RunState,
    Trigger,
)
from jobs_app.db import Base, Json
from jobs_app.occasions import Event

#: A queued run that has found no place of its concurrency key; its `reason` says so.
KEPT_WAITING = "concurrency_key IS NOT NULL AND state = 'queued' AND reason IS NOT NULL"
#: One that has no message any more, and one that was called to a place, which has.
PARKED = f"{KEPT_WAITING} AND send_at IS NULL"
CALLED = f"{KEPT_WAITING} AND send_at IS NOT NULL"


def _one_of(enum: type[StrEnum], name: str) -> Enum:
    """Return a text column's type that holds only the values of *enum*."""
    return Enum(
        enum,
        name=name,
        native_enum=False,
        length=16,
        create_constraint=True,
        values_callable=lambda members: [member.value for member in members],
    )


def new_run_id() -> UUID:
    """Return a fresh UUIDv7: ids sort by the time they were made."""
    return uuid7()


def first_id_at(instant: datetime) -> UUID:
    """Return the lowest id that a run made at *instant* may have."""
    milliseconds = int(instant.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62)


class Job(Base):
    """What to do, when, and under which policies.

    Invariant 2 rests on `next_fire_at`: the instant that the next scheduled run
    gets as its `scheduled_for`. `next_due_at` is that plus the fire's jitter.
    """

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[list[str]] = mapped_column(Json, default=list)

    task: Mapped[str] = mapped_column(String(255))
    kwargs: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    cron: Mapped[str | None] = mapped_column(String(256))
    interval_seconds: Mapped[int | None]
    anchor_at: Mapped[datetime | None]
    at: Mapped[datetime | None]
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    start_at: Mapped[datetime | None]
    end_at: Mapped[datetime | None]
    jitter_seconds: Mapped[int] = mapped_column(default=0)

    overlap_policy: Mapped[OverlapPolicy] = mapped_column(
        _one_of(OverlapPolicy, "overlap_policy"), default=OverlapPolicy.SKIP
    )
    starting_deadline_seconds: Mapped[int] = mapped_column(default=60)
    catchup_policy: Mapped[CatchupPolicy] = mapped_column(
        _one_of(CatchupPolicy, "catchup_policy"), default=CatchupPolicy.LAST
    )
    catchup_window_seconds: Mapped[int] = mapped_column(default=86_400)
    catchup_max_runs: Mapped[int] = mapped_column(default=50)
    retry: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    soft_time_limit_seconds: Mapped[int | None]
    time_limit_seconds: Mapped[int | None]
    kill_grace_seconds: Mapped[int] = mapped_column(default=10)
    queue: Mapped[str] = mapped_column(String(100), default="default")
    priority: Mapped[int] = mapped_column(default=5)
    concurrency_key: Mapped[str | None] = mapped_column(String(100))
    concurrency_limit: Mapped[int | None]
    max_runs: Mapped[int | None]
    pause_after_failures: Mapped[int | None]
    retention: Mapped[dict[str, Any] | None] = mapped_column(Json)
    notify: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)

    state: Mapped[JobState] = mapped_column(_one_of(JobState, "state"), default=JobState.ACTIVE)
    paused_at: Mapped[datetime | None]
    paused_by: Mapped[str | None] = mapped_column(String(200))
    paused_reason: Mapped[str | None] = mapped_column(Text)
    next_fire_at: Mapped[datetime | None]
    next_due_at: Mapped[datetime | None]
    runs_started: Mapped[int] = mapped_column(default=0)  # counted against max_runs
    failures_in_a_row: Mapped[int] = mapped_column(default=0)
    # Those from before a resume, which `pause_after_failures` does not count; and how many there
    # were before the last success; and when the first of the present or last ones ended.
    failures_carried: Mapped[int] = mapped_column(default=0, server_default="0")
    failures_before: Mapped[int] = mapped_column(default=0, server_default="0")
    failing_since: Mapped[datetime | None]
    # Which events some channel wants, by `Event.bit`, and after how long it is told of a run
    # that did not start: worked out when job or channel change, so that a run need not ask.
    hears: Mapped[int] = mapped_column(default=0, server_default="0")
    late_after_seconds: Mapped[int | None]
    scheduling_error: Mapped[str | None] = mapped_column(Text)

    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        # A name is taken only while its job lives; the history keeps the old one.
        Index(
            "uq_jobs_living_name",
            "name",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
            sqlite_where=text("deleted_at IS NULL"),
        ),
        # The scheduler's own look at what is due, when Redis cannot say.
        Index(
            "ix_jobs_due",
            "next_due_at",
            postgresql_where=text("next_due_at IS NOT NULL"),
            sqlite_where=text("next_due_at IS NOT NULL"),
        ),
        # Which jobs share a concurrency key.
        Index(
            "ix_jobs_key",
            "concurrency_key",
            postgresql_where=text("concurrency_key IS NOT NULL"),
            sqlite_where=text("concurrency_key IS NOT NULL"),
        ),
        # The sender: does anybody want to hear of runs that are late?
        Index(
            "ix_jobs_late_after",
            "late_after_seconds",
            postgresql_where=text("late_after_seconds IS NOT NULL"),
            sqlite_where=text("late_after_seconds IS NOT NULL"),
        ),
        CheckConstraint(
            "(CASE WHEN cron IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN interval_seconds IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN at IS NULL THEN 0 ELSE 1 END) <= 1",
            name="one_schedule",
        ),
        CheckConstraint("interval_seconds > 0", name="interval_positive"),
        # A paused, ended or deleted job can never be due.
        CheckConstraint(
            "next_fire_at IS NULL OR (state = 'active' AND deleted_at IS NULL)",
            name="fires_only_while_active",
        ),
        CheckConstraint("(next_fire_at IS NULL) = (next_due_at IS NULL)", name="due_with_fire"),
        CheckConstraint(
            "CASE WHEN concurrency_key IS NULL THEN concurrency_limit IS NULL"
            " ELSE COALESCE(concurrency_limit, 0) >= 1 END",
            name="key_with_limit",
        ),
        # An id names one job for ever, also after a purge: Redis and the audit hold ids.
        {"sqlite_autoincrement": True},
    )


# `Run.instant`, as the indexes have it.
INSTANT = text("coalesce(scheduled_for, created_at)")

# Conditions of partial indexes; a query repeats them word for word, or SQLite does not
# know the index to fit.
# Not by `state`: PostgreSQL would look for the run of a claim among all that are queued, and
# SQLite builds a list of states anew for each row that it writes.
IS_OVER = "finished_at IS NOT NULL"
IS_UNFINISHED = "finished_at IS NULL"
# Not "IS NULL": SQLite would rather read all of these by `uq_runs_fire`, and sort them.
HAS_NO_FIRE = "NOT (scheduled_for IS NOT NULL)"
IS_UNSCHEDULED = "trigger <> 'schedule'"
IS_FOLDED = "fires > 1"
HAS_WORDS = "note IS NOT NULL OR error IS NOT NULL"


class Run(Base):
    """The record of one fire or one manual start; while `queued`, also its outbox.

    `send_at` is when the janitor sends its message (again); the run's own copy of
    task, kwargs and limits is what will be run, whatever happens to the job.
    """

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))
    scheduled_for: Mapped[datetime | None]
    state: Mapped[RunState] = mapped_column(_one_of(RunState, "state"))
    reason: Mapped[str | None] = mapped_column(Text)
    trigger: Mapped[Trigger] = mapped_column(_one_of(Trigger, "trigger"))
    triggered_by: Mapped[str | None] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(Text)
    fires: Mapped[int] = mapped_column(default=1)  # of a `missed` row that stands for several

    task: Mapped[str] = mapped_column(String(255))
    kwargs: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    queue: Mapped[str] = mapped_column(String(100))
    priority: Mapped[int] = mapped_column(default=5)
    concurrency_key: Mapped[str | None] = mapped_column(String(100))
    concurrency_limit: Mapped[int | None]
    concurrency_slot: Mapped[int | None]  # which of the places, from 1 on, it had when it ran last
    soft_time_limit_seconds: Mapped[int | None]
    time_limit_seconds: Mapped[int | None]
    kill_grace_seconds: Mapped[int] = mapped_column(default=10)
    retry: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    max_attempts: Mapped[int] = mapped_column(default=1)
    is_exclusive: Mapped[bool] = mapped_column(default=False)

    attempt: Mapped[int] = mapped_column(default=1)
    not_before: Mapped[datetime | None]  # of a `retrying` run: when the next attempt is due
    send_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[UUID | None] = mapped_column(ForeignKey("workers.id"))
    cancel_mode: Mapped[CancelMode | None] = mapped_column(_one_of(CancelMode, "cancel_mode"))
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
    # By retention, before the run itself goes.
    log_deleted: Mapped[bool] = mapped_column(default=False, server_default=false())
    retry_of: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))

    @hybrid_property
    def instant(self) -> datetime:
        """The instant that a run is about: its fire, or when it was started by hand."""
        return self.scheduled_for or self.created_at

    @instant.inplace.expression
    @classmethod
    def _instant(cls) -> ColumnElement[datetime]:
        return func.coalesce(cls.scheduled_for, cls.created_at)

    job: Mapped[Job | None] = relationship(lazy="raise")
    worker: Mapped["Worker | None"] = relationship(lazy="raise")
    attempts: Mapped[list["Attempt"]] = relationship(lazy="raise", order_by="Attempt.attempt")

    __table_args__ = (
        # Invariant 2: one row a fire, whoever records it and however often.
        UniqueConstraint("job_id", "scheduled_for", name="uq_runs_fire"),
        # Invariant 6: a job that may not overlap has one unfinished run, by the database.
        Index(
            "uq_runs_active",
            "job_id",
            unique=True,
            postgresql_where=text(f"is_exclusive AND state IN {tuple(map(str, ACTIVE))}"),
            sqlite_where=text(f"is_exclusive AND state IN {tuple(map(str, ACTIVE))}"),
        ),
        # The planner: has the job an active run beside those that hold its place?
        Index(
            "ix_runs_beside",
            "job_id",
            postgresql_where=text(f"NOT is_exclusive AND state IN {tuple(map(str, ACTIVE))}"),
            sqlite_where=text(f"NOT is_exclusive AND state IN {tuple(map(str, ACTIVE))}"),
        ),
        # Of the runs with one concurrency key each running one has a place of its own, by the
        # database, as `place_within_limit` has no more than the limit.
        Index(
            "uq_runs_slot",
            "concurrency_key",
            "concurrency_slot",
            unique=True,
            postgresql_where=text("concurrency_key IS NOT NULL AND state = 'running'"),
            sqlite_where=text("concurrency_key IS NOT NULL AND state = 'running'"),
        ),
        # Who is next for a place that gets free, who was called to one, who has waited longer.
        Index(
            "ix_runs_kept_waiting",
            "concurrency_key",
            "queue",
            "priority",
            "id",
            postgresql_where=text(KEPT_WAITING),
            sqlite_where=text(KEPT_WAITING),
        ),
        Index(
            "ix_runs_called",
            "concurrency_key",
            "queue",
            postgresql_where=text(CALLED),
            sqlite_where=text(CALLED),
        ),
        Index(
            "ix_runs_parked",
            "concurrency_key",
            "concurrency_limit",
            "queue",
            "priority",
            "id",
            postgresql_where=text(PARKED),
            sqlite_where=text(PARKED),
        ),
        # The janitor: what to send again, which retries are due, whose worker is gone.
        Index(
            "ix_runs_send_at",
            "send_at",
            postgresql_where=text("send_at IS NOT NULL"),
            sqlite_where=text("send_at IS NOT NULL"),
        ),
        Index(
            "ix_runs_not_before",
            "not_before",
            postgresql_where=text("state = 'retrying'"),
            sqlite_where=text("state = 'retrying'"),
        ),
        # The state too: what a worker runs now, and whether a run names it at all.
        Index(
            "ix_runs_worker",
            "worker_id",
            "state",
            postgresql_where=text("worker_id IS NOT NULL"),
            sqlite_where=text("worker_id IS NOT NULL"),
        ),
        # A finished run promotes the oldest one that waits behind it.
        Index(
            "ix_runs_waiting",
            "job_id",
            "id",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
        # Does one wait at all? SQLite takes the narrowest index: without this one it would rather
        # read all fires of the job.
        Index(
            "ix_runs_awaited",
            "job_id",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
        # GET /runs, newest instant first: all of them, those in one state. What is over has
        # indexes of its own, which are written once and not at each step before. Of one job
        # `uq_runs_fire` has what a schedule started in this order; the rest is here.
        Index(
            "ix_runs_instant",
            INSTANT,
            "id",
            postgresql_where=text(IS_OVER),
            sqlite_where=text(IS_OVER),
        ),
        Index(
            "ix_runs_state",
            "state",
            INSTANT,
            "id",
            postgresql_where=text(IS_OVER),
            sqlite_where=text(IS_OVER),
        ),
        Index(
            "ix_runs_unfinished",
            "state",
            INSTANT,
            "id",
            postgresql_where=text(IS_UNFINISHED),
            sqlite_where=text(IS_UNFINISHED),
        ),
        Index(
            "ix_runs_without_fire",
            "job_id",
            "created_at",
            "id",
            postgresql_where=text(HAS_NO_FIRE),
            sqlite_where=text(HAS_NO_FIRE),
        ),
        # Of one job in one state: GET /runs, its stats, and what retention deletes.
        Index(
            "ix_runs_outcome",
            "job_id",
            "state",
            INSTANT,
            "id",
            postgresql_where=text(IS_OVER),
            sqlite_where=text(IS_OVER),
        ),
        # GET /runs?trigger=: what no schedule started is rare among what schedules did.
        Index(
            "ix_runs_trigger",
            "trigger",
            INSTANT,
            "id",
            postgresql_where=text(IS_UNSCHEDULED),
            sqlite_where=text(IS_UNSCHEDULED),
        ),
        Index(
            "ix_runs_job_trigger",
            "job_id",
            "trigger",
            INSTANT,
            "id",
            postgresql_where=text(IS_UNSCHEDULED),
            sqlite_where=text(IS_UNSCHEDULED),
        ),
        # GET /runs?q=: the runs that have a word to be found, all of them and of one job. (On
        # PostgreSQL with pg_trgm there is also ix_runs_words, on the words themselves.)
        Index(
            "ix_runs_said",
            INSTANT,
            "id",
            postgresql_where=text(HAS_WORDS),
            sqlite_where=text(HAS_WORDS),
        ),
        Index(
            "ix_runs_job_said",
            "job_id",
            INSTANT,
            "id",
            postgresql_where=text(HAS_WORDS),
            sqlite_where=text(HAS_WORDS),
        ),
        # "What became of this fire?": the row that it was folded into.
        Index(
            "ix_runs_folded",
            "job_id",
            "scheduled_for",
            postgresql_where=text(IS_FOLDED),
            sqlite_where=text(IS_FOLDED),
        ),
        # The foreign key, when a run is deleted; and which runs repeat it.
        Index(
            "ix_runs_retry_of",
            "retry_of",
            postgresql_where=text("retry_of IS NOT NULL"),
            sqlite_where=text("retry_of IS NOT NULL"),
        ),
        CheckConstraint("attempt >= 1", name="attempt_counts_from_one"),
        CheckConstraint(
            "concurrency_slot >= 1 AND concurrency_slot <= concurrency_limit",
            name="place_within_limit",
        ),
    )


class Attempt(Base):
    """An attempt that is over while its run went on.

    The last one is the run itself; it has a row here only to keep a late result on.
    """

    __tablename__ = "run_attempts"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[RunState] = mapped_column(_one_of(RunState, "state"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime]
    worker: Mapped[str | None] = mapped_column(String(255))
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    exit_code: Mapped[int | None]
    note: Mapped[dict[str, Any] | None] = mapped_column(Json)  # what a fenced worker brought late


class LogChunk(Base):
    """A piece of what an attempt wrote; `seq` counts from 0 within the attempt."""

    __tablename__ = "run_logs"

    run_id: Mapped[UUID] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(String(8))
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Forgotten(Base):
    """How many runs of a job retention has deleted, by outcome: no count ever falls.

    `latest_at` is the newest instant among them. Runs without a job have the job 0.
    """

    __tablename__ = "forgotten_runs"

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[RunState] = mapped_column(_one_of(RunState, "state"), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    latest_at: Mapped[datetime]


class Worker(Base):
    """One worker process; a frozen one that was given up comes back under a new id.

    Whether it lives is told by `beats` growing, watched on the watcher's own
    monotonic clock: no wall clock of any machine takes part (invariant 7).
    """

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    name: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    queues: Mapped[list[str]] = mapped_column(Json, default=list)
    concurrency: Mapped[int] = mapped_column(default=1)
    pool: Mapped[str] = mapped_column(String(16), default="prefork")
    beats: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # for people; nothing is decided by it
    gone_at: Mapped[datetime | None]
    messages_dropped: Mapped[int] = mapped_column(default=0)

    __table_args__ = (
        # The janitor watches the living.
        Index(
            "ix_workers_living",
            "id",
            postgresql_where=text("gone_at IS NULL"),
            sqlite_where=text("gone_at IS NULL"),
        ),
    )


class SchedulerProcess(Base):
    """One scheduler process and its last tick, for readyz and for people."""

    __tablename__ = "schedulers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    name: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    is_active: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    ticked_at: Mapped[datetime]


class Installation(Base):
    """The one row that says which database this is: made by a migration, never changed.

    A copy of the database has the same, so that one that is restored goes on as itself.
    """

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("number = 1", name="only_one"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[UUID]


class Token(Base):
    """An API token; only its SHA-256 is kept."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Secret(Base):
    """A value that jobs refer to by name; it is sealed with the installation's key."""

    __tablename__ = "secrets"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    sealed: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str] = mapped_column(String(200))
    last_used_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """The first answer to a POST that carried an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    body: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime] = mapped_column(index=True)  # old ones are swept


class AuditEvent(Base):
    """Who did what to a job or a run, and what it was before and after."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(50))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    __table_args__ = (
        # "Why did it not run then?": what happened to this job, in order.
        Index("ix_audit_events_job", "job_id", "id"),
        {"sqlite_autoincrement": True},
    )


class NotificationChannel(Base):
    """Where notifications go; the address, with its secrets, is there only encrypted."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(40))  # "webhook", or the scheme of apprise's URL
    sealed: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(Json, default=list)
    is_default: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # An id names one channel for ever: notifications outlive theirs.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Notification(Base):
    """What one channel is told of one event; while `pending`, also its outbox.

    `due_at` is when it is sent (again). No foreign keys: the end of a run must be written
    whatever becomes of a channel just then.
    """

    __tablename__ = "notifications"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    channel_id: Mapped[int]
    channel: Mapped[str] = mapped_column(String(100))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    event: Mapped[Event] = mapped_column(_one_of(Event, "event"))
    count: Mapped[int] = mapped_column(default=1)  # how many fires a `missed` one stands for
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    alike: Mapped[str] = mapped_column(String(32))  # the same for those that one message tells
    state: Mapped[NotificationState] = mapped_column(
        _one_of(NotificationState, "state"), default=NotificationState.PENDING
    )
    told_by: Mapped[UUID | None]  # of a `grouped` one: the notification whose message tells of it
    tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        # The sender: what is due.
        Index(
            "ix_notifications_due",
            "due_at",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        # The sender: others like this one, and when the last of them was sent.
        Index("ix_notifications_alike", "channel_id", "alike"),
        # The sender: how many a channel got within the last minute.
        Index(
            "ix_notifications_sent",
            "channel_id",
            "sent_at",
            postgresql_where=text("sent_at IS NOT NULL"),
            sqlite_where=text("sent_at IS NOT NULL"),
        ),
        # The text of a message: what else it tells of.
        Index(
            "ix_notifications_told_by",
            "told_by",
            postgresql_where=text("told_by IS NOT NULL"),
            sqlite_where=text("told_by IS NOT NULL"),
        ),
        # GET /notifications of a job; GET /runs/{id}.
        Index("ix_notifications_job", "job_id", "id"),
        Index("ix_notifications_run", "run_id"),
        # A run is late once, whoever notices and however often.
        Index(
            "uq_notifications_late",
            "run_id",
            "channel_id",
            unique=True,
            postgresql_where=text("event = 'late'"),
            sqlite_where=text("event = 'late'"),
        ),
    )
