"""Jobs as the API returns them, with their last runs and their warnings."""

from collections.abc import Sequence
from typing import Any

from jobs_app.accounts.permissions import Action
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import listing
from jobs_app.jobs.definition import definition_of
from jobs_app.jobs.document import Definition
from jobs_app.jobs.listing import Position
from jobs_app.jobs.warnings import warnings_for
from jobs_app.runs.recent import recent_runs
from jobs_app.tasks import registry
from jobs_app.web import extension
from jobs_app.web.api.schemas.job_output import show, show_recent
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
        show(job, definition, last.get(job.id), job_warnings, declared(definition))
        for job, definition, job_warnings in zip(jobs, definitions, warnings, strict=True)
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
