"""What the template of the form of a job shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import url_for
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.accounts.permissions import Action
from jobs_app.core.errors import FieldError, JobsError
from jobs_app.db.errors import is_outage
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.definition import never_asked
from jobs_app.notifications import channels
from jobs_app.schedules import timezones
from jobs_app.schedules.union import MAX_SCHEDULES
from jobs_app.secrets import store
from jobs_app.web import extension, job_commands
from jobs_app.web.pages import (
    argument_fields,
    form_errors,
    form_fields,
    job_document,
    job_editor,
    job_fields,
    job_preview,
    job_sections,
    notify_fields,
    schedule_fields,
)
from jobs_app.web.pages.form_values import TICK, Kind
from jobs_app.web.pages.job_editor import Editor
from jobs_app.web.permissions import may
from jobs_app.web.session import unlocked

#: Secrets whose names the form suggests.
MOST_SECRETS = 500


def all_errors(editor: Editor, job: Job | None) -> list[FieldError]:
    """Return the errors of texts, and those of the document that do not follow from them."""
    checked = schedule_fields.at_controls(document_errors(editor.document, job))
    return form_errors.combined(editor.errors, checked)


#: Values with which the other fields can be checked while these are not valid.
STAND_INS: dict[str, Any] = {"name": "checked-without-a-name", "schedule": {"cron": "0 0 1 1 *"}}


def document_errors(document: Mapping[str, Any], job: Job | None) -> list[FieldError]:
    """Return the errors of *document* that the API would name one after the other.

    A field that is not valid is checked no further, and hides no error of another one.
    """
    checked, found, wrong = dict(document), list[FieldError](), set[str]()
    # Without the task nobody knows the arguments; an error of the whole hides all others.
    while not wrong & {"", "task"}:
        errors = [error for error in _errors(checked, job) if _field(error) not in wrong]
        if not errors:
            break
        found += errors
        wrong |= {_field(error) for error in errors}
        checked = {name: value for name, value in checked.items() if name not in wrong}
        checked |= {name: value for name, value in STAND_INS.items() if name in wrong}
    return found


def _errors(document: Mapping[str, Any], job: Job | None) -> Sequence[FieldError]:
    """Return the errors that the API would answer with; none where the database is down."""
    try:
        job_commands.effect(job_editor.definition_from(document), job=job)
    except JobsError as error:
        return error.errors
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
    return ()


def _field(error: FieldError) -> str:
    """Return the field of the document that *error* is about."""
    return error.pointer.split("/")[1] if error.pointer else error.missing or ""


def names(editor: Editor) -> set[str]:
    """Return the names of all controls."""
    schedule_count = schedule_fields.count(editor.values)
    specs = [
        *job_fields.name_spec(tasks=()),
        *job_fields.job_specs(job_document.PLAIN, editor.defaults),
        *schedule_fields.specs(schedule_count),
        *argument_fields.argument_specs(editor.schema),
    ]
    for index in range(notify_fields.rule_count(editor.values)):
        specs += job_fields.rule_specs(index, ())
    groups = {"/notify", "/kwargs", "/run_arguments", "/retry/on"}
    schedules = {schedule_fields.control_of(index) for index in range(schedule_count)}
    return {spec.name for spec in specs} | groups | schedules


def context(
    editor: Editor,
    job: Job | None,
    errors: Mapping[str, Sequence[str]],
    *,
    is_changed: bool = False,
    is_previewed: bool = False,
) -> dict[str, Any]:
    """Return what `job_form.html` shows of a form, with *errors* by the names of fields."""
    values = editor.values
    shown = {
        "job": job,
        "version": values.get("version") or (job.version if job else ""),
        "values": values,
        "errors": errors,
        "summary": form_errors.summary(errors),
        "sections": job_sections.sections(values, editor.document, editor.defaults, errors),
        "ticked": lambda pointer, name: f"{TICK}{pointer}/{name}" in values,
        "zones": sorted(timezones.names()),
        "default_zone": editor.defaults.timezone,
        "is_changed": is_changed,
        "target": target(job),
    }
    effect = previewed(editor, job) if is_previewed else {"preview": None}
    return {**shown, **_arguments(editor, errors), **_choices(editor, errors), **effect}


def target(job: Job | None) -> str:
    """Return the address that the form is sent to."""
    if job is None:
        return url_for("job_form_page.save_new")
    return url_for("job_form_page.save", name=job.name)


def _arguments(editor: Editor, errors: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the task and the fields of its arguments; those of another task stay hidden."""
    values, tasks = editor.values, tuple(editor.tasks)
    name, task = form_fields.bound(job_fields.name_spec(tasks=tasks), values, errors)
    fields = argument_fields.argument_fields(editor.schema, values, errors=errors)
    own = {field.name for field in fields}
    specs = (job_document.ALL_ARGUMENTS, argument_fields.OTHERS, job_document.MORE_ASKED)
    whole, others, more = form_fields.bound(specs, values, errors)
    return {
        "name": name,
        "task": task,
        "arguments": fields,
        "all_arguments": whole,
        "others": others if argument_fields.takes_others(editor.schema) or others.text else None,
        "more_asked": more,
        "hidden": [
            (control, text)
            for control, text in values.items()
            if job_document.is_argument(control) and job_document.owner_of(control) not in own
        ],
        "types_json": job_document.types_json(values),
        "never_asked": never_asked(extension.current().celery, job_document.task_of(values, tasks)),
    }


def _choices(editor: Editor, errors: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the schedule, and who is notified."""
    values = editor.values
    secrets, known = _suggestions()
    count = notify_fields.rule_count(values) + notify_fields.MORE_RULES
    return {
        "secrets": secrets,
        "schedules": [
            schedule_block(index, values, errors) for index in range(schedule_fields.count(values))
        ],
        "most_schedules": MAX_SCHEDULES,
        "rules": [
            form_fields.bound(job_fields.rule_specs(index, known), values, errors)
            for index in range(min(count, notify_fields.MOST_RULES))
        ],
        "channels": known,
        "events": job_fields.EVENTS,
        "retried": job_fields.ticks_of("on"),
        "notify_choices": notify_fields.NOTIFY_CHOICES,
    }


def schedule_block(
    index: int, values: Mapping[str, str], errors: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return what the form shows of the schedule at *index*."""
    control = schedule_fields.control_of(index)
    fields = form_fields.bound(job_fields.schedule_specs(control), values, errors)
    by_name = {field.name.rpartition("/")[2]: field for field in fields}
    kinds = dict(job_fields.SCHEDULE_KINDS)
    chosen = values.get(control, "cron")
    if schedule_fields.count(values) > 1 and chosen != schedule_fields.MANUAL:
        del kinds[schedule_fields.MANUAL]
    more = [by_name[name] for name in ("start_at", "end_at", "anchor_at", "jitter_seconds")]
    return {
        "control": control,
        "id": form_fields.field_id(control),
        "fields": by_name,
        "kinds": kinds,
        "kind": chosen,
        "is_open": any(field.errors or field.text not in ("", "0") for field in more),
    }


def _suggestions() -> tuple[list[str], tuple[str, ...]]:
    """Return the names of secrets and channels; none while the database does not answer."""
    try:
        with unlocked() as reader:
            secrets = store.page(reader, after=None, limit=MOST_SECRETS)
            names = [secret.name for secret in secrets] if may(Action.SEE_SECRETS) else []
            return names, tuple(channels.names(reader))
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        return [], ()


def previewed(editor: Editor, job: Job | None) -> dict[str, Any]:
    """Return what `job_preview.html` shows of a form."""
    shown = job_preview.preview(editor.document, job)
    checked = schedule_fields.at_controls(shown.errors)
    errors = form_errors.combined(editor.errors, checked)
    found = form_errors.by_field(errors, names(editor))
    schedules = schedule_fields.specs(schedule_fields.count(editor.values))
    specs = [*schedules, *argument_fields.argument_specs(editor.schema)]
    return {
        "preview": shown,
        "problems": form_errors.summary(found),
        "instants": [
            field for field in form_fields.bound(specs, editor.values) if field.kind is Kind.INSTANT
        ],
    }
