"""Revisions of jobs: each definition that a job has had, by whom and when it was saved.

The number of a revision is the job's version after the change. A pause, a resume and a
deletion raise the version too, but not the definition: there the numbers have a gap.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, load_only

from jobs_app.accounts import audit
from jobs_app.accounts.tag_limit import ALL_JOBS
from jobs_app.core.document_diff import differences, is_other
from jobs_app.core.errors import NotFound
from jobs_app.core.json_values import with_leaves
from jobs_app.core.validation_messages import Place
from jobs_app.db.bulk_sql import in_values
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs.audit_detail import audited, changed_detail, shortened
from jobs_app.jobs.definition import described
from jobs_app.jobs.document import Definition, in_same_field
from jobs_app.secrets.redaction import MASK, redacted

#: Revisions that are kept of a job, the newest ones.
MAX_REVISIONS = 100

#: Levels of a definition whose fields are named: `schedule.cron`, `kwargs.command`.
NAMED_LEVELS = 2

IMPORTED = "Imported"
NOTE_OF_STATE_BEFORE = "The state before the next change. Earlier changes were not kept."


def document(definition: Definition) -> dict[str, Any]:
    """Return *definition* as a revision has it: literal secrets are masked, references stay."""
    return described(definition) | {"kwargs": redacted(definition.kwargs)}


@dataclass(frozen=True, slots=True)
class Saved:
    """A definition that a job has had since some instant."""

    definition: dict[str, Any]
    since: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A new definition, and what audit and history say of it; made before the job is locked."""

    detail: dict[str, Any]
    before: Saved | None
    after: dict[str, Any]
    changed: list[str]

    @classmethod
    def creation(cls, definition: Definition) -> Self:
        """Return the change that makes a job."""
        return cls({"after": audited(definition)}, None, document(definition), [])

    @classmethod
    def of(cls, job: Job, before: Definition, definition: Definition) -> Self:
        """Return the change of *job* from *before*, its definition, to *definition*."""
        # Compared with their secrets: a change of one is a change.
        documents = in_same_field(_unmasked(before), _unmasked(definition))
        fields = differences(*documents, depth=NAMED_LEVELS)
        changed = shortened(field.name for field in fields)
        saved = Saved(document(before), job.updated_at)
        return cls(changed_detail(before, definition), saved, document(definition), changed)

    def note(
        self,
        session: Session,
        job: Job,
        *,
        by: str,
        at: datetime,
        restored: int | None = None,
        note: str | None = None,
    ) -> None:
        """Add the audit event and the revision to the transaction that has written *job*.

        *restored* is the revision that the change restores; *note* is a sentence about it.
        """
        if restored is not None:
            audit.note(
                session, "restore", by=by, at=at, job_id=job.id, revision=restored, **self.detail
            )
        else:
            action = "create" if self.before is None else "change"
            audit.note(session, action, by=by, at=at, job_id=job.id, **self.detail)
        if self.before is not None and not self.changed:
            return
        self._keep_state_before(session, job)
        revision = JobRevision(job_id=job.id, number=job.version, definition=self.after)
        revision.changed, revision.at, revision.by = self.changed, at, by
        revision.via = audit.origin(session).via
        revision.note = note if restored is None else f"Revision {restored} was restored."
        session.add(revision)
        if job.version > MAX_REVISIONS:
            session.flush()
            _delete_old(session, job.id)

    def _keep_state_before(self, session: Session, job: Job) -> None:
        """Add the definition before the change unless it is on record.

        It is not if the job is older than its history, or a version without history wrote it.
        """
        if self.before is None:
            return
        number = job.version - 1
        newest = select(JobRevision).where(JobRevision.job_id == job.id)
        newest = newest.order_by(JobRevision.number.desc()).limit(1)
        last = session.scalars(newest, execution_options=ALL_JOBS).first()
        # A field that is newer than the revision is as it was: no change of it is on record.
        now = self.before.definition
        is_known = last is not None and not is_other({**now, **last.definition}, now)
        if is_known or (last is not None and last.number >= number):
            return
        revision = JobRevision(job_id=job.id, number=number, definition=self.before.definition)
        revision.changed, revision.at, revision.note = [], self.before.since, NOTE_OF_STATE_BEFORE
        session.add(revision)


def note_of_import(origin: str | None) -> str:
    """Return the sentence in the history of a job that an import from *origin* has written."""
    return f"{IMPORTED}{f' from {origin}' if origin else ''}."


def is_same(before: Definition, after: Definition) -> bool:
    """Tell whether two definitions say the same, with their secrets."""
    return not is_other(_unmasked(before), _unmasked(after))


def newest(session: Session, job_ids: Collection[int]) -> dict[int, JobRevision]:
    """Return the newest revision of each of the jobs, by the id of the job, if it has one."""
    columns = (JobRevision.changed, JobRevision.at, JobRevision.by)
    shown = load_only(*columns, JobRevision.via, JobRevision.note, raiseload=True)
    last = (
        select(JobRevision.job_id, func.max(JobRevision.number).label("number"))
        .where(in_values(session, JobRevision.job_id, list(job_ids)))
        .group_by(JobRevision.job_id)
        .subquery()
    )
    statement = select(JobRevision).join(
        last, (JobRevision.job_id == last.c.job_id) & (JobRevision.number == last.c.number)
    )
    return {row.job_id: row for row in session.scalars(statement.options(shown))}


def _unmasked(definition: Definition) -> dict[str, Any]:
    return described(definition) | {"kwargs": definition.kwargs}


def _delete_old(session: Session, job_id: int) -> None:
    """Delete the oldest revisions: no more than the change has added."""
    oldest_kept = (
        select(JobRevision.number)
        .where(JobRevision.job_id == job_id)
        .order_by(JobRevision.number.desc())
        .offset(MAX_REVISIONS - 1)
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        delete(JobRevision)
        .where(JobRevision.job_id == job_id, JobRevision.number < oldest_kept)
        .execution_options(synchronize_session=False)
    )


def delete_for_job(session: Session, job_id: int) -> None:
    """Delete all revisions of a job that is purged: they are at most MAX_REVISIONS."""
    session.execute(delete(JobRevision).where(JobRevision.job_id == job_id))


def page(session: Session, job: Job, *, before: int | None, limit: int) -> list[JobRevision]:
    """Return revisions of *job* without their definitions, newest first, older than *before*."""
    statement = select(JobRevision).where(JobRevision.job_id == job.id)
    if before is not None:
        statement = statement.where(JobRevision.number < before)
    columns = (JobRevision.number, JobRevision.changed, JobRevision.at, JobRevision.by)
    shown = load_only(*columns, JobRevision.via, JobRevision.note, raiseload=True)
    return list(
        session.scalars(statement.options(shown).order_by(JobRevision.number.desc()).limit(limit))
    )


def get(session: Session, job: Job, number: int) -> JobRevision:
    """Return the revision *number* of *job*; raises NotFound."""
    conditions = (JobRevision.job_id == job.id, JobRevision.number == number)
    revision = session.scalars(select(JobRevision).where(*conditions)).first()
    if revision is None:
        raise NotFound(
            f"{job.name!r} has no revision {number}, or no longer.", code="revision_not_found"
        )
    return revision


def number_at(session: Session, job_id: int, at: datetime) -> int | None:
    """Return the number of the revision that a job had at *at*; None if it is not kept."""
    newest_first = select(JobRevision.number).where(JobRevision.job_id == job_id)
    newest_first = newest_first.order_by(JobRevision.number.desc())
    return session.scalar(newest_first.where(JobRevision.at <= at).limit(1))


def restorable(revision: Mapping[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a revision, to be saved over a job that has *kwargs* now.

    A masked secret stays as the job has it now; if it has none, the mask is left, which a
    save refuses.
    """
    masked = redacted(kwargs)

    def secret(place: Place, value: Any) -> Any:
        is_masked = isinstance(value, str) and MASK in value
        return _at(kwargs, place) if is_masked and _at(masked, place) == value else value

    return {**revision, "kwargs": with_leaves(revision["kwargs"], secret)}


def _at(value: Any, place: Place) -> Any:
    """Return the value at *place*; None if there is none."""
    for key in place:
        if isinstance(value, Mapping):
            value = value.get(key)
        else:
            has_item = isinstance(value, list) and isinstance(key, int) and key < len(value)
            value = value[key] if has_item else None
    return value
