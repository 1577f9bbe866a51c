"""Pausing a job and resuming it: each is a page that asks first."""

from collections.abc import Mapping
from typing import get_args

from flask import Blueprint, Response
from werkzeug import Response as BaseResponse

from jobs_app.core import clock
from jobs_app.core.errors import Conflict, InvalidInput, JobsError, refuse
from jobs_app.core.states import RunState
from jobs_app.core.text import counted
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.jobs.dry_run import DryRun
from jobs_app.jobs.service import OnMissed
from jobs_app.web import job_commands
from jobs_app.web.api.schemas.job_input import PauseIn, ResumeIn
from jobs_app.web.pages import frame, zones
from jobs_app.web.pages.form_values import Unreadable, instant_from, unreadable
from jobs_app.web.pages.job import job_named, zones_of
from jobs_app.web.pages.queries import sent_fields, validated

page = Blueprint("job_actions_page", __name__)


@page.get("/jobs/<name>/pause")
def pause(name: str) -> Response:
    """Ask why a job is to be paused."""
    return _show_pause(job_named(name), {})


@page.post("/jobs/<name>/pause")
def do_pause(name: str) -> BaseResponse:
    """Pause a job."""
    job, sent = job_named(name), sent_fields("reason", "until")
    try:
        body = validated(PauseIn, {**sent, **_until(sent)})
        job_commands.pause(job, reason=body.reason, until=body.until)
    except (InvalidInput, Conflict) as error:
        return _show_pause(job, sent, error)
    return frame.goto("job_page.show", name=name)


def _until(sent: Mapping[str, str]) -> dict[str, str]:
    """Return the end of the pause as the API takes it; raises InvalidInput."""
    if "until" not in sent:
        return {}
    try:
        return {"until": instant_from(sent["until"], zones.current().key)}
    except Unreadable as error:
        refuse([unreadable("/until", error)])
        raise


def _show_pause(job: Job, sent: Mapping[str, str], error: JobsError | None = None) -> Response:
    fires = service.next_fires(job, after=clock.now(), count=3)
    return frame.render(
        "pause.html",
        status=200 if error is None else 422,
        job=job,
        sent=sent,
        error=error,
        fires=fires,
        fire_zones=zones_of(job.timezone),
    )


@page.get("/jobs/<name>/resume")
def resume(name: str) -> Response:
    """Ask what becomes of the fires that the pause kept from running."""
    return _show_resume(job_named(name), "skip")


@page.post("/jobs/<name>/resume")
def do_resume(name: str) -> BaseResponse:
    """Resume a job."""
    job, sent = job_named(name), sent_fields("on_missed")
    try:
        body = validated(ResumeIn, sent)
        job_commands.resume(job, on_missed=body.on_missed)
    except (InvalidInput, Conflict) as error:
        return _show_resume(job, sent.get("on_missed", "skip"), error)
    return frame.goto("job_page.show", name=name)


def _show_resume(job: Job, on_missed: str, error: JobsError | None = None) -> Response:
    at = clock.now()
    effects = [
        (choice, job_commands.resume_effect(job, on_missed=choice, at=at))
        for choice in get_args(OnMissed)
    ]
    return frame.render(
        "resume.html",
        status=200 if error is None else 422,
        job=job,
        on_missed=on_missed,
        error=error,
        effects=[(choice, *resume_words(choice, effect)) for choice, effect in effects],
        fires=effects[0][1].fires_after[:3],
        fire_zones=zones_of(job.timezone),
    )


def resume_words(on_missed: str, effect: DryRun) -> tuple[str, str]:
    """Return what a choice is called, and what it would do now."""
    names = {
        "skip": "Skip the fires of the pause",
        "last": "Run the last of them",
        "all": "Run all of them, as far as the job catches up",
    }
    queued = effect.recorded_runs.get(RunState.QUEUED, 0)
    waiting = effect.recorded_runs.get(RunState.WAITING, 0)
    if not queued + waiting:
        return names[on_missed], "Nothing runs now."
    behind = f", and {counted(waiting, 'run')} behind" if waiting else ""
    return names[on_missed], f"Now: {counted(queued, 'run')}{behind}."
