"""How a job stands, as conditions of a query: failing, late, running and others."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Integer, and_, case, func, literal_column, or_, select, text
from sqlalchemy.orm import Session

from jobs_app.core.states import JobState, RunState, Standing
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import IS_UNFINISHED, PrunedRuns, Run

#: A run is late if it has been queued for longer than this.
LATE_RUN = timedelta(minutes=5)

#: A job is late if its fire was due longer ago than this, and is not on record.
LATE_FIRE = timedelta(minutes=1)

#: Failures since the last success, also those from before a resume.
FAILURES_IN_A_ROW = Job.failures_in_a_row + Job.failures_carried

# The fewest failures of which a channel of the job is notified.
_AFTER_FAILURES = {
    "postgresql": "(SELECT min((rule ->> 'after_failures')::integer)"
    " FROM json_array_elements(jobs.notify) AS rule)",
    "sqlite": "(SELECT min(json_extract(rule.value, '$.after_failures'))"
    " FROM json_each(jobs.notify) AS rule)",
}

#: A job stands in several ways; people are shown the first of these, else that it is active.
SHOWN_FIRST = (
    Standing.PAUSED,
    Standing.RUNNING,
    Standing.FAILING,
    Standing.LATE,
    Standing.ENDED,
    Standing.OBSERVING,
    Standing.NEVER_RUN,
)

# Literals, not bound parameters: only then is the index of unfinished runs used.
_IS_QUEUED = text(f"runs.state = '{RunState.QUEUED}' AND runs.{IS_UNFINISHED}")
_IS_RUNNING = text(f"runs.state = '{RunState.RUNNING}' AND runs.{IS_UNFINISHED}")


def stands(session: Session, standing: Standing, *, at: datetime) -> ColumnElement[bool]:
    """Return the condition that a job stands so at *at*."""
    match standing:
        case Standing.ACTIVE | Standing.PAUSED | Standing.ENDED:
            return Job.state == JobState(standing.value)
        case Standing.FAILING:
            return is_failing(session)
        case Standing.LATE:
            return is_late(at=at)
        case Standing.OBSERVING:
            return Job.observe.is_(True)
        case Standing.RUNNING:
            return Job.id.in_(select(Run.job_id).where(_IS_RUNNING, Run.job_id.is_not(None)))
        case Standing.NEVER_RUN:
            pruned = select(PrunedRuns.job_id).where(PrunedRuns.job_id == Job.id).correlate(Job)
            # Not the newest run of both ranges: merging them costs most of it. Each in the order
            # of its index, or PostgreSQL would read all runs for a job that has none.
            kept = [
                select(Run.id)
                .where(*index_range.guard)
                .order_by(*index_range.newest_first)
                .limit(1)
                .correlate(Job)
                .scalar_subquery()
                for index_range in run_indexes.of_job(Job.id)
            ]
            # A job whose fires were recorded has run: its runs need not be looked for.
            has_no_fire = Job.runs_started == 0
            return and_(has_no_fire, *(newest.is_(None) for newest in kept), ~pruned.exists())
        case Standing.NO_NEXT_FIRE:
            return Job.next_fire_at.is_(None)


def standings(session: Session, job_ids: Iterable[int], *, at: datetime) -> dict[int, Standing]:
    """Return how each of *job_ids* stands at *at*, as people are shown it, in one statement."""
    conditions = [(stands(session, standing, at=at), str(standing)) for standing in SHOWN_FIRST]
    shown = case(*conditions, else_=str(Standing.ACTIVE))
    rows = session.execute(select(Job.id, shown).where(Job.id.in_(list(job_ids))))
    return {job_id: Standing(standing) for job_id, standing in rows}


def is_failing(session: Session) -> ColumnElement[bool]:
    """Return the condition that a job has failed as often in a row as its channels want to know."""
    threshold: ColumnElement[int] = literal_column(
        _AFTER_FAILURES[session.get_bind().dialect.name], Integer()
    )
    return and_(FAILURES_IN_A_ROW > 0, func.coalesce(threshold, 1) <= FAILURES_IN_A_ROW)


def is_late(*, at: datetime) -> ColumnElement[bool]:
    """Return the condition that a job has a run or a fire that should have started by *at*."""
    late = select(Run.job_id).where(
        _IS_QUEUED, Run.job_id.is_not(None), Run.queued_at <= at - LATE_RUN
    )
    return or_(Job.id.in_(late), Job.next_due_at <= at - LATE_FIRE)
