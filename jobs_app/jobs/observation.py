"""How the last week of a job that only watches looked. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import Start
from jobs_app.db.models.runs import Run
from jobs_app.jobs.conditions import LATE_FIRE
from jobs_app.jobs.explain_history import history_of
from jobs_app.jobs.explain_when import TICK, When
from jobs_app.schedules.union import fires_on_start

#: An observation goes back so far at most.
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Observation:
    """The fires in (begin, until] of a job that only watches since `since`.

    `expected` are those of its schedule, without those of pauses. `observed` and `missed` are on
    record: the latter would not have run here, because no scheduler was there in time.
    """

    since: datetime
    begin: datetime
    until: datetime
    expected: int
    observed: int
    missed: int


def of_job(session: Session, job: Job, *, at: datetime) -> Observation | None:
    """Return what *job* has observed in the week before *at*; None if it does not only watch."""
    if job.observing_since is None:
        return None
    begin, until = max(job.observing_since, at - WEEK), _recorded_until(job, at=at)
    counts = (
        select(Run.state, func.sum(Run.fires))
        .where(Run.job_id == job.id, Run.scheduled_for > begin, Run.scheduled_for <= until)
        .group_by(Run.state)
    )
    by_state = dict(session.execute(counts).all())
    return Observation(
        since=job.observing_since,
        begin=begin,
        until=until,
        expected=history_of(session, job.name, When(at)).count_fires(begin, until)
        + _starts(session, job, begin, until),
        observed=by_state.get(RunState.OBSERVED, 0),
        missed=by_state.get(RunState.MISSED, 0),
    )


def _starts(session: Session, job: Job, begin: datetime, until: datetime) -> int:
    """Count the starts of jobs-app in (begin, until] that the job fires on."""
    if not fires_on_start(schedule_of(job)):
        return 0
    statement = select(func.count()).where(Start.at > begin, Start.at <= until)
    return session.scalars(statement).one()


def _recorded_until(job: Job, *, at: datetime) -> datetime:
    """Return *at*, or the instant before a fire that a scheduler is about to record."""
    if job.next_fire_at is None or job.next_due_at is None or at - job.next_due_at > LATE_FIRE:
        return at
    return min(at, job.next_fire_at - TICK)
