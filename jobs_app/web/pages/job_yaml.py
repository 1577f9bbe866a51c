"""A job as YAML: the same document, and the line of each of its errors."""

from collections.abc import Iterable, Mapping
from typing import Any

from jobs_app.core import yaml_text
from jobs_app.core.errors import FieldError, JobsError
from jobs_app.core.yaml_values import Unreadable, read_values
from jobs_app.web.api.schemas.job_input import listed
from jobs_app.web.pages import form_errors, job_editor
from jobs_app.web.pages.job_fields import NESTED, Defaults

Lines = list[tuple[int | None, str]]


def written(document: Mapping[str, Any], defaults: Defaults) -> str:
    """Return *document* as YAML, with the defaults of the fields that it leaves out."""
    first = {name: document[name] for name in ("name", "task", "kwargs") if name in document}
    whole = {**first, **_plain(defaults.document), **document}
    if "schedules" in document:
        # It stands in the place of the default, no schedule.
        del whole["schedule"]
    for name in NESTED:
        if isinstance(document.get(name), Mapping):
            whole[name] = {**defaults.document[name], **document[name]}
    return yaml_text.write(_plain(whole))


def _plain(value: Any) -> Any:
    """Return *value* with enumerations as their texts."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def read(text: str) -> tuple[dict[str, Any] | None, str, Lines]:
    """Return the document in *text*, the pointer of it in the text, and what is wrong.

    A list of one job is a job, too: `jobs-app job export` writes one.
    """
    try:
        value = read_values(text)
    except Unreadable as error:
        return None, "", [(None, str(error))]
    prefix = ""
    if isinstance(value, list) and len(value) == 1:
        value, prefix = value[0], "/0"
    if not isinstance(value, dict):
        return None, "", [(None, "This must be one job: a mapping of its fields.")]
    return value, prefix, []


def faults(text: str, document: Mapping[str, Any], prefix: str) -> Lines:
    """Return what the API's schema says against *document*, by the lines of *text*."""
    try:
        job_editor.definition_from(document)
    except JobsError as error:
        return located(error, text, prefix)
    return []


def located(error: JobsError, text: str, prefix: str) -> Lines:
    """Return the errors of *error*, each with its line in *text*."""
    errors = error.errors or (FieldError("", error.code, error.detail),)
    return at_lines(errors, text, prefix)


def at_lines(errors: Iterable[FieldError], text: str, prefix: str) -> Lines:
    """Return *errors*, each with its line in *text*."""
    lines = yaml_text.lines_of(text)
    found = errors if f"{prefix}/schedule" in lines else listed(errors)
    return form_errors.at_lines(found, lines, prefix=prefix)
