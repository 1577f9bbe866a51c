"""Jobs as the API returns them, with their last runs and their warnings."""

from collections.abc import Sequence
from typing import Any

from jobs_app.accounts.permissions import Action
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import listing
from jobs_app.jobs.definition import definition_of
from jobs_app.jobs.document import Definition
from jobs_app.jobs.dry_run import DryRun
from jobs_app.jobs.listing import Position
from jobs_app.jobs.warnings import warnings_for
from jobs_app.runs.recent import recent_runs
from jobs_app.tasks import env_files, registry
from jobs_app.tasks.env_files import EnvFileFault
from jobs_app.web import extension
from jobs_app.web.api.schemas.job_output import FileVariable, show, show_effect, show_recent
from jobs_app.web.permissions import may
from jobs_app.web.session import session, unlocked


def of(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return *jobs* with their last runs, their warnings and what their tasks declare."""
    definitions = [definition_of(job) for job in jobs]
    with unlocked() as reader:
        last = listing.last_runs(reader, [job.id for job in jobs])
        warnings = warnings_for(
            reader,
            definitions,
            app=extension.current().celery,
            with_arguments=may(Action.SEE_ARGUMENTS),
        )
    return [
        document(job, definition, job_warnings, last_run=last.get(job.id))
        for job, definition, job_warnings in zip(jobs, definitions, warnings, strict=True)
    ]


def document(
    job: Job, definition: Definition, warnings: Sequence[str], *, last_run: Run | None
) -> dict[str, Any]:
    """Return *job* with what is known of it here: what its task declares, and its variables."""
    variables, faults = environment(definition)
    shown_warnings = [*warnings, *faults]
    return show(job, definition, last_run, shown_warnings, declared(definition), variables)


def environment(definition: Definition) -> tuple[list[FileVariable], list[str]]:
    """Return the variables that files give to a command, and why they are not known here.

    The files of a worker on another machine may be others.
    """
    now = extension.current()
    has_files = bool(now.settings.tagged_env_files) and may(Action.SEE_ARGUMENTS)
    if not has_files or not registry.runs_shell(now.celery, definition.task):
        return [], []
    try:
        found = env_files.variables_for(now.settings, definition.tags)
    except EnvFileFault as fault:
        return [], [f"{fault} Runs fail on workers where that is so."]
    own = definition.kwargs.get("env") or {}
    return [FileVariable(name=v.name, file=str(v.file)) for v in found if v.name not in own], []


def of_effects(effects: Sequence[DryRun]) -> list[dict[str, Any]]:
    """Return what each of *effects* makes of a job, as a dry run answers."""
    with unlocked() as reader:
        last = listing.last_runs(reader, [one.job.id for one in effects])
    return [
        {
            "job": document(
                one.job, one.definition, one.job_warnings, last_run=last.get(one.job.id)
            ),
            "effect": show_effect(one),
        }
        for one in effects
    ]


def of_list(listed: Sequence[tuple[Job, Position]], *, with_recent: bool) -> list[dict[str, Any]]:
    """Return the jobs of a page; *with_recent* each with its last runs."""
    jobs = [job for job, _ in listed]
    documents = of(jobs)
    if with_recent:
        recent = recent_runs(session(), [job.id for job in jobs])
        for job, document in zip(jobs, documents, strict=True):
            document["recent"] = show_recent(recent.get(job.id, []))
    return documents


def declared(definition: Definition) -> dict[str, Any]:
    """Return the fields that the code of a job's task declares now."""
    return dict(registry.declaration(extension.current().celery, definition.task).fields)
