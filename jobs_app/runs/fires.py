"""Records due fires: one transaction turns overdue schedules into rows and moves them on.

This is step 2 of the protocol. The run's row and the job's advance to its next fire
commit together; the message is sent afterwards, by the caller, or by the janitor.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core.states import CatchupPolicy, JobState, RunState
from jobs_app.db import bulk_sql
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.notifications import record
from jobs_app.notifications.record import MissedFires
from jobs_app.runs import job_groups, outbox, overlap
from jobs_app.runs.insert import NewRun, PlannedRuns, insert_planned_runs, insert_runs, new_run
from jobs_app.runs.messages import Message
from jobs_app.runs.planning import Plan, PlanInput, plan
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Schedule

log = logging.getLogger(__name__)


#: A job whose schedule cannot be worked out is looked at again after this time, seconds.
ERROR_PAUSE_SECONDS = 60


@dataclass(slots=True)
class Recorded:
    """What a tick has committed: messages to send, and when to look at each job next.

    `due` has an entry for every job that was looked at; None says that it has no
    further fire. `promote` names jobs where a run may take the place of another.
    """

    messages: list[Message] = field(default_factory=list)
    due: dict[int, datetime | None] = field(default_factory=dict)
    promote: list[int] = field(default_factory=list)
    rows: int = 0


def record_due(session: Session, job_ids: Sequence[int], *, at: datetime) -> Recorded:
    """Record every fire of *job_ids* that is due at *at*, and commit.

    Jobs that another process holds just now are left out of the answer. Those
    whose plan fails are put off by a minute, with the error on their rows.
    """
    locked = select(Job.id).where(bulk_sql.in_values(session, Job.id, job_ids))
    held = session.scalars(locked.with_for_update(skip_locked=True)).all()
    recorded = Recorded()
    # An entry without a living row is a leftover.
    missing = set(job_ids).difference(held)
    if missing:
        living = select(Job.id).where(bulk_sql.in_values(session, Job.id, list(missing)))
        recorded.due |= dict.fromkeys(missing.difference(session.scalars(living)))
    # Only now: what the lock was waiting for may have changed the jobs and their runs.
    groups = job_groups.groups(session, held)
    for group in groups:
        recorded.due |= dict.fromkeys(group.job_ids, group.next_due_at)
    due = [each for each in groups if each.next_due_at is not None and each.next_due_at <= at]
    if due:
        _record(session, due, recorded, at=at)
    session.commit()
    if recorded.rows:
        log.info("fires_recorded jobs=%s rows=%s", len(recorded.due), recorded.rows)
    return recorded


def overdue_jobs(session: Session, *, at: datetime, limit: int) -> list[int]:
    """Return the jobs that the database knows to be due, most overdue first."""
    statement = select(Job.id).where(Job.next_due_at <= at).order_by(Job.next_due_at).limit(limit)
    return list(session.scalars(statement))


def record_before_change(session: Session, job: Job, *, at: datetime) -> None:
    """Record what came due before a change of *job*, which is locked; does not commit.

    The change moves its next fire, so no tick would see these fires any more. Those
    within their deadline run, as they would have; the others are missed, since a
    change starts no catch-up. The messages are sent by the janitor of the next tick.
    """
    while (planned := _settled(session, job, at=at)) is not None:
        if planned.cancel is not None or planned.drop_waiting:
            overlap.make_room(
                session, job.id, planned.cancel, drop_waiting=planned.drop_waiting, at=at
            )
        drafts = _drafts(job, planned, at=at)
        new = insert_runs(session, drafts)
        outbox.mark_unsent(session, new, at=at)
        missed = [
            MissedFires(job.id, each.id, each.scheduled_for, each.reason, each.fires)
            for each in drafts
            if each.state is RunState.MISSED and each.id in new
        ]
        record.notify_missed(session, missed, at=at)
        _advance(session, job, planned, at=at)


def _settled(session: Session, job: Job, *, at: datetime) -> Plan | None:
    """Return what is to be recorded before a change; None if nothing is due, or can be planned."""
    try:
        if not _is_due(job, at=at):
            return None
        facts = _facts(session, job, watches=_watches(session))
        return plan(replace(facts, catchup_policy=CatchupPolicy.NONE), at=at)
    except SQLAlchemyError:
        raise
    except Exception:
        # What another version wrote, or a time zone that is broken here, may fail in any way;
        # and the change may well be the one that mends it.
        log.exception("schedule_failed jobs=%s", [job.id])
        return None


def catch_up(
    session: Session, job: Job, policy: CatchupPolicy, *, since: datetime, at: datetime
) -> None:
    """Record the fires of a pause that *policy* wants run; does not commit.

    The fires that it leaves out are not on record: a paused job owes none. The
    messages are sent by the janitor of the next tick.
    """
    started = plan_catch_up(session, job, policy, since=since, at=at)
    new = insert_runs(session, _drafts(job, started, at=at))
    outbox.mark_unsent(session, new, at=at)
    job.runs_started += len(new)


def plan_catch_up(
    session: Session, job: Job, policy: CatchupPolicy, *, since: datetime, at: datetime
) -> Plan:
    """Return the runs that `catch_up` would record."""
    schedule = schedule_of(job)
    first = schedules.next_fire(schedule, after=since) if schedule is not None else None
    if schedule is None or first is None or first > at:
        return Plan((), first)
    facts = replace(
        _facts(session, job, schedule=schedule, next_fire_at=first),
        # Nothing of a pause counts as on time.
        starting_deadline_seconds=-1,
        catchup_policy=policy,
    )
    planned = plan(facts, at=at)
    return replace(planned, runs=tuple(row for row in planned.runs if row.is_start))


def _record(
    session: Session, due: list[job_groups.Group], recorded: Recorded, *, at: datetime
) -> None:
    is_late = any(group.is_late(at=at) for group in due)
    watches = _watches(session) if is_late else None
    births: list[PlannedRuns] = []
    queued: list[tuple[job_groups.Group, PlannedRuns]] = []
    advances: list[job_groups.Advance] = []
    for group in due:
        try:
            planned = plan(group.facts(watches=watches), at=at)
            advance = job_groups.Advance.of(group, planned)
        except Exception as error:
            # A schedule that cannot be worked out must not stop the others.
            log.exception("schedule_failed jobs=%s", group.job_ids)
            again_at = at + timedelta(seconds=ERROR_PAUSE_SECONDS)
            job_groups.put_off(session, group, f"{type(error).__name__}: {error}", until=again_at)
            recorded.due |= dict.fromkeys(group.job_ids, again_at)
            continue
        advances.append(advance)
        recorded.due |= dict.fromkeys(group.job_ids, advance.next_due_at)
        for row in planned.runs:
            born = PlannedRuns.of(row, group.job_ids)
            births.append(born)
            if row.state is RunState.QUEUED:
                queued.append((group, born))
        if planned.cancel is not None or planned.drop_waiting:
            for job_id in group.job_ids:
                overlap.make_room(
                    session, job_id, planned.cancel, drop_waiting=planned.drop_waiting, at=at
                )
            recorded.promote += group.job_ids
    new = insert_planned_runs(session, births, at=at)
    missed = [
        MissedFires(job_id, run_id, born.row.scheduled_for, born.row.reason, born.row.fires)
        for born in births
        if born.row.state is RunState.MISSED
        for job_id, run_id in zip(born.job_ids, born.run_ids, strict=True)
        if new is None or run_id in new
    ]
    record.notify_missed(session, missed, at=at)
    job_groups.advance(session, advances)
    recorded.rows += sum(len(each.run_ids) for each in births) if new is None else len(new)
    recorded.messages += [
        message
        for group, born in queued
        for message in group.messages(born.run_ids)
        if new is None or message.run_id in new
    ]


def _is_due(job: Job, *, at: datetime) -> bool:
    """Tell whether the next fire of *job* is due, also if the look at it was put off."""
    due_at, schedule = job.next_due_at, schedule_of(job)
    if job.scheduling_error is not None and job.next_fire_at is not None and schedule is not None:
        due_at = schedules.due_at(schedule, job.next_fire_at)
    return due_at is not None and due_at <= at


def _watches(session: Session) -> tuple[tuple[datetime, datetime], ...]:
    """Return from when to when each scheduler is known to have lived."""
    rows = session.execute(select(SchedulerProcess.started_at, SchedulerProcess.ticked_at))
    return tuple((row.started_at, row.ticked_at) for row in rows)


def _facts(
    session: Session,
    job: Job,
    *,
    schedule: Schedule | None = None,
    next_fire_at: datetime | None = None,
    watches: tuple[tuple[datetime, datetime], ...] | None = None,
) -> PlanInput:
    schedule = schedule or schedule_of(job)
    next_fire_at = next_fire_at or job.next_fire_at
    if schedule is None or next_fire_at is None:
        raise ValueError(f"job {job.name!r} is due but has no schedule")
    active, waiting = job_groups.unfinished(session, [job.id]).get(job.id, (0, 0))
    return PlanInput(
        schedule=schedule,
        next_fire_at=next_fire_at,
        overlap_policy=job.overlap_policy,
        starting_deadline_seconds=job.starting_deadline_seconds,
        catchup_policy=job.catchup_policy,
        catchup_window_seconds=job.catchup_window_seconds,
        catchup_max_runs=job.catchup_max_runs,
        has_active=active > 0,
        waiting=waiting,
        runs_left=None if job.max_runs is None else max(job.max_runs - job.runs_started, 0),
        watches=watches,
    )


def _drafts(job: Job, planned: Plan, *, at: datetime) -> list[NewRun]:
    return [
        new_run(
            job,
            run_id=new_run_id(),
            state=row.state,
            trigger=row.trigger,
            at=at,
            scheduled_for=row.scheduled_for,
            reason=row.reason,
            fires=row.fires,
        )
        for row in planned.runs
    ]


def _advance(session: Session, job: Job, planned: Plan, *, at: datetime) -> None:
    """Move the job to its next fire, if it is still at the one that was planned."""
    values: dict[str, Any] = {
        "next_fire_at": planned.next_fire_at,
        "next_due_at": None,
        "runs_started": job.runs_started + sum(row.is_start for row in planned.runs),
        "scheduling_error": None,
    }
    schedule = schedule_of(job)
    if planned.next_fire_at is None or schedule is None:
        values["state"] = JobState.ENDED
    else:
        values["next_due_at"] = schedules.due_at(schedule, planned.next_fire_at)
    statement = (
        update(Job)
        .where(
            Job.id == job.id,
            Job.version == job.version,
            Job.next_fire_at == job.next_fire_at,
        )
        .values(**values)
        .execution_options(synchronize_session="evaluate")
    )
    result = session.execute(statement)
    if rowcount(result) != 1:
        # The row was locked; that it changed means that the lock does not hold.
        raise RuntimeError(f"job {job.name!r} changed while its fires were recorded")
