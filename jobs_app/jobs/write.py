"""The writes of one job, within a transaction that the caller commits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from celery import Celery
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import Conflict, FieldError
from jobs_app.core.states import JobState
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import revisions
from jobs_app.jobs.definition import (
    NewReferences,
    check,
    columns,
    completed,
    definition_of,
    follow_schedule,
    records_due_fires,
    redefine,
    watch,
)
from jobs_app.jobs.document import Definition
from jobs_app.notifications import subscriptions
from jobs_app.runs import fires

#: The reason of the pause of a job that was created paused.
CREATED_PAUSED = "created paused"


@dataclass(frozen=True, slots=True)
class NewJob:
    """A new job that was checked, to be written."""

    definition: Definition
    revision: revisions.Change

    @classmethod
    def checked(cls, reader: Session, definition: Definition, *, app: Celery, at: datetime) -> Self:
        """Return what `write` stores; raises InvalidInput with one entry a field."""
        definition = completed(definition, before=None, at=at)
        check(reader, definition, app=app, now=at)
        return cls(definition, revisions.Change.creation(definition))

    def write(
        self,
        session: Session,
        *,
        by: str,
        at: datetime,
        is_paused: bool = False,
        note: str | None = None,
    ) -> Job:
        """Add the job, its revision, with *note*, and the audit event; does not commit.

        Raises InvalidInput and Conflict (`name_taken`), and rolls back.
        """
        NewReferences.of(self.definition).hold(session)
        job = Job(created_at=at, updated_at=at, version=1, **columns(self.definition))
        job.state, job.runs_started = JobState.ACTIVE, 0
        if is_paused:
            job.state, job.paused_at, job.paused_by = JobState.PAUSED, at, by
            job.paused_reason = CREATED_PAUSED
        watch(job, at=at)
        follow_schedule(job, at=at)
        subscribers = subscriptions.subscribers(session)
        subscriptions.set_subscriptions(job, self.definition.notify, subscribers)
        session.add(job)
        _flush(session, job)
        self.revision.note(session, job, by=by, at=at, note=note)
        return job


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new definition of a job that was checked while the job had `version`."""

    version: int
    before: Definition
    definition: Definition
    revision: revisions.Change

    @classmethod
    def checked(
        cls, reader: Session, job: Job, definition: Definition, *, app: Celery, at: datetime
    ) -> Self:
        """Return what `write` stores; raises InvalidInput with one entry a field."""
        before, version = definition_of(job), job.version
        definition = completed(definition, before=before, at=at)
        check(reader, definition, app=app, now=at, before=before)
        return cls(version, before, definition, revisions.Change.of(job, before, definition))

    @property
    def is_change(self) -> bool:
        """Whether the job has another definition now."""
        return not revisions.is_same(self.before, self.definition)

    def write(
        self,
        session: Session,
        job: Job,
        *,
        by: str,
        at: datetime,
        restored: int | None = None,
        note: str | None = None,
    ) -> None:
        """Write the definition on *job*, which is locked at `version`; does not commit.

        *restored* is the revision that it restores, *note* a sentence for the history.
        Raises InvalidInput and Conflict (`name_taken`), and rolls back.
        """
        NewReferences.of(self.definition, self.before).hold(session)
        if records_due_fires(self.before, self.definition):
            fires.record_before_change(session, job, at=at)
        # Before the changes: a query after them would write them, past what minds a taken name.
        subscribers = subscriptions.subscribers(session)
        redefine(job, self.definition, before=self.before, at=at)
        subscriptions.set_subscriptions(job, self.definition.notify, subscribers)
        _flush(session, job)
        self.revision.note(session, job, by=by, at=at, restored=restored, note=note)


def mark_deleted(session: Session, job: Job, *, by: str, at: datetime) -> None:
    """Delete *job*, which is locked; what it has queued stays. Does not commit."""
    fires.record_before_change(session, job, at=at)
    job.deleted_at, job.updated_at = at, at
    job.next_fire_at = job.next_due_at = None
    job.version += 1
    session.flush()
    audit.note(session, "delete", by=by, at=at, job_id=job.id)


def name_taken(name: str) -> Conflict:
    """Return the error for the name of another job."""
    taken = FieldError("/name", "name_taken", f"There is a job {name!r} already.")
    return Conflict(taken.detail, code="name_taken", errors=[taken])


def _flush(session: Session, job: Job) -> None:
    """Write *job*; a name that somebody else took first is a Conflict."""
    name = job.name
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        if "uq_jobs_living_name" in str(error.orig) or "jobs.name" in str(error.orig):
            raise name_taken(name) from error
        raise
