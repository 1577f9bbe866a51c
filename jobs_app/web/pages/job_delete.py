"""Deleting a job, and taking its last change back."""

from flask import Blueprint, Response, request
from werkzeug import Response as BaseResponse

from jobs_app.core.errors import Conflict, NotFound, StaleVersion
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import revisions
from jobs_app.web import job_commands, job_rights
from jobs_app.web.api.jobs import find_job
from jobs_app.web.pages import frame, job_editor
from jobs_app.web.session import unlocked

page = Blueprint("job_delete_page", __name__)


@page.get("/jobs/<name>/delete")
def ask(name: str) -> Response:
    """Ask, and say what is kept."""
    job = find_job(name)
    job_rights.check_delete(job, to_purge=False)
    return frame.render("job_delete.html", job=job, sentence=None, is_purge=False)


@page.post("/jobs/<name>/delete")
def delete(name: str) -> BaseResponse:
    """Delete the job, with its history if the form says so."""
    to_purge = "purge" in request.form
    try:
        job_commands.delete(find_job(name), version=sent_version(), to_purge=to_purge)
    except StaleVersion:
        sentence = "Somebody changed the job in the meantime: look at it before you delete it."
        return _asked_again(find_job(name), sentence, 412, is_purge=to_purge)
    except Conflict as error:
        return _asked_again(find_job(name), error.detail, 409, is_purge=to_purge)
    return frame.goto("jobs_page.show")


def _asked_again(job: Job, sentence: str, status: int, *, is_purge: bool) -> Response:
    return frame.render(
        "job_delete.html", status=status, job=job, sentence=sentence, is_purge=is_purge
    )


@page.post("/jobs/<name>/undo")
def undo(name: str) -> BaseResponse:
    """Save the job as it was before the revision that the form names, if that is the newest."""
    job, version = find_job(name), sent_version()
    with unlocked() as reader:
        earlier = revisions.page(reader, job, before=version, limit=1)
        if not earlier:
            raise NotFound(f"{job.name!r} has no earlier revision.", code="revision_not_found")
        revision = revisions.get(reader, job, earlier[0].number)
    document = revisions.restorable(revision.definition, job.kwargs)
    definition = job_editor.definition_from(document)
    changed = job_commands.change(job, definition, version=version, restored=revision.number)
    return frame.goto("job_page.show", name=changed.name, saved=changed.version)


def sent_version() -> int:
    """Return the version that the form was made from; 0, which no job has, for any other text."""
    text = request.form.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
