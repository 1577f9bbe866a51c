"""Runs that take much longer than usual, and who is notified of them.

A job has no time limit unless somebody sets one, so that a hanging run must be noticed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.states import Event
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import FIRST_STARTED_AT, Run
from jobs_app.jobs.attention_queries import RunningFacts, running_with_past
from jobs_app.notifications import lateness
from jobs_app.notifications.lateness import Overrun
from jobs_app.notifications.subscriptions import is_subscribed

#: A run overruns when it takes so many times as long as 95 of 100 runs before it, …
FACTOR = 3

#: … and at least this long.
LEAST = timedelta(minutes=10)

#: Runs from which the usual duration is known; fewer say nothing.
FEWEST_PAST_RUNS = 5


def usual_seconds(run: RunningFacts, *, at: datetime) -> float | None:
    """Return how long 95 of 100 runs before *run* took, if it overruns at *at*; else None."""
    spread = run.spread(fewest=FEWEST_PAST_RUNS)
    if run.job is None or spread is None:
        return None
    usual = timedelta(seconds=spread.p95)
    return spread.p95 if at - run.started_at > max(FACTOR * usual, LEAST) else None


def find(session: Session, *, at: datetime) -> list[Overrun]:
    """Return the overruns that somebody wants to know of, and does not yet.

    One statement: it reads the long runs that work now, and the newest runs of their jobs.
    """
    subscribed = select(Job.id).where(is_subscribed(Event.OVERRUN), Job.deleted_at.is_(None))
    runs = running_with_past(
        session,
        at - LEAST > FIRST_STARTED_AT,
        Run.job_id.in_(subscribed),
        ~lateness.is_notified_of(Event.OVERRUN),
    )
    return [
        Overrun(run.id, (at - run.started_at).total_seconds(), usual)
        for run in runs
        if (usual := usual_seconds(run, at=at)) is not None
    ]


def notify(session: Session, overruns: Sequence[Overrun], *, at: datetime) -> None:
    """Write the notifications of *overruns*, and commit; each channel gets one a run."""
    lateness.notify_overruns(session, overruns, at=at)
    session.commit()
