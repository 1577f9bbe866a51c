"""Makes jobs agree with a set of definitions: all of them, or none.

Jobs know the set that manages them: its name is their `origin`. Only such jobs are pruned, so a
job that was made by hand, or by an import, is never deleted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from celery import Celery
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.errors import Conflict, FieldError, InvalidInput, refuse
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import revisions, service
from jobs_app.jobs.document import NAME, Definition
from jobs_app.jobs.dry_run import MOST_FIRES, DryRun, effect_of_save
from jobs_app.jobs.fire_changes import FireChanges, fire_changes
from jobs_app.jobs.write import NewJob, Replacement, mark_deleted
from jobs_app.runs import cancel

#: Checks whether the caller may save a definition over a job (None: a new one); None as the
#: definition stands for a deletion.
Guard = Callable[[Definition | None, Job | None], None]


class Action(StrEnum):
    """What becomes of a job."""

    CREATE = "create"
    CHANGE = "change"
    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class JobSet:
    """Definitions that jobs are to agree with, each with its number in the request.

    `faults` are those of documents that make no definition. `name` becomes the `origin` of the
    jobs that the set manages; None manages none. `prunes` deletes managed jobs that it no longer
    has: with `prune_only` those alone, and another one is refused. `takes_over` lets it manage
    jobs that were made by hand, or that another set manages.
    """

    definitions: Mapping[int, Definition]
    name: str | None = None
    prunes: bool = False
    prune_only: frozenset[str] | None = None
    takes_over: bool = False
    faults: Sequence[FieldError] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one job, with the effect of it.

    `job` is None for a new one. `edited` is the newest revision, if somebody changed a managed job
    by hand, which this step undoes.
    """

    action: Action
    name: str
    job: Job | None
    write: NewJob | Replacement | None
    effect: DryRun | None
    fires: FireChanges
    edited: JobRevision | None = None


NO_FIRES = FireChanges([], [], [])


def note_of(name: str) -> str:
    """Return the sentence in the history of a job that the set *name* has written."""
    return f"Applied from {name!r}."


def plan(
    reader: Session, job_set: JobSet, *, guard: Guard, app: Celery, at: datetime
) -> list[Step]:
    """Return a step for each job of *job_set*, in order, then those that it prunes; store nothing.

    Raises InvalidInput with the faults of all jobs, with pointers below `/jobs/NUMBER`; Conflict
    (`managed_elsewhere`) if another set manages one of the jobs, or (`prune_changed`) if a job
    would be pruned that is not in `prune_only`; and what *guard* raises.
    """
    jobs = _present(reader, job_set.definitions.values())
    errors = [*job_set.faults]
    refusals: list[FieldError] = []
    steps = []
    edited = _edited(reader, job_set, jobs)
    for number, definition in job_set.definitions.items():
        job = jobs.get(definition.name)
        try:
            definition = replace(definition, origin=_origin(job_set, definition, job))
            guard(definition, job)
            steps.append(_save(reader, definition, job, edited, app=app, at=at))
        except InvalidInput as error:
            errors += error.under(f"/jobs/{number}").errors
        except Conflict as error:
            refusals.append(FieldError(f"/jobs/{number}/name", error.code, error.detail))
    refuse(sorted(errors, key=_number))
    if refusals:
        details = " ".join(error.detail for error in refusals)
        raise Conflict(details, code=refusals[0].code, errors=refusals)
    return [*steps, *_prunings(reader, job_set, guard=guard, at=at)]


def carry_out(
    session: Session, steps: Sequence[Step], *, name: str | None, by: str, at: datetime
) -> list[Job]:
    """Carry out *steps* in one transaction; return the jobs of all steps, as they are then.

    Raises StaleVersion, NotFound or Conflict if a job was changed since `plan`; then nothing is
    changed.
    """
    note = None if name is None else note_of(name)
    locked = _lock_all(session, steps)
    written: list[Job] = []
    for step in steps:
        if isinstance(step.write, NewJob):
            written.append(step.write.write(session, by=by, at=at, note=note))
            continue
        job = locked.get(step.name, step.job)
        if job is None:
            raise ValueError(f"the step for {step.name!r} has no job")
        if isinstance(step.write, Replacement) and step.action is Action.CHANGE:
            step.write.write(session, job, by=by, at=at, note=note)
        elif step.action is Action.DELETE:
            mark_deleted(session, job, by=by, at=at)
        written.append(job)
    session.commit()
    # Afterwards, in batches; if that is interrupted, the janitor cancels the others.
    for step, job in zip(steps, written, strict=True):
        if step.action is Action.DELETE:
            cancel.cancel_unstarted(session, job.id, by=by, at=at)
    return written


def _number(error: FieldError) -> int:
    """Return the number of the job that a pointer below `/jobs` is about."""
    return int(error.pointer.split("/")[2])


def _present(reader: Session, definitions: Iterable[Definition]) -> dict[str, Job]:
    names = [one.name for one in definitions if NAME.fullmatch(one.name)]
    living = select(Job).where(Job.name.in_(names), Job.deleted_at.is_(None))
    return {job.name: job for job in reader.scalars(living)}


def _origin(job_set: JobSet, definition: Definition, job: Job | None) -> str | None:
    """Return the origin that a job gets; raises Conflict (`managed_elsewhere`)."""
    name = job_set.name
    if name is None:
        return definition.origin if job is None else definition.origin or job.origin
    if job is None or job.origin == name or job_set.takes_over:
        return name
    if job.origin not in (None, definition.origin):
        raise Conflict(
            f"{job.name!r} is managed by {job.origin!r}, not by {name!r}: take it over, or leave"
            " it out.",
            code="managed_elsewhere",
        )
    return job.origin


def _save(
    reader: Session,
    definition: Definition,
    job: Job | None,
    edited: dict[int, JobRevision],
    *,
    app: Celery,
    at: datetime,
) -> Step:
    write: NewJob | Replacement
    if job is None:
        service.refuse_taken_name(reader, definition.name)
        action, write = Action.CREATE, NewJob.checked(reader, definition, app=app, at=at)
    else:
        write = Replacement.checked(reader, job, definition, app=app, at=at)
        action = Action.CHANGE if write.is_change else Action.KEEP
    if action is Action.KEEP:
        return Step(action, definition.name, job, write, None, NO_FIRES)
    effect = effect_of_save(reader, write.definition, job=job, app=app, at=at)
    fires = fire_changes(effect.fires_before, effect.fires_after, most=MOST_FIRES)
    revision = None if job is None else edited.get(job.id)
    return Step(action, definition.name, job, write, effect, fires, revision)


def _edited(reader: Session, job_set: JobSet, jobs: dict[str, Job]) -> dict[int, JobRevision]:
    """Return the newest revision of each managed job that somebody changed by hand."""
    managed = [job.id for job in jobs.values() if job_set.name and job.origin == job_set.name]
    own = note_of(job_set.name or "")
    return {
        job_id: revision
        for job_id, revision in revisions.newest(reader, managed).items()
        if revision.note != own and revision.changed
    }


def _prunings(reader: Session, job_set: JobSet, *, guard: Guard, at: datetime) -> list[Step]:
    if job_set.name is None or not job_set.prunes:
        return []
    names = {one.name for one in job_set.definitions.values()}
    managed = select(Job).where(Job.origin == job_set.name, Job.deleted_at.is_(None))
    steps = []
    for job in reader.scalars(managed.order_by(Job.name)):
        if job.name not in names:
            guard(None, job)
            gone = service.next_fires(job, after=at, count=MOST_FIRES)
            fires = FireChanges([], gone, [])
            steps.append(Step(Action.DELETE, job.name, job, None, None, fires))
    _refuse_unconfirmed(job_set, [step.name for step in steps])
    return steps


def _refuse_unconfirmed(job_set: JobSet, pruned: Sequence[str]) -> None:
    """Raise Conflict (`prune_changed`) if *pruned* has jobs that nobody has confirmed."""
    if job_set.prune_only is None or job_set.prune_only.issuperset(pruned):
        return
    others = ", ".join(repr(name) for name in pruned if name not in job_set.prune_only)
    raise Conflict(
        f"The set {job_set.name!r} has other jobs now that would be deleted, too: {others}. Look at"
        " what would be done, and confirm it again.",
        code="prune_changed",
    )


def _lock_all(session: Session, steps: Sequence[Step]) -> dict[str, Job]:
    """Lock the jobs that *steps* change, in the order of their ids, so that no two wait in a ring.

    Raises StaleVersion or NotFound, and rolls back.
    """
    changing = [step for step in steps if step.action in (Action.CHANGE, Action.DELETE)]
    found = sorted((step.job for step in changing if step.job is not None), key=lambda job: job.id)
    return {job.name: service.lock(session, job, job.version) for job in found}
