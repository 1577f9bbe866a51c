"""The changes of a job: its revisions, two of them compared, and one restored."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug import Response as BaseResponse

from jobs_app.accounts.permissions import Action
from jobs_app.core.document_diff import Difference, differences
from jobs_app.core.errors import BadRequest, JobsError, NotFound
from jobs_app.core.text import shortened
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import revisions
from jobs_app.jobs.document import in_same_field
from jobs_app.web import job_commands
from jobs_app.web.api.schemas.dump import shown_job_kwargs
from jobs_app.web.api.schemas.job_output import shown_schedules
from jobs_app.web.pages import frame, job_editor
from jobs_app.web.pages.job import job_named
from jobs_app.web.session import session, unlocked

page = Blueprint("job_changes_page", __name__)

#: Revisions that are shown: all that are kept.
SHOWN = revisions.MAX_REVISIONS


@page.get("/jobs/<name>/changes")
def show(name: str) -> Response:
    """List the changes of a job, the newest first."""
    job = job_named(name)
    found = revisions.page(session(), job, before=None, limit=SHOWN)
    return frame.render("changes.html", job=job, revisions=found)


@page.get("/jobs/<name>/changes/<int(max=2147483647):number>")
def compare(name: str, number: int) -> Response:
    """Show a revision beside another one: the one before unless `with` names one."""
    return _compare(job_named(name), number)


@page.post("/jobs/<name>/changes/<int(max=2147483647):number>/restore")
def restore(name: str, number: int) -> BaseResponse:
    """Save a job again as it was in a revision."""
    job = job_named(name)
    with unlocked() as reader:
        revision = revisions.get(reader, job, number)
    try:
        document = revisions.restorable(revision.definition, job.kwargs)
        definition = job_editor.definition_from(document)
        changed = job_commands.change(job, definition, version=_version(job), restored=number)
    except NotFound:
        raise
    except JobsError as error:
        return _compare(job, number, error)
    return frame.goto("job_page.show", name=changed.name)


def _version(job: Job) -> int:
    """Return the version that the person has seen; a later change must not be undone unseen."""
    text = request.form.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else job.version


def _compare(job: Job, number: int, error: JobsError | None = None) -> Response:
    with unlocked() as reader:
        all_revisions = revisions.page(reader, job, before=None, limit=SHOWN)
        revision = revisions.get(reader, job, number)
        other = _other(all_revisions, number)
        before = None if other is None else revisions.get(reader, job, other)
    after = _shown(revision)
    documents = in_same_field({} if before is None else _shown(before), after)
    found = differences(*documents)
    return frame.render(
        "change.html",
        status=200 if error is None else 409,
        job=job,
        revision=revision,
        before=before,
        differences=[_texts(difference) for difference in found],
        revisions=[other for other in all_revisions if other.number != number],
        is_newest=bool(all_revisions) and all_revisions[0].number == number,
        error=error,
        at_version=job.version,
        needed=Action.WRITE_JOBS,
    )


def _other(all_revisions: list[JobRevision], number: int) -> int | None:
    """Return the number of the revision to compare with, None for the first one."""
    numbers = [revision.number for revision in all_revisions]
    if chosen := request.values.get("with", ""):
        if not (chosen.isascii() and chosen.isdecimal()):
            raise BadRequest("A revision is a number, as in ?with=2.", code="bad_parameter")
        if chosen.lstrip("0") not in map(str, numbers):
            sentence = f"There is no revision {shortened(chosen, 10)} to compare with."
            raise NotFound(sentence, code="revision_not_found")
        return int(chosen)
    return next((earlier for earlier in numbers if earlier < number), None)


def _shown(revision: JobRevision) -> dict[str, Any]:
    """Return the definition of a revision as the caller may see it."""
    definition: Mapping[str, Any] = revision.definition
    kwargs = shown_job_kwargs(definition["kwargs"])
    return {**definition, "kwargs": kwargs, **shown_schedules(definition)}


def _texts(difference: Difference) -> tuple[str, str, str]:
    before, after = frame.value_text(difference.before), frame.value_text(difference.after)
    return difference.name, before, after
