"""Limits a session to the jobs with some tags: it finds nothing else, whatever it selects.

A caller that is limited to tags gets such sessions only. So no query, and no new route, can
forget the limit.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import ColumnElement, String, cast, exists, false, or_
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.orm.util import LoaderCriteriaOption

from jobs_app.db.engine import FILTER, filter_statements
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Attempt, LogChunk, PrunedRuns, Run

#: The execution option of a statement that must see all jobs: it answers with numbers only.
ALL_JOBS: Mapping[str, Any] = {"all_jobs": True}


def limit(session: Session, tags: frozenset[str]) -> None:
    """Let *session* find only jobs with one of *tags*, from now on."""
    if not is_limited(session):
        # A listener of this session alone: those of the workers pay nothing.
        filter_statements(session, partial(_filter, tags))


def is_limited(session: Session) -> bool:
    """Tell whether *session* finds only some of the jobs."""
    return FILTER in session.info


def has_tag(column: Any, tag: str) -> ColumnElement[bool]:
    """Return the condition that the JSON list in *column* has *tag*."""
    return cast(column, String).contains(f'"{tag}"', autoescape=True)


def _filter(tags: frozenset[str], state: ORMExecuteState) -> None:
    if not state.is_select or state.execution_options.get("all_jobs"):
        return
    # Loads of columns and relationships have the criteria of the statement before them.
    if not (state.is_column_load or state.is_relationship_load):
        state.statement = state.statement.options(*_criteria(tags))


@lru_cache(maxsize=256)
def _criteria(tags: frozenset[str]) -> tuple[LoaderCriteriaOption, ...]:
    """Return the condition of each table that tells of jobs.

    They are looked up by key for each row, so that the order of an index is kept.
    """
    job, run = Job.__table__.alias("tagged_job"), Run.__table__.alias("tagged_run")

    def of_job(job_id: Any) -> ColumnElement[bool]:
        return exists().where(job.c.id == job_id, _has_one(job.c.tags, tags))

    def of_run(run_id: Any) -> ColumnElement[bool]:
        return exists().where(run.c.id == run_id, of_job(run.c.job_id))

    conditions: dict[type, ColumnElement[bool]] = {
        Job: _has_one(Job.tags, tags),
        JobRevision: of_job(JobRevision.job_id),
        Run: of_job(Run.job_id),
        PrunedRuns: of_job(PrunedRuns.job_id),
        Notification: of_job(Notification.job_id),
        Attempt: of_run(Attempt.run_id),
        LogChunk: of_run(LogChunk.run_id),
        AuditEvent: or_(of_job(AuditEvent.job_id), of_run(AuditEvent.run_id)),
    }
    return tuple(
        with_loader_criteria(table, condition, include_aliases=True)
        for table, condition in conditions.items()
    )


def _has_one(column: Any, tags: Iterable[str]) -> ColumnElement[bool]:
    return or_(false(), *(has_tag(column, tag) for tag in sorted(tags)))
