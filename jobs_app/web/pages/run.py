"""The page of one run, and the forms that cancel or repeat it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select
from werkzeug import Response as BaseResponse

from jobs_app.core import clock
from jobs_app.core.errors import Conflict, FieldError, InvalidInput, refuse
from jobs_app.core.states import RunState, Wait
from jobs_app.core.web_address import public_address
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.runs import Run
from jobs_app.notifications import history as notification_history
from jobs_app.runs import job_history
from jobs_app.runs.same_error import same_error
from jobs_app.tasks import registry
from jobs_app.web import extension, job_rights
from jobs_app.web.api import preconditions, runs
from jobs_app.web.api.jobs import accepted
from jobs_app.web.api.preconditions import FormRequest
from jobs_app.web.api.schemas.dump import shown_result
from jobs_app.web.api.schemas.run_detail import MOST_NOTIFICATIONS
from jobs_app.web.api.schemas.runs import (
    CancelIn,
    RunRetryIn,
    attempts_of,
)
from jobs_app.web.api.shown_runs import shown_run
from jobs_app.web.pages import argument_fields, confirmation, form_fields, frame, run_log, run_view
from jobs_app.web.pages.form_fields import Field
from jobs_app.web.pages.parameters import choice
from jobs_app.web.pages.queries import sent_fields, validated
from jobs_app.web.session import reading, session

page = Blueprint("run_page", __name__)


@page.get("/runs/<run_id>")
def show(run_id: str) -> Response:
    """Show a run: how it went, why, and its log."""
    run = runs.get_run(run_id)
    choice("part", run_log.PARTS)
    attempt = run_log.attempt_of(run)
    end = "" if frame.is_poll() else run_log.plain_end(run, attempt)
    return frame.show(
        "run.html",
        lambda: _build(run),
        run=run,
        attempt=attempt,
        plain_end=end,
        log_words=run_log.WORDS,
        most_lines=run_log.MOST_LINES,
    )


def _build(run: Run) -> Mapping[str, Any]:
    filters = notification_history.NotificationFilter(run_id=run.id)
    messages = notification_history.page(session(), filters, before=None, limit=MOST_NOTIFICATIONS)
    shown, attempts = shown_run(session(), run), attempts_of(run)
    asked_at = _asked_at(run)
    kill_at = run_view.kill_at(run, asked_at)
    segments = run_view.segments(run, attempts, at=clock.now())
    older, newer = job_history.beside(session(), run)
    return {
        "older": older,
        "newer": newer,
        "revision": runs.revision_of(run),
        "same_error": same_error(session(), run),
        "shown": shown,
        "attempts": attempts,
        "segments": segments,
        "line_text": run_view.line_text(segments),
        "result": run_view.tree(shown["result"]),
        "arguments": run_view.tree(shown["kwargs"]),
        "messages": list(reversed(messages)),
        "why": run_view.why(run),
        "waits_for": None if shown["waits_for"] is None else Wait(shown["waits_for"]).words,
        "reason": run_view.reason(run),
        "asked_at": asked_at,
        "kill_at": kill_at,
        "is_kill_due": kill_at is not None and kill_at < clock.now(),
        "can_cancel": run_view.can_cancel(run),
        "api": f"{public_address(extension.current().settings)}/api/v1/runs/{run.id}",
    }


def _asked_at(run: Run) -> datetime | None:
    """Return when somebody asked a running run to end."""
    if run.state is not RunState.RUNNING or run.cancel_mode is None:
        return None
    # The newest events are read first, and this one is seconds old.
    events = select(AuditEvent.at).where(AuditEvent.run_id == run.id, AuditEvent.action == "cancel")
    return session().scalar(events.order_by(AuditEvent.id.desc()).limit(1))


@page.get("/runs/<run_id>/result.json")
def result(run_id: str) -> Response:
    """Return the whole result of a run."""
    return jsonify(shown_result(runs.get_run(run_id).result))


@page.get("/runs/<run_id>/cancel")
def ask_cancel(run_id: str) -> Response:
    """Ask how to end a run."""
    return frame.render("run_cancel.html", run=runs.get_run(run_id), errors=[], values={})


@page.post("/runs/<run_id>/cancel")
def cancel(run_id: str) -> BaseResponse:
    """End a run, or ask its worker to."""
    run, values = runs.get_run(run_id), sent_fields("mode", "reason")
    try:
        body = validated(CancelIn, values)
        runs.end_run(run, body.mode, body.reason)
    except InvalidInput as error:
        return frame.render(
            "run_cancel.html", status=422, run=run, errors=error.errors, values=values
        )
    except Conflict as error:
        # It ended by itself meanwhile, as its page shows.
        if error.code != "run_over":
            raise
    return frame.goto("run_page.show", run_id=run_id)


@page.get("/runs/<run_id>/retry")
def ask_retry(run_id: str) -> Response:
    """Ask whether to repeat a run, and with which arguments."""
    return _retry_form(runs.get_run(run_id), {}, [])


@page.post("/runs/<run_id>/retry")
def retry(run_id: str) -> BaseResponse:
    """Repeat a run; pressed twice, the form leads to the same new run."""
    with reading() as reader:
        run = runs.get_run(run_id, reader)
    values = request.form.to_dict()
    try:
        confirmation.check(run.job, values)
        body = validated(RunRetryIn, {"kwargs": _arguments(run, values), **sent_fields("note")})
        form = FormRequest(values.get("key") or _new_key(), body.model_dump(mode="json"))
        answer = preconditions.once(
            lambda: accepted(runs.repeat_run(run_id, body)),
            check=lambda: runs.get_run(run_id),
            form=form,
        )
    except (InvalidInput, Conflict) as error:
        session().rollback()
        errors = error.errors or (FieldError("", error.code, error.detail),)
        return _retry_form(run, values, errors, status=422)
    return frame.goto("run_page.show", run_id=answer.get_json()["id"])


def _arguments(run: Run, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments that the form replaces; raises InvalidInput."""
    info = registry.task_info(extension.current().celery, run.task)
    schema = {} if info is None else info.schema
    only = job_rights.retry_arguments(run)
    kwargs, errors = argument_fields.arguments_from(schema, values, only)
    refuse(errors)
    return kwargs


def _retry_form(
    run: Run, values: Mapping[str, str], errors: Sequence[FieldError], *, status: int = 200
) -> Response:
    by_name: dict[str, list[str]] = {}
    for error in errors:
        by_name.setdefault(error.pointer, []).append(error.detail)
    fields = form_fields.bound(_specs(run), values, by_name)
    return frame.render(
        "run_retry.html",
        status=status,
        run=run,
        arguments=run_view.tree(shown_run(session(), run)["kwargs"]),
        fields=fields,
        values=values,
        key=_new_key(),
        is_asked=confirmation.is_asked(run.job),
        confirm_errors=[error.detail for error in errors if error.pointer == confirmation.POINTER],
        found=_summary(by_name, fields),
    )


def _new_key() -> str:
    return secrets.token_urlsafe(16)


def _summary(by_name: Mapping[str, list[str]], fields: list[Field]) -> list[tuple[str, str]]:
    """Return the errors, each with the id of the field that it is about, if there is one."""
    ids = {field.name: field.id for field in fields} | {
        "/note": "note",
        confirmation.POINTER: confirmation.FIELD,
    }
    return [(ids.get(name, ""), sentence) for name, found in by_name.items() for sentence in found]


def _specs(run: Run) -> list[form_fields.ControlSpec]:
    """Return the fields of the arguments that the caller may replace; blank ones stay."""
    info = registry.task_info(extension.current().celery, run.task)
    if info is None:
        return []
    only = job_rights.retry_arguments(run)
    specs = argument_fields.argument_specs(info.schema, only)
    kept = "as in this run"
    return [replace(spec, default=kept, is_required=False) for spec in specs]
