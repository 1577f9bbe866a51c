"""The table of jobs."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, ColumnElement, Integer, String, Text, false, func, or_
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy
from jobs_app.db.columns import Base, Json, one_of, partial_index
from jobs_app.schedules import schedule_json
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import AnySchedule, Schedules, parts_of


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
    #: The arguments that may be set by somebody who may only start the job; None: none.
    run_arguments: Mapped[list[str] | None] = mapped_column(Json)
    #: The pages start it by hand only for somebody who types its name.
    confirm: Mapped[bool] = mapped_column(default=False, server_default=false())

    #: Where an import took it from: a second import finds its jobs by this.
    origin: Mapped[str | None] = mapped_column(String(200))

    cron: Mapped[str | None] = mapped_column(String(256))
    interval_seconds: Mapped[int | None]
    every: Mapped[str | None] = mapped_column(String(16))
    anchor_at: Mapped[datetime | None]
    at: Mapped[datetime | None]
    on: Mapped[Literal["start"] | None] = mapped_column("fires_on", String(16))
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    start_at: Mapped[datetime | None]
    end_at: Mapped[datetime | None]
    jitter_seconds: Mapped[int] = mapped_column(default=0)
    #: The schedules after the first one, by `schedule_json.text_of`: text, because jobs are
    #: grouped by it.
    more_schedules: Mapped[str | None] = mapped_column(Text)
    #: Its fires are recorded as `observed`, and nothing runs; and since when it is so.
    observe: Mapped[bool] = mapped_column(default=False, server_default=false())
    observing_since: Mapped[datetime | None]

    overlap_policy: Mapped[OverlapPolicy] = mapped_column(
        one_of(OverlapPolicy, "overlap_policy"), default=OverlapPolicy.SKIP
    )
    starting_deadline_seconds: Mapped[int] = mapped_column(default=60)
    catchup_policy: Mapped[CatchupPolicy] = mapped_column(
        one_of(CatchupPolicy, "catchup_policy"), default=CatchupPolicy.LAST
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

    state: Mapped[JobState] = mapped_column(one_of(JobState, "state"), default=JobState.ACTIVE)
    paused_at: Mapped[datetime | None]
    paused_by: Mapped[str | None] = mapped_column(String(200))
    paused_reason: Mapped[str | None] = mapped_column(Text)
    paused_until: Mapped[datetime | None]  # when the janitor resumes the job; None: never
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
    subscribed_events: Mapped[int] = mapped_column("hears", default=0, server_default="0")
    late_after_seconds: Mapped[int | None]
    scheduling_error: Mapped[str | None] = mapped_column(Text)

    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        # A name is taken only while its job lives; the history keeps the old one.
        partial_index("uq_jobs_living_name", "name", unique=True, where="deleted_at IS NULL"),
        # The scheduler's own look at what is due, when Redis cannot say.
        partial_index("ix_jobs_due", "next_due_at", where="next_due_at IS NOT NULL"),
        # The janitor: pauses that end.
        partial_index("ix_jobs_paused_until", "paused_until", where="paused_until IS NOT NULL"),
        # Which jobs share a concurrency key.
        partial_index("ix_jobs_key", "concurrency_key", where="concurrency_key IS NOT NULL"),
        # The sender: does anybody want to hear of runs that are late?
        partial_index(
            "ix_jobs_late_after", "late_after_seconds", where="late_after_seconds IS NOT NULL"
        ),
        CheckConstraint(
            "(CASE WHEN cron IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN interval_seconds IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN at IS NULL THEN 0 ELSE 1 END) <= 1",
            name="one_schedule",
        ),
        CheckConstraint(
            "every IS NULL OR (anchor_at IS NOT NULL"
            " AND cron IS NULL AND interval_seconds IS NULL AND at IS NULL)",
            name="every_alone",
        ),
        CheckConstraint(
            "fires_on IS NULL OR (fires_on = 'start' AND cron IS NULL"
            " AND interval_seconds IS NULL AND every IS NULL AND at IS NULL)",
            name="on_start_alone",
        ),
        CheckConstraint(
            "more_schedules IS NULL OR cron IS NOT NULL OR interval_seconds IS NOT NULL"
            " OR every IS NOT NULL OR at IS NOT NULL OR fires_on IS NOT NULL",
            name="first_schedule_first",
        ),
        CheckConstraint("interval_seconds > 0", name="interval_positive"),
        CheckConstraint("observe = (observing_since IS NOT NULL)", name="observes_since"),
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


class JobRevision(Base):
    """A definition that a job has had; `number` is the job's version after the change.

    Secrets are references or masked. `by` is None for a state that was on no record before.
    No foreign key: a process of an older version, which purges a job, knows no revisions.
    """

    __tablename__ = "job_revisions"

    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    definition: Mapped[dict[str, Any]] = mapped_column(Json)
    #: The names of the fields that the change has changed.
    changed: Mapped[list[str]] = mapped_column(Json)
    by: Mapped[str | None] = mapped_column(String(200))
    via: Mapped[str | None] = mapped_column(String(8))
    at: Mapped[datetime]
    note: Mapped[str | None] = mapped_column(Text)


#: The columns of a job that hold its first schedule; the seed is its name.
_FIRST_SCHEDULE = schedule_json.FIELDS

#: Those of which one is set, unless the job is started by hand only.
_KINDS = ("cron", "interval_seconds", "every", "at", "on")

#: The columns of a job that hold its schedules.
SCHEDULE_COLUMNS = (*_FIRST_SCHEDULE, "more_schedules")


def schedule_of(job: Job) -> AnySchedule | None:
    """Return a job's schedule; None for one that is started by hand only."""
    if all(getattr(job, kind) is None for kind in _KINDS):
        return None
    return schedule_in(job, seed=job.name)


def schedule_in(row: Any, *, seed: str) -> AnySchedule:
    """Return the schedule in the SCHEDULE_COLUMNS of *row*, which hold one."""
    first = Schedule(**{name: getattr(row, name) for name in _FIRST_SCHEDULE}, seed=seed)
    if row.more_schedules is None:
        return first
    return Schedules((first, *schedule_json.schedules_in(row.more_schedules, seed)))


def has_start() -> ColumnElement[bool]:
    """Return the condition that a job fires when jobs-app starts."""
    # Never null: a null would be neither true nor false.
    more = func.coalesce(Job.more_schedules, "")
    return or_(Job.on.is_not(None), more.contains(schedule_json.ON_START))


def schedule_columns(schedule: AnySchedule | None) -> dict[str, Any]:
    """Return the SCHEDULE_COLUMNS of a job with *schedule*."""
    parts = parts_of(schedule)
    first = parts[0] if parts else Schedule()
    columns = {name: getattr(first, name) for name in _FIRST_SCHEDULE}
    return columns | {"more_schedules": schedule_json.text_of(parts[1:])}
