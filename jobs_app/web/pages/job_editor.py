"""The form of a job in one request: its texts, and the definition that it is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pydantic import ValidationError

from jobs_app.core.errors import FieldError
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.definition import definition_of, from_document
from jobs_app.jobs.document import Definition, as_json, in_one_field, schedules_as_json
from jobs_app.runs.retention import Retention
from jobs_app.tasks import registry
from jobs_app.web import extension
from jobs_app.web.api.schemas.base import raise_invalid, refuse_unstorable
from jobs_app.web.api.schemas.job_input import JobIn
from jobs_app.web.api.schemas.job_output import shown_schedules
from jobs_app.web.pages import job_document, notify_fields, schedule_fields, zones
from jobs_app.web.pages.argument_fields import Schema
from jobs_app.web.pages.job_fields import Defaults

#: The arguments of a task that nobody knows: any.
ANY_ARGUMENTS: Schema = {"type": "object"}

#: The task of a new job.
FIRST_TASK = registry.SHELL


@dataclass(frozen=True, slots=True)
class Editor:
    """The texts of a form, what they are read with, and the document that they are.

    `errors` are those of texts that stand for no value.
    """

    values: Mapping[str, str]
    schema: Schema
    defaults: Defaults
    tasks: list[str]
    document: dict[str, Any]
    errors: list[FieldError] = field(default_factory=list)

    @classmethod
    def of_values(cls, sent: Mapping[str, str]) -> Self:
        """Return the form with the texts that a browser sent."""
        values = schedule_fields.compact(notify_fields.compact(sent))
        tasks = registry.names(extension.current().celery)
        task = job_document.task_of(values, tasks)
        schema, defaults = _schema(task), defaults_of(task)
        document, errors = job_document.document_from(values, schema, defaults, tasks=tasks)
        return cls(values, schema, defaults, tasks, document, errors)

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Self:
        """Return the form of *document*."""
        tasks = registry.names(extension.current().celery)
        task = document.get("task")
        task = task if isinstance(task, str) else ""
        schema, defaults = _schema(task), defaults_of(task)
        values = job_document.texts_of(
            document, schema, defaults, zone=zones.current().key, tasks=tasks
        )
        return cls(values, schema, defaults, tasks, document)


def with_values(editor: Editor, values: Mapping[str, str]) -> Editor:
    """Return the form with other texts in some controls, read anew."""
    return Editor.of_values({**editor.values, **values})


def _schema(task: str) -> Schema:
    info = registry.task_info(extension.current().celery, task)
    return ANY_ARGUMENTS if info is None else info.schema


def defaults_of(task: str) -> Defaults:
    """Return the values of the fields that a job with *task* leaves out."""
    parts = extension.current()
    plain = from_document({"task": task}, parts.settings, name="", app=parts.celery)
    document = as_json(plain)
    del document["name"], document["kwargs"]
    timezone = registry.declaration(parts.celery, task).timezone or parts.settings.timezone
    return Defaults(document, asdict(Retention().limits(parts.settings)), timezone)


def document_of(job: Job) -> dict[str, Any]:
    """Return the document of *job*, as a PUT has it."""
    return plain_document(definition_of(job))


def plain_document(definition: Definition) -> dict[str, Any]:
    """Return *definition* as a PUT has it: JSON, with the fields of its kinds of schedules."""
    shown = shown_schedules(schedules_as_json(definition.schedule))
    schedules = [
        {name: value for name, value in schedule.items() if value is not None}
        for schedule in shown["schedules"]
    ]
    first = schedules[0] if schedules else None
    return in_one_field(as_json(definition) | {"schedule": first, "schedules": schedules})


def new_document(task: str | None) -> dict[str, Any]:
    """Return the document that a new job begins with."""
    return {"task": task or FIRST_TASK, "schedule": {"cron": ""}, "kwargs": {}}


def definition_from(document: Mapping[str, Any]) -> Definition:
    """Return the definition of *document*, checked as the API checks it; raises InvalidInput."""
    refuse_unstorable(document)
    try:
        body = JobIn.model_validate(document)
    except ValidationError as error:
        raise_invalid(error)
    parts = extension.current()
    return body.definition(parts.settings, name=body.name, app=parts.celery)
