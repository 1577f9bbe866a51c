"""The facts from which `attention` is made: bounded statements, and parts of one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    case,
    cast,
    false,
    func,
    null,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Session

from jobs_app.core.states import FAILURES, JobState, NotificationState, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import FIRST_STARTED_AT, IS_UNFINISHED, PARKED, Run
from jobs_app.jobs.conditions import FAILURES_IN_A_ROW, LATE_FIRE, LATE_RUN, is_failing
from jobs_app.jobs.fact_rows import facts
from jobs_app.jobs.pause_end import SYSTEM
from jobs_app.jobs.stats import Spread, spread
from jobs_app.runs.last_line import log_end
from jobs_app.runs.recent import newest_ids
from jobs_app.secrets.references import OPENING

#: Missed fires are reported for this long.
MISSED_FOR = timedelta(days=1)

#: Rows that each statement reads at most.
MOST_JOBS = 1000
MOST_RUNS = 1000
MOST_MESSAGES = 500
MOST_RUNNING = 100

#: Runs of a job from which its usual duration is known.
PAST_RUNS = 20

_IS_RUNNING = text(f"runs.state = '{RunState.RUNNING}' AND runs.{IS_UNFINISHED}")
_IS_QUEUED = text(f"runs.state = '{RunState.QUEUED}' AND runs.{IS_UNFINISHED}")

#: The kinds of rows, and what a late run has that waits for a slot of its key.
_LATE, _MISSED, _MESSAGE, _PARKED = "late", "missed", "message", "parked"


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job that needs a person for some reason, or that refers to secrets (with `kwargs`)."""

    name: str
    task: str
    state: JobState
    failures: int
    is_failing: bool
    failing_since: datetime | None
    last_failure: UUID | None
    exit_code: int | None
    error: dict[str, Any] | None
    log_end: str | None
    paused_at: datetime | None
    paused_by: str | None
    paused_reason: str | None
    is_paused_long: bool
    next_due_at: datetime | None
    is_fire_late: bool
    kwargs: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Late or missed runs of a job in a queue; `run` is the newest of them."""

    is_missed: bool
    job: str | None
    queue: str
    count: int
    fires: int
    since: datetime
    run: UUID
    is_parked: bool


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """The newest message to a channel that was sent or given up."""

    channel: str
    has_failed: bool
    error: str | None
    at: datetime


@dataclass(slots=True)
class RunningFacts:
    """A running run, and how long the newest successful runs of its job took, over all attempts.

    `job` is None for a run without a job.
    """

    id: UUID
    job: str | None
    task: str
    started_at: datetime
    progress: dict[str, Any] | None
    past_seconds: list[float] = field(default_factory=list)

    def spread(self, *, fewest: int = 1) -> Spread | None:
        """Return how long runs of the job take; None if fewer than *fewest* are known."""
        return spread(self.past_seconds) if len(self.past_seconds) >= fewest else None


def jobs(session: Session, *, at: datetime, paused_before: datetime) -> list[JobFacts]:
    """Return the jobs that need a person for a reason of their own rows, by name."""
    fails = is_failing(session)
    has_secret = and_(
        Job.state != JobState.ENDED, cast(Job.kwargs, String).contains(OPENING, autoescape=True)
    )
    is_long = and_(Job.paused_at <= paused_before, Job.paused_until.is_(None))
    is_fire_late = func.coalesce(Job.next_due_at <= at - LATE_FIRE, false())
    failures = [
        index_range for state in FAILURES for index_range in run_indexes.of_job_in(Job.id, state)
    ]
    newest_failure = partial(run_indexes.newest_of, ranges=failures)
    of_failure = [
        *map(newest_failure, (Run.id, Run.exit_code, Run.error)),
        log_end(newest_failure(Run.id), newest_failure(Run.attempt)),
    ]
    last_failure = [case((FAILURES_IN_A_ROW > 0, value), else_=null()) for value in of_failure]
    statement = (
        select(
            Job.name,
            Job.task,
            Job.state,
            FAILURES_IN_A_ROW,
            fails,
            Job.failing_since,
            *last_failure,
            Job.paused_at,
            Job.paused_by,
            Job.paused_reason,
            func.coalesce(is_long, false()),
            Job.next_due_at,
            is_fire_late,
            case((has_secret, Job.kwargs), else_=null()),
        )
        .where(Job.deleted_at.is_(None))
        .where(or_(fails, has_secret, is_long, is_fire_late, Job.paused_by == SYSTEM))
        .order_by(Job.name)
    )
    return [JobFacts(*row) for row in session.execute(statement.limit(MOST_JOBS))]


def late_and_missed(*, at: datetime) -> Iterator[Select[Any]]:
    """Yield the parts of a union for runs that are queued for long, and those missed lately."""
    is_parked = case((text(PARKED), _PARKED), else_=null()).label("parked")
    late = (
        select(Run.job_id, Run.queue, Run.fires, Run.queued_at.label("since"), Run.id, is_parked)
        .where(_IS_QUEUED, Run.queued_at <= at - LATE_RUN, Run.job_id.is_not(None))
        .order_by(Run.instant, Run.id)
    )
    missed_range = run_indexes.in_state(RunState.MISSED)
    missed = (
        select(Run.job_id, Run.queue, Run.fires, Run.instant.label("since"), Run.id)
        .add_columns(cast(null(), String).label("parked"))
        .where(*missed_range.guard, Run.instant > at - MISSED_FOR, Run.job_id.is_not(None))
        .order_by(*missed_range.newest_first)
    )
    for kind, statement in ((_LATE, late), (_MISSED, missed)):
        some = statement.limit(MOST_RUNS).subquery()
        run = some.c
        part = facts(
            kind,
            name=Job.name,
            value=run.queue,
            count=run.fires,
            instant=run.since,
            actor=run.parked,
            id_=run.id,
        )
        # A fire that a job missed while it only watches would have run nothing.
        needs_nobody = Job.observe if kind == _MISSED else false()
        living = (Job.deleted_at.is_(None), ~needs_nobody)
        yield part.join_from(some, Job, Job.id == run.job_id).where(*living)


def run_facts(rows: Mapping[str, list[Any]]) -> list[RunFacts]:
    """Return the late and the missed runs among *rows*: one entry a job and queue, by name."""
    groups: dict[tuple[bool, str, str], list[Any]] = {}
    for kind in (_LATE, _MISSED):
        for row in rows.get(kind, ()):
            groups.setdefault((kind == _MISSED, row.name, row.value), []).append(row)
    return [
        RunFacts(
            is_missed,
            job,
            queue,
            count=len(group),
            fires=sum(row.count for row in group),
            since=min(row.instant for row in group),
            run=max(group, key=lambda row: (row.instant, row.id)).id,
            is_parked=all(row.actor == _PARKED for row in group),
        )
        for (is_missed, job, queue), group in sorted(groups.items())
    ]


def newest_messages() -> Select[Any]:
    """Return the part of a union for the newest messages of all channels."""
    newest = (
        select(
            Notification.id,
            Notification.channel,
            Notification.state,
            Notification.error,
            Notification.created_at,
        )
        .order_by(Notification.id.desc())
        .limit(MOST_MESSAGES)
        .subquery()
    )
    message = newest.c
    return facts(
        _MESSAGE,
        name=message.channel,
        value=message.error,
        instant=message.created_at,
        actor=message.state,
        id_=message.id,
    )


def message_facts(rows: Mapping[str, list[Any]]) -> list[MessageFacts]:
    """Return the newest message of each channel among *rows* that was sent or given up."""
    by_channel: dict[str, MessageFacts] = {}
    for row in sorted(rows.get(_MESSAGE, ()), key=lambda row: row.id, reverse=True):
        if row.actor in (NotificationState.SENT, NotificationState.FAILED):
            has_failed = row.actor == NotificationState.FAILED
            facts_of_it = MessageFacts(row.name, has_failed, row.value, row.instant)
            by_channel.setdefault(row.name, facts_of_it)
    return [by_channel[name] for name in sorted(by_channel)]


def running_with_past(session: Session, *conditions: ColumnElement[bool]) -> list[RunningFacts]:
    """Return running runs, the oldest first, with the durations of earlier ones of their jobs.

    At most MOST_RUNNING, of those that meet the *conditions*.
    """
    running = (
        select(Run.id, Run.job_id, Run.task, FIRST_STARTED_AT.label("started_at"), Run.progress)
        .where(_IS_RUNNING, Run.started_at.is_not(None), *conditions)
        .order_by(Run.instant, Run.id)
        .limit(MOST_RUNNING)
        .subquery()
    )
    succeeded = run_indexes.of_job_in(Job.id, RunState.SUCCEEDED)
    statement = (
        select(
            running.c.id,
            Job.name,
            running.c.task,
            running.c.started_at,
            running.c.progress,
            FIRST_STARTED_AT.label("past_start"),
            Run.finished_at.label("past_end"),
        )
        .select_from(running)
        .outerjoin(Job, Job.id == running.c.job_id)
        .outerjoin(Run, newest_ids(session, succeeded, limit=PAST_RUNS))
        .order_by(running.c.started_at, running.c.id)
    )
    runs: dict[UUID, RunningFacts] = {}
    for row in session.execute(statement):
        facts = runs.setdefault(row.id, RunningFacts(*row[:5]))
        if row.past_start is not None and row.past_end is not None:
            facts.past_seconds.append((row.past_end - row.past_start).total_seconds())
    return list(runs.values())
