"""The switch of a job that only watches: a page that asks first, then it runs."""

from dataclasses import replace

from flask import Blueprint, Response
from werkzeug import Response as BaseResponse

from jobs_app.core import clock
from jobs_app.core.errors import Conflict, InvalidInput, JobsError, StaleVersion
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import observation, service
from jobs_app.jobs.definition import definition_of
from jobs_app.web import job_commands
from jobs_app.web.pages import frame
from jobs_app.web.pages.job import job_named, zones_of
from jobs_app.web.pages.job_delete import sent_version
from jobs_app.web.session import session

page = Blueprint("job_observe_page", __name__)


@page.get("/jobs/<name>/activate")
def ask(name: str) -> Response:
    """Show what the job has observed and what it would run next, and ask."""
    return _show(job_named(name))


@page.post("/jobs/<name>/activate")
def activate(name: str) -> BaseResponse:
    """Let the job run from its next fire on."""
    job = job_named(name)
    definition = replace(definition_of(job), observe=False)
    try:
        changed = job_commands.change(job, definition, version=sent_version())
    except StaleVersion:
        sentence = "Somebody changed the job in the meantime: look at it before you start it."
        return _show(job_named(name), sentence, 412)
    except (InvalidInput, Conflict) as error:
        return _show(job_named(name), _sentence(error), 422)
    return frame.goto("job_page.show", name=name, saved=changed.version)


def _sentence(error: JobsError) -> str:
    return " ".join(one.detail for one in error.errors) or error.detail


def _show(job: Job, sentence: str | None = None, status: int = 200) -> Response:
    at = clock.now()
    return frame.render(
        "activate.html",
        status=status,
        job=job,
        sentence=sentence,
        observed=observation.of_job(session(), job, at=at),
        fires=service.next_fires(job, after=at, count=3),
        fire_zones=zones_of(job.timezone),
    )
