"""A job's document as the texts of a form, and back: exactly what the API would be sent.

Pure, no IO. The document is that of a PUT; fields at their defaults have no text, and are
left out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jobs_app.core.document_diff import is_other
from jobs_app.core.errors import FieldError
from jobs_app.web.pages import (
    argument_fields,
    form_fields,
    job_fields,
    notify_fields,
    schedule_fields,
)
from jobs_app.web.pages.argument_fields import Schema, read
from jobs_app.web.pages.form_fields import ControlSpec, tick_texts
from jobs_app.web.pages.form_values import (
    AS,
    UNSET,
    WAS,
    Kind,
    Unset,
    Values,
    json_text,
)
from jobs_app.web.pages.job_fields import SECTIONS, Defaults

#: All plain fields: those with a control of their own.
PLAIN = tuple(name for _, names in SECTIONS.values() for name in names)

#: The controls that choose how arguments are typed, and which are asked for.
KWARGS, RUN_ARGUMENTS = "/kwargs", "/run_arguments"

#: The control with the names of the arguments that have controls in the form.
SHOWN = "shown:/kwargs"

#: Arguments are typed as one JSON object.
ALL_ARGUMENTS = ControlSpec(KWARGS, "Arguments", (Kind.JSON,), expects="an object")

#: The names to ask for that are no fields of the form.
MORE_ASKED = ControlSpec(
    RUN_ARGUMENTS,
    "Also ask when run by hand",
    (Kind.WORDS,),
    help="Names of other arguments, divided by commas or spaces.",
)


# ---- a document as texts ----


def texts_of(
    document: Mapping[str, Any],
    schema: Schema,
    defaults: Defaults,
    *,
    zone: str,
    tasks: Sequence[str] = (),
) -> dict[str, str]:
    """Return the texts of the form of *document*; instants are shown in *zone*."""
    texts: dict[str, str] = {}
    for spec in job_fields.name_spec(tasks=tuple(tasks)):
        texts |= form_fields.texts_of(spec, document.get(spec.name[1:], UNSET), zone=zone)
    for spec in job_fields.job_specs(PLAIN, defaults):
        value, default = at(document, spec.name), default_of(spec, defaults)
        shown = UNSET if not isinstance(value, Unset) and not is_other(value, default) else value
        texts |= form_fields.texts_of(spec, shown, zone=zone)
    retried = at(document, "/retry/on")
    retried = defaults.document["retry"]["on"] if isinstance(retried, Unset) else retried
    texts |= tick_texts("/retry/on", retried) | {WAS + "/retry/on": json.dumps(retried)}
    texts |= schedule_fields.texts_of(document, zone=zone)
    texts |= notify_fields.texts_of(document.get("notify"), zone=zone)
    return texts | argument_texts(document, schema, zone=zone)


def at(document: Mapping[str, Any], pointer: str) -> Any:
    """Return the value of a plain field, UNSET if it is not there."""
    value: Any = document
    for name in pointer[1:].split("/"):
        value = value.get(name, UNSET) if isinstance(value, Mapping) else UNSET
    return value


def default_of(spec: ControlSpec, defaults: Defaults) -> Any:
    """Return the value of a field that the document leaves out."""
    return at(defaults.document, spec.name)


def argument_texts(document: Mapping[str, Any], schema: Schema, *, zone: str) -> dict[str, str]:
    kwargs, asked = document.get("kwargs", {}), list(document.get("run_arguments") or [])
    texts = {WAS + RUN_ARGUMENTS: json.dumps(asked)}
    if isinstance(kwargs, Mapping):
        texts |= argument_fields.argument_texts(schema, kwargs, zone=zone)
    else:
        texts |= {AS + KWARGS: Kind.JSON, KWARGS: json_text(kwargs)}
    names = [spec.label for spec in argument_fields.argument_specs(schema)]
    texts |= tick_texts(RUN_ARGUMENTS, [name for name in asked if name in names])
    others = [name for name in asked if name not in names]
    return texts | form_fields.texts_of(MORE_ASKED, others or UNSET, zone=zone)


# ---- texts as a document ----


def document_from(
    values: Values, schema: Schema, defaults: Defaults, *, tasks: Sequence[str] = ()
) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the document of the texts *values*, and the errors of texts that are no value."""
    document: dict[str, Any] = {}
    errors: list[FieldError] = []
    specs = [*job_fields.name_spec(tasks=tuple(tasks)), *job_fields.job_specs(PLAIN, defaults)]
    for spec in specs:
        value, error = read(spec, values)
        errors += error
        if not isinstance(value, Unset):
            _put(document, spec.name, value)
    retried = form_fields.ordered_ticks(values, "/retry/on", job_fields.ticks_of("on"))
    if is_other(sorted(retried), sorted(defaults.document["retry"]["on"])):
        _put(document, "/retry/on", retried)
    schedules, rules = schedule_fields.schedules_from(values), notify_fields.rules_from(values)
    for part in (_arguments(values, schema), schedules, rules):
        document |= part[0]
        errors += part[1]
    return document, errors


def _put(document: dict[str, Any], pointer: str, value: Any) -> None:
    *outer, name = pointer[1:].split("/")
    for part in outer:
        document = document.setdefault(part, {})
    document[name] = value


def _unsent(values: Values, specs: Sequence[ControlSpec]) -> list[FieldError]:
    """Return an error for each argument that the form had, and that was not sent.

    A sign-in in between keeps the form, but no field with the name of a secret.
    """
    try:
        shown = json.loads(values.get(SHOWN, "[]"))
    except ValueError:
        shown = []
    detail = "This was not kept while you signed in: type it again, and tick it if it was ticked."
    return [
        FieldError(spec.name, "not_sent", detail)
        for spec in specs
        if isinstance(shown, list) and spec.label in shown and spec.name not in values
    ]


def _arguments(values: Values, schema: Schema) -> tuple[dict[str, Any], list[FieldError]]:
    specs = argument_fields.argument_specs(schema)
    names = [spec.label for spec in specs]
    if types_json(values):
        kwargs, errors = read(ALL_ARGUMENTS, {KWARGS: values.get(KWARGS, "")})
        kwargs = {} if isinstance(kwargs, Unset) else kwargs
    else:
        kwargs, errors = argument_fields.arguments_from(schema, values)
        errors += _unsent(values, specs)
    more, wrong = read(MORE_ASKED, values)
    names += [name for name in more if isinstance(name, str)] if isinstance(more, list) else []
    texts = dict(values)
    if isinstance(more, list):
        texts |= tick_texts(RUN_ARGUMENTS, [name for name in more if isinstance(name, str)])
    asked = form_fields.ordered_ticks(texts, RUN_ARGUMENTS, list(dict.fromkeys(names)))
    document = {"kwargs": kwargs} | ({"run_arguments": asked} if asked else {})
    return document, [*errors, *wrong]


def types_json(values: Values) -> bool:
    """Tell whether the arguments are typed as one JSON object."""
    return values.get(AS + KWARGS) == Kind.JSON


def task_of(values: Values, tasks: Sequence[str]) -> str:
    """Return the name of the task in a form."""
    value, _ = read(job_fields.name_spec(tasks=tuple(tasks))[1], values)
    return value if isinstance(value, str) else ""


def owner_of(name: str) -> str:
    """Return the name of the control that the control *name* belongs to."""
    return name if name.startswith("/") else name.partition(":")[2]


def is_argument(name: str) -> bool:
    """Tell whether *name* is a control of one argument."""
    return owner_of(name).startswith(f"{KWARGS}/")


def without_arguments(values: Values) -> dict[str, str]:
    """Return the form without its arguments."""
    return {
        name: text
        for name, text in values.items()
        if not is_argument(name) and owner_of(name) not in (KWARGS, RUN_ARGUMENTS)
    }


def json_texts(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that show the arguments of *document* as one JSON object."""
    asked = document.get("run_arguments") or UNSET
    texts = {AS + KWARGS: Kind.JSON.value, KWARGS: json_text(document.get("kwargs", {}))}
    return texts | form_fields.texts_of(MORE_ASKED, asked, zone="")
