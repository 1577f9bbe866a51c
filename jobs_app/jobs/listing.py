"""Lists of jobs. Reads only."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session, selectinload

from jobs_app.accounts import tag_limit
from jobs_app.core.states import JobState, RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.db.page_size import fitting, text_size


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs a list shows; None leaves a condition out."""

    state: JobState | None = None
    tag: str | None = None
    queue: str | None = None
    q: str | None = None
    last_state: RunState | None = None


def page(
    session: Session, conditions: Filter, *, after: str | None, limit: int
) -> tuple[list[Job], bool]:
    """Return living jobs by name, those later than the name *after*.

    Also whether the page ends early because its jobs are large.
    """
    size = text_size(Job.kwargs, Job.description, Job.notify)
    statement = select(Job.id, size).where(*_conditions(conditions, after=after))
    rows = session.execute(statement.order_by(Job.name).limit(limit)).all()
    some = fitting(rows)
    jobs = session.scalars(select(Job).where(Job.id.in_(some)).order_by(Job.name))
    return list(jobs), len(some) < len(rows)


def _conditions(conditions: Filter, *, after: str | None) -> Iterator[ColumnElement[bool]]:
    yield Job.deleted_at.is_(None)
    if after is not None:
        yield Job.name > after
    if conditions.state is not None:
        yield Job.state == conditions.state
    if conditions.queue is not None:
        yield Job.queue == conditions.queue
    if conditions.tag is not None:
        yield tag_limit.has_tag(Job.tags, conditions.tag)
    if conditions.q:
        q = conditions.q.lower()
        yield or_(
            Job.name.contains(q, autoescape=True),
            func.lower(Job.description).contains(q, autoescape=True),
            func.lower(Job.task).contains(q, autoescape=True),
        )
    if conditions.last_state is not None:
        yield run_indexes.of_newest(Run.state) == conditions.last_state


def last_runs(session: Session, job_ids: Iterable[int]) -> dict[int, Run]:
    """Return the run of the newest instant of each of *job_ids* that has one, with attempts."""
    of_jobs = select(run_indexes.of_newest(Run.id)).where(Job.id.in_(list(job_ids)))
    runs = session.scalars(
        select(Run)
        .where(Run.id.in_(list(session.scalars(of_jobs))))
        .options(selectinload(Run.attempts))
    )
    return {run.job_id: run for run in runs if run.job_id is not None}
