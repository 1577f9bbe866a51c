"""Run now: what will run, with which arguments, and what happens if a run is unfinished."""

import secrets as random
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from werkzeug import Response as BaseResponse

from jobs_app.accounts.permissions import Action
from jobs_app.core.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidInput,
    JobsError,
    NotFound,
    refuse,
)
from jobs_app.core.states import OverlapPolicy, Trigger
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs.definition import definition_of
from jobs_app.runs import history
from jobs_app.schedules import timezones
from jobs_app.secrets import store
from jobs_app.tasks import registry
from jobs_app.tasks.task_info import TaskInfo
from jobs_app.web import extension
from jobs_app.web.api import preconditions
from jobs_app.web.api.jobs import start_now
from jobs_app.web.api.preconditions import FormRequest
from jobs_app.web.api.schemas.job_input import JobRunIn
from jobs_app.web.pages import confirmation, frame, policy_words, zones
from jobs_app.web.pages.argument_fields import argument_fields, argument_texts, arguments_from
from jobs_app.web.pages.form_fields import field_id
from jobs_app.web.pages.job import job_named
from jobs_app.web.pages.queries import validated
from jobs_app.web.permissions import may
from jobs_app.web.session import session

page = Blueprint("job_start_page", __name__)

#: Starts by hand whose arguments can be taken again.
LAST_STARTS = 5

CONFIRM_ID = {confirmation.POINTER: confirmation.FIELD}

#: Secrets whose names the form suggests.
MOST_SECRETS = 200


@page.get("/jobs/<name>/run")
def show(name: str) -> Response:
    """Ask with which arguments a job is to run."""
    job = job_named(name)
    like = _like(job, request.args.get("like"))
    return _show(job, _texts(job, like), key=random.token_urlsafe(16))


@page.post("/jobs/<name>/run")
def start(name: str) -> BaseResponse:
    """Run a job, once however often the form is sent, and lead to the run."""
    job, values = job_named(name), request.form.to_dict()
    key = values.get("key", "") or random.token_urlsafe(16)
    try:
        confirmation.check(job, values)
        body = validated(JobRunIn, _document(job, values))
        form = FormRequest(key, body.model_dump(mode="json"))
        answer = preconditions.once(
            lambda: start_now(name, body), check=lambda: job_named(name), form=form
        )
    except (InvalidInput, Conflict, Forbidden) as error:
        return _show(job, values, key=random.token_urlsafe(16), error=error)
    return frame.goto("run_page.show", run_id=answer.get_json()["id"])


def _document(job: Job, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the form as the API would be sent it; raises InvalidInput for texts it cannot read."""
    kwargs, errors = arguments_from(_info(job).schema, values, _asked(job))
    refuse(errors)
    known = job.kwargs if may(Action.SEE_ARGUMENTS) else {}
    changed = {n: v for n, v in kwargs.items() if n not in known or _differ(v, known[n])}
    document: dict[str, Any] = {"kwargs": changed}
    for name in ("note", "overlap_policy"):
        if values.get(name, "").strip():
            document[name] = values[name].strip()
    return document


def _differ(value: Any, other: Any) -> bool:
    """Tell whether two values of JSON differ: 1 and true do."""
    return value != other or type(value) is not type(other)


def _asked(job: Job) -> list[str] | None:
    """Return the arguments that the caller may set; None: all."""
    is_command = registry.runs_commands(extension.current().celery, job.task)
    needed = Action.WRITE_COMMANDS if is_command else Action.START_WITH_ARGUMENTS
    return None if may(needed) else list(job.run_arguments or ())


def _info(job: Job) -> TaskInfo:
    known = registry.task_info(extension.current().celery, job.task)
    return known or TaskInfo(job.task, "", {"type": "object"}, [], {}, [])


def _texts(job: Job, like: Run | None) -> dict[str, str]:
    """Return the texts of the form at first: the arguments of the job, or of an earlier run."""
    kwargs: Mapping[str, Any] = {}
    if may(Action.SEE_ARGUMENTS):
        kwargs = job.kwargs if like is None else like.kwargs
    texts = argument_texts(_info(job).schema, kwargs, zone=zones.current().key, only=_asked(job))
    return texts | ({"note": like.note} if like is not None and like.note else {})


def _like(job: Job, text: str | None) -> Run | None:
    """Return the earlier run whose arguments are to be taken, None if the address names none.

    A run of an earlier task of the job has other arguments: it is left out.
    """
    if not text:
        return None
    try:
        run_id = UUID(text)
    except ValueError as error:
        sentence = "A run is named by its id, as its page shows it."
        raise BadRequest(sentence, code="bad_parameter") from error
    run = history.get(session(), run_id)
    if run.job_id != job.id:
        raise NotFound(f"{job.name!r} has no such run.", code="run_not_found")
    return run if run.task == job.task else None


def _show(
    job: Job, values: Mapping[str, str], *, key: str, error: JobsError | None = None
) -> Response:
    errors: dict[str, list[str]] = {}
    for field_error in error.errors if error is not None else ():
        errors.setdefault(field_error.pointer, []).append(field_error.detail)
    asked = _asked(job)
    fields = argument_fields(_info(job).schema, values, asked, errors)
    ticked = [field for field in fields if field.spec.label in (job.run_arguments or ())]
    others = [field for field in fields if field not in ticked]
    ids = {field.name: field_id(field.name) for field in fields} | CONFIRM_ID
    summary = [(ids.get(e.pointer), e.detail) for e in (error.errors if error is not None else ())]
    if error is not None and not summary:
        summary = [(None, error.detail)]
    definition = definition_of(job)
    return frame.render(
        "run_now.html",
        status=200 if error is None else 409 if isinstance(error, Conflict) else 422,
        job=job,
        key=key,
        is_asked=confirmation.is_asked(job),
        confirm_errors=errors.get(confirmation.POINTER, []),
        ticked=ticked,
        others=others,
        asked=asked,
        values=values,
        summary=summary,
        facts=policy_words.facts(definition),
        overlap=policy_words.START_OVERLAP[definition.fire_policy.overlap_policy],
        policies={str(policy): policy_words.START_OVERLAP[policy] for policy in OverlapPolicy},
        last_starts=_last_starts(job),
        zone_names=sorted(timezones.names()),
        secret_names=_secret_names(),
    )


def _last_starts(job: Job) -> list[Run]:
    """Return the last starts by hand, for whoever may see their arguments."""
    if not may(Action.SEE_ARGUMENTS):
        return []
    by_hand = history.Filter(job=job.name, triggers=(Trigger.MANUAL,))
    runs, _ = history.page(session(), by_hand, before=None, limit=LAST_STARTS)
    return [run for run in runs if run.job_id == job.id and run.task == job.task]


def _secret_names() -> list[str]:
    if not may(Action.SEE_SECRETS):
        return []
    return [secret.name for secret in store.page(session(), after=None, limit=MOST_SECRETS)]
