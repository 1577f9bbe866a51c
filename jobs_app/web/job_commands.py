"""What a caller does to jobs, from the API or from a page: rights, change, word to Redis."""

from datetime import datetime

from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.core.errors import Conflict, NotFound, StaleVersion
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import apply, revisions, service
from jobs_app.jobs.apply import JobSet, Step
from jobs_app.jobs.document import Definition
from jobs_app.jobs.dry_run import DryRun, dry_run_change, dry_run_resume
from jobs_app.jobs.service import OnMissed
from jobs_app.web import extension, job_rights
from jobs_app.web.permissions import actor, may
from jobs_app.web.session import reading, session

#: How often a set is planned, when others change its jobs meanwhile.
PLANS = 3


def create(definition: Definition, *, is_paused: bool = False, is_imported: bool = False) -> Job:
    """Store a new job; raises Forbidden, and what `service.create` raises.

    With *is_imported* its history says where it comes from.
    """
    job_rights.check_save(definition)
    job = service.create(
        session(),
        definition,
        app=extension.current().celery,
        by=actor(),
        at=clock.now(),
        is_paused=is_paused,
        note=revisions.note_of_import(definition.origin) if is_imported else None,
    )
    extension.notify_redis_afterwards([job])
    return job


def change(
    job: Job,
    definition: Definition,
    *,
    version: int | None,
    restored: int | None = None,
    is_imported: bool = False,
) -> Job:
    """Save *definition* over *job* if it is at *version* (None: at any version).

    *restored* is the revision that it restores, *is_imported* as for `create`. Raises Forbidden,
    and what `service.change` raises.
    """
    job_rights.check_save(definition, before=job)
    changed = service.change(
        session(),
        job,
        definition,
        version=job_rights.checked_version(job, version),
        app=extension.current().celery,
        by=actor(),
        at=clock.now(),
        restored=restored,
        note=revisions.note_of_import(definition.origin) if is_imported else None,
    )
    extension.notify_redis_afterwards([changed])
    return changed


def effect(definition: Definition, *, job: Job | None, version: int | None = None) -> DryRun:
    """Return the effect of `create` (*job* is None) or `change`; raises what they raise."""
    job_rights.check_save(definition, before=job)
    if job is not None:
        version = job_rights.checked_version(job, version)
    with reading() as reader:
        return dry_run_change(
            reader,
            definition,
            job=job,
            version=version,
            app=extension.current().celery,
            at=clock.now(),
        )


def plan_set(job_set: JobSet) -> list[Step]:
    """Return what *job_set* would do; raises Forbidden, and what `apply.plan` raises."""
    with reading() as reader:
        return apply.plan(
            reader, job_set, guard=_check_step, app=extension.current().celery, at=clock.now()
        )


def apply_set(job_set: JobSet) -> list[tuple[Step, Job]]:
    """Make the jobs agree with *job_set*; return what was done, with the jobs as they are then.

    Raises what `plan_set` raises, and StaleVersion, NotFound or Conflict if others go on changing
    the same jobs.
    """
    for left in reversed(range(PLANS)):
        steps = plan_set(job_set)
        try:
            jobs = apply.carry_out(session(), steps, name=job_set.name, by=actor(), at=clock.now())
        except (StaleVersion, NotFound, Conflict):
            # Somebody changed one of the jobs since it was read.
            if not left:
                raise
        else:
            break
    done = list(zip(steps, jobs, strict=True))
    changed = [job for step, job in done if step.action is not apply.Action.KEEP]
    extension.notify_redis_afterwards(changed)
    return done


def _check_step(definition: Definition | None, job: Job | None) -> None:
    if definition is not None:
        job_rights.check_save(definition, before=job)
    elif job is not None:
        job_rights.check_delete(job, to_purge=False)


def delete(job: Job, *, version: int | None, to_purge: bool) -> None:
    """Delete *job*, with its history if *to_purge*; raises what `service.remove` raises."""
    by, at = actor(), clock.now()
    job_rights.check_delete(job, to_purge=to_purge)
    version = job_rights.checked_version(job, version)
    job = service.remove(session(), job, version=version, by=by, at=at, to_purge=to_purge)
    extension.notify_redis_afterwards([job])
    if to_purge:
        service.purge(session(), job, by=by, at=at)


def pause(job: Job, *, reason: str | None, until: datetime | None) -> Job:
    """Pause *job*; raises what `service.pause` raises."""
    by, at = actor(), clock.now()
    paused = service.pause(session(), job, reason=reason, until=until, by=by, at=at)
    extension.notify_redis_afterwards([paused])
    return paused


def resume(job: Job, *, on_missed: OnMissed) -> Job:
    """Resume *job*; raises what `service.resume` raises."""
    resumed = service.resume(session(), job, on_missed=on_missed, by=actor(), at=clock.now())
    extension.notify_redis_afterwards([resumed])
    return resumed


def resume_effect(job: Job, *, on_missed: OnMissed, at: datetime) -> DryRun:
    """Return the effect of `resume` at *at*."""
    with reading() as reader:
        return dry_run_resume(
            reader,
            job,
            on_missed=on_missed,
            with_arguments=may(Action.SEE_ARGUMENTS),
            app=extension.current().celery,
            at=at,
        )
