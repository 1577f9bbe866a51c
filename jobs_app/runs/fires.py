"""Records due fires: one transaction inserts the runs and moves the jobs to their next fires.

The messages are sent after the commit, by the caller or by the janitor.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core.states import CatchupPolicy, RunState, Trigger
from jobs_app.db import bulk_sql
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.notifications import lateness, record
from jobs_app.notifications.lateness import CaughtUpFire
from jobs_app.notifications.record import MissedFires
from jobs_app.runs import job_groups, outbox, overlap
from jobs_app.runs.insert import PlannedRuns, insert_planned_runs
from jobs_app.runs.job_groups import Group, GroupPlan
from jobs_app.runs.messages import Message
from jobs_app.runs.planning import Plan, PlannedRun, Spans, plan
from jobs_app.schedules import union as schedules

log = logging.getLogger(__name__)


#: A job whose plan fails is tried again after this time, seconds.
ERROR_PAUSE_SECONDS = 60


@dataclass(slots=True)
class RecordedFires:
    """The result of a tick's transaction: messages to send, and when each job is due next.

    `due` has an entry for every job of the tick, None if it has no further fire. `promote`
    names jobs whose waiting run may start now. `rows` counts the new runs. `lags` has how late
    the tick was for jobs, in seconds, and for how many jobs.
    """

    messages: list[Message] = field(default_factory=list)
    due: dict[int, datetime | None] = field(default_factory=dict)
    promote: list[int] = field(default_factory=list)
    rows: int = 0
    lags: list[tuple[float, int]] = field(default_factory=list)


def record_due(session: Session, job_ids: Sequence[int], *, at: datetime) -> RecordedFires:
    """Record every fire of *job_ids* that is due at *at*, and commit.

    Jobs that another process has locked are left out of the answer. A job whose plan
    fails is put off by a minute, and its row keeps the error.
    """
    locked = select(Job.id).where(bulk_sql.in_values(session, Job.id, job_ids))
    held = session.scalars(locked.with_for_update(skip_locked=True)).all()
    recorded = RecordedFires()
    # An entry whose job has no row any more is a leftover.
    missing = set(job_ids).difference(held)
    if missing:
        living = select(Job.id).where(bulk_sql.in_values(session, Job.id, list(missing)))
        recorded.due |= dict.fromkeys(missing.difference(session.scalars(living)))
    # Read the jobs after the lock: whoever held it may have changed them and their runs.
    groups = job_groups.groups(session, held)
    for group in groups:
        recorded.due |= dict.fromkeys(group.job_ids, group.next_due_at)
        if group.next_due_at is not None and group.next_due_at <= at:
            recorded.lags.append(((at - group.next_due_at).total_seconds(), len(group.job_ids)))
    due = [group for group in groups if group.next_due_at is not None and group.next_due_at <= at]
    if due:
        _write(session, _plans(session, due, recorded, at=at), recorded, at=at)
    session.commit()
    if recorded.rows:
        log.info("fires_recorded jobs=%s rows=%s", len(recorded.due), recorded.rows)
    return recorded


def put_off_job(
    session: Session, job_id: int, error: str, *, at: datetime
) -> dict[int, datetime | None]:
    """Try a job again in a minute, because its data cannot be read or its fires not written.

    The row keeps the error. Return when the job is due, as in `RecordedFires`; commits.
    """
    until = at + timedelta(seconds=ERROR_PAUSE_SECONDS)
    statement = (
        update(Job).where(Job.id == job_id).values(scheduling_error=error, next_due_at=until)
    )
    session.execute(statement.execution_options(synchronize_session=False))
    session.commit()
    return {job_id: until}


# Built once: the scheduler asks every two seconds.
_OVERDUE = (
    select(Job.id)
    .where(Job.next_due_at <= bindparam("at"))
    .order_by(Job.next_due_at)
    .limit(bindparam("limit"))
)


def overdue_jobs(session: Session, *, at: datetime, limit: int) -> list[int]:
    """Return the jobs that the database knows to be due, the most overdue first."""
    return list(session.scalars(_OVERDUE, {"at": at, "limit": limit}))


def next_due_at(session: Session, *, after: datetime) -> datetime | None:
    """Return the first instant later than *after* at which a job is due; None if none is."""
    return session.scalar(select(func.min(Job.next_due_at)).where(Job.next_due_at > after))


def record_before_change(session: Session, job: Job, *, at: datetime) -> None:
    """Record the due fires of *job*, which is locked, before it is changed; does not commit.

    The change moves the next fire, so no tick would see these fires any more. Fires within
    their deadline run as usual. The others are missed, because a change starts no catch-up.
    The janitor sends the messages.
    """
    planned = plan_before_change(session, job, at=at)
    if planned is None:
        return
    recorded = RecordedFires()
    _write(session, [planned], recorded, at=at)
    _leave_to_janitor(session, recorded, at=at)
    session.refresh(job)


def plan_before_change(session: Session, job: Job, *, at: datetime) -> GroupPlan | None:
    """Return the plan that `record_before_change` carries out; None if it records nothing.

    No fire is due then, or the plan fails.
    """
    try:
        if not _is_due(job, at=at):
            return None
        [group] = job_groups.groups(session, [job.id])
        facts = group.plan_input(scheduler_spans=_scheduler_spans(session))
        return GroupPlan.of(group, plan(replace(facts, catches_up=False), at=at))
    except SQLAlchemyError:
        raise
    except Exception:
        # A row of another version, or a broken time zone, may fail in any way. The change
        # goes on, because it may be the one that repairs the job.
        log.exception("schedule_failed jobs=%s", [job.id])
        return None


def new_rows(session: Session, planned: GroupPlan) -> list[PlannedRun]:
    """Return the rows of *planned*, for one job, whose fires are not on record yet."""
    (job_id,) = planned.group.job_ids
    rows = {row.scheduled_for: row for row in planned.plan.runs}
    is_planned = (Run.job_id == job_id, Run.scheduled_for.in_(list(rows)))
    recorded = set(session.scalars(select(Run.scheduled_for).where(*is_planned)))
    return [row for fire, row in rows.items() if fire not in recorded]


def catch_up(
    session: Session, job: Job, policy: CatchupPolicy, *, since: datetime, at: datetime
) -> None:
    """Record the fires of a pause that *policy* wants to run; does not commit.

    The other fires of the pause are not recorded, because a paused job owes none. The
    janitor sends the messages.
    """
    planned = plan_catch_up(session, job, policy, since=since, at=at)
    recorded = RecordedFires()
    _insert(session, [planned], recorded, at=at)
    _leave_to_janitor(session, recorded, at=at)
    job.runs_started += recorded.rows


def plan_catch_up(
    session: Session, job: Job, policy: CatchupPolicy, *, since: datetime, at: datetime
) -> GroupPlan:
    """Return the plan that `catch_up` carries out."""
    [group] = job_groups.groups(session, [job.id])
    has_schedule = schedule_of(job) is not None
    first = schedules.next_fire(group.schedule(), after=since) if has_schedule else None
    if first is None or first > at:
        return GroupPlan(group, Plan((), first), None)
    facts = group.plan_input(scheduler_spans=None)
    # No fire of a pause counts as on time.
    late = replace(facts.policy, starting_deadline_seconds=-1, catchup_policy=policy)
    planned = plan(replace(facts, next_fire_at=first, policy=late), at=at)
    starts = tuple(row for row in planned.runs if row.is_start)
    # A catch-up waits for the runs of the pause; it stops none.
    return GroupPlan(group, Plan(starts, planned.next_fire_at), None)


def _plans(
    session: Session, due: Sequence[Group], recorded: RecordedFires, *, at: datetime
) -> list[GroupPlan]:
    """Plan each group; a group whose plan fails is put off, so that it does not stop the others."""
    is_late = any(group.is_late(at=at) for group in due)
    scheduler_spans = _scheduler_spans(session) if is_late else None
    plans = []
    for group in due:
        try:
            planned = plan(group.plan_input(scheduler_spans=scheduler_spans), at=at)
            plans.append(GroupPlan.of(group, planned))
        except Exception as error:
            log.exception("schedule_failed jobs=%s", group.job_ids)
            again_at = at + timedelta(seconds=ERROR_PAUSE_SECONDS)
            job_groups.put_off(session, group, f"{type(error).__name__}: {error}", until=again_at)
            recorded.due |= dict.fromkeys(group.job_ids, again_at)
    return plans


def _write(
    session: Session, plans: Sequence[GroupPlan], recorded: RecordedFires, *, at: datetime
) -> None:
    """Carry out *plans*: make room for the new runs, insert them, and move the jobs on."""
    for planned in plans:
        cancel, drop_waiting = planned.plan.cancel, planned.plan.drop_waiting
        if cancel is not None or drop_waiting:
            for job_id in planned.group.job_ids:
                overlap.make_room(session, job_id, cancel, drop_waiting=drop_waiting, at=at)
            recorded.promote += planned.group.job_ids
    new_runs = _insert(session, plans, recorded, at=at)
    lateness.notify_caught_up(session, _caught_up(new_runs), at=at)
    job_groups.advance(session, plans)
    for planned in plans:
        recorded.due |= dict.fromkeys(planned.group.job_ids, planned.next_due_at)


def _insert(
    session: Session, plans: Sequence[GroupPlan], recorded: RecordedFires, *, at: datetime
) -> Sequence[PlannedRuns]:
    """Insert the runs of *plans*, notify of missed fires, and collect the messages to send."""
    groups = [planned.group for planned in plans for _ in planned.plan.runs]
    planned_runs = [
        PlannedRuns.of(row, planned.group.job_ids) for planned in plans for row in planned.plan.runs
    ]
    new_runs = insert_planned_runs(session, planned_runs, at=at)
    missed = [
        MissedFires(job_id, run_id, runs.row.scheduled_for, runs.row.reason, runs.row.fires)
        for runs in new_runs
        if runs.row.state is RunState.MISSED
        for job_id, run_id in zip(runs.job_ids, runs.run_ids, strict=True)
    ]
    record.notify_missed(session, missed, at=at)
    for group, runs in zip(groups, new_runs, strict=True):
        recorded.rows += len(runs.run_ids)
        if runs.row.state is RunState.QUEUED:
            recorded.messages += group.messages(runs.run_ids)
    return new_runs


def _caught_up(new_runs: Iterable[PlannedRuns]) -> list[CaughtUpFire]:
    """Return the runs of fires that were too late to count as on time."""
    return [
        CaughtUpFire(job_id, run_id, runs.row.scheduled_for)
        for runs in new_runs
        if runs.row.trigger is Trigger.CATCHUP and runs.row.is_start
        for job_id, run_id in zip(runs.job_ids, runs.run_ids, strict=True)
    ]


def _leave_to_janitor(session: Session, recorded: RecordedFires, *, at: datetime) -> None:
    """Have the janitor send the messages as soon as the caller has committed."""
    outbox.mark_unsent(session, [message.run_id for message in recorded.messages], at=at)


def _is_due(job: Job, *, at: datetime) -> bool:
    """Tell whether the next fire of *job* is due, even if its plan failed and was put off."""
    schedule = schedule_of(job)
    if schedule is None or job.next_fire_at is None:
        return False
    due_at = job.next_due_at
    if job.scheduling_error is not None:
        due_at = schedules.due_at(schedule, job.next_fire_at)
    return due_at is not None and due_at <= at


def _scheduler_spans(session: Session) -> Spans:
    """Return the first and the last sign of life of each scheduler."""
    rows = session.execute(select(SchedulerProcess.started_at, SchedulerProcess.ticked_at))
    return tuple((row.started_at, row.ticked_at) for row in rows)
