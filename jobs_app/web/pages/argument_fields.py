"""The arguments of a task as fields of a form, made from the JSON Schema of them. Pure, no IO.

*Edit* and *Run now* use it: the schema is that of `tasks.registry`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.text import shortened
from jobs_app.core.validation_messages import json_pointer
from jobs_app.web.pages import form_fields
from jobs_app.web.pages.form_fields import Choice, ControlSpec, Field
from jobs_app.web.pages.form_values import UNSET, Blank, Kind, Unreadable, Unset, Values, unreadable

Schema = Mapping[str, Any]

#: The arguments that no field shows, as one JSON object.
POINTER = "/kwargs"

#: Arguments whose text often has several lines.
LONG_TEXTS = frozenset(
    {"body", "code", "command", "content", "html", "message", "query", "script", "sql", "stdin"}
    | {"text"}
)

#: The list of references to secrets in the page.
SECRETS = "secrets"

#: A longer default is cut, characters.
MOST_DEFAULT = 60

#: Most references that a schema follows to the type of an argument.
MOST_REFERENCES = 10


def argument_fields(
    task_schema: Schema,
    values: Values,
    only: Collection[str] | None = None,
    errors: Mapping[str, Sequence[str]] | None = None,
) -> list[Field]:
    """Return the fields of the arguments in *task_schema*, or of those in *only*.

    *values* are the texts of the form, from `argument_texts` or as they were sent; *errors*
    are sentences by the names of fields. With *only*, a name that the schema does not have
    takes any JSON.
    """
    return form_fields.bound(argument_specs(task_schema, only), values, errors)


def argument_texts(
    task_schema: Schema,
    kwargs: Mapping[str, Any],
    *,
    zone: str,
    only: Collection[str] | None = None,
) -> dict[str, str]:
    """Return the texts of a form that show *kwargs*; instants are shown in *zone*.

    Arguments without a field of their own go into one JSON object.
    """
    texts: dict[str, str] = {}
    specs = argument_specs(task_schema, only)
    names = [spec.label for spec in specs]
    for name, spec in zip(names, specs, strict=True):
        texts |= form_fields.texts_of(spec, kwargs.get(name, UNSET), zone=zone)
    others = {name: value for name, value in kwargs.items() if name not in names}
    if others and only is None:
        texts |= form_fields.texts_of(OTHERS, others, zone=zone)
    return texts


def arguments_from(
    task_schema: Schema, values: Values, only: Collection[str] | None = None
) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the arguments in the texts *values*, and the errors of texts that are no value.

    A text that is no value stands in the arguments as it is.
    """
    kwargs: dict[str, Any] = {}
    errors = []
    specs = argument_specs(task_schema, only)
    for spec in specs:
        value, error = read(spec, values)
        if not isinstance(value, Unset):
            kwargs[spec.label] = value
        errors += error
    if only is None:
        others, error = read(OTHERS, values)
        errors += error
        if isinstance(others, dict):
            kwargs = others | kwargs
        elif not isinstance(others, Unset) and not error:
            errors.append(FieldError(POINTER, "wrong_type", "These must be one JSON object."))
    return kwargs, errors


def read(spec: ControlSpec, values: Values) -> tuple[Any, list[FieldError]]:
    """Return the value of a field, and its error; then the value is the text."""
    try:
        return form_fields.value_of(spec, values), []
    except Unreadable as error:
        return values.get(spec.name, ""), [unreadable(spec.name, error)]


def takes_others(task_schema: Schema) -> bool:
    """Tell whether the task takes arguments that its schema does not name."""
    return task_schema.get("additionalProperties", True) is not False


OTHERS = ControlSpec(
    POINTER,
    "Other arguments",
    (Kind.JSON,),
    help="Arguments that the signature of the task does not name.",
    expects="an object",
)


def argument_specs(task_schema: Schema, only: Collection[str] | None = None) -> list[ControlSpec]:
    """Return the fields of all arguments in the schema, or of those in *only*, in its order."""
    properties: Mapping[str, Any] = task_schema.get("properties", {})
    names = list(properties)
    if only is not None:
        names = [name for name in names if name in only]
        names += [name for name in only if name not in properties]
    required = task_schema.get("required", ())
    definitions = task_schema.get("$defs", {})
    return [
        _spec(name, properties.get(name, {}), definitions, is_required=name in required)
        for name in names
    ]


def _spec(name: str, schema: Schema, definitions: Schema, *, is_required: bool) -> ControlSpec:
    every = _alternatives(schema, definitions, MOST_REFERENCES)
    alternatives = [one for one in every if one.get("type") != "null"]
    is_nullable = len(alternatives) < len(every)
    kinds, item, choices = _kinds(name, alternatives)
    blanks = [Blank.UNSET]
    may_be_empty = not any(one.get("minLength") or one.get("minItems") for one in alternatives)
    if kinds[0] in (Kind.STRING, Kind.TEXT, Kind.LIST) and may_be_empty:
        blanks.append(Blank.EMPTY)
    if is_nullable:
        blanks.append(Blank.NULL)
    return ControlSpec(
        json_pointer(("kwargs", name)),
        name,
        kinds,
        help=_help(schema, alternatives),
        choices=_BOOLEANS if kinds[0] is Kind.BOOLEAN else choices,
        blanks=tuple(blanks),
        item=item,
        is_required=is_required,
        default=_default(schema),
        takes_booleans=any(one.get("type") == "boolean" for one in alternatives),
        has_null_default=is_nullable and schema.get("default", UNSET) is None,
        expects=_expects(kinds[0], alternatives),
        suggestions=SECRETS,
    )


_BOOLEANS = (Choice("true", "true"), Choice("false", "false"))


def _alternatives(schema: Schema, definitions: Schema, left: int) -> list[Schema]:
    """Return the types that *schema* is a union of, with their references followed."""
    reference = schema.get("$ref", "")
    if left and isinstance(reference, str) and reference.startswith("#/$defs/"):
        known = definitions.get(reference.removeprefix("#/$defs/"), {})
        return _alternatives(known, definitions, left - 1)
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": name} for name in schema["type"]]
    parts = schema.get("anyOf") or schema.get("oneOf")
    if not parts or not left:
        return [schema]
    return [one for part in parts for one in _alternatives(part, definitions, left - 1)]


def _kinds(
    name: str, alternatives: Sequence[Schema]
) -> tuple[tuple[Kind, ...], Kind | None, tuple[Choice, ...]]:
    """Return the kinds of an argument, the kind of its items, and its choices."""
    if not alternatives:
        return (Kind.NULL,), None, ()
    if len(alternatives) > 1:
        kinds = [_kind(name, one)[0] for one in alternatives]
        text = next((kind for kind in kinds if kind in (Kind.STRING, Kind.TEXT)), None)
        return ((Kind.JSON,) if text is None else (text, Kind.JSON)), None, ()
    kind, item = _kind(name, alternatives[0])
    options = alternatives[0].get("enum", [alternatives[0].get("const")])
    choices = [Choice(json.dumps(value), _shown(value)) for value in options]
    return (kind,), item, tuple(choices) if kind is Kind.ENUM else ()


_PLAIN = {"integer": Kind.INTEGER, "number": Kind.NUMBER, "boolean": Kind.BOOLEAN}
_FORMATS = {"date": Kind.DATE, "date-time": Kind.INSTANT}


def _kind(name: str, schema: Schema) -> tuple[Kind, Kind | None]:
    if "enum" in schema or "const" in schema:
        return Kind.ENUM, None
    kind = schema.get("type")
    if kind == "string":
        text = Kind.TEXT if name.lower() in LONG_TEXTS else Kind.STRING
        return _FORMATS.get(str(schema.get("format")), text), None
    if kind == "array":
        items = schema.get("items")
        item = _kind("", items)[0] if isinstance(items, dict) and "$ref" not in items else None
        return (Kind.LIST, item) if item in _LINES else (Kind.JSON, None)
    return _PLAIN.get(str(kind), Kind.JSON), None


_LINES = (Kind.STRING, Kind.INTEGER, Kind.NUMBER)


def _expects(kind: Kind, alternatives: Sequence[Schema]) -> str:
    """Return the type of a value that is typed as JSON."""
    if kind is not Kind.JSON or len(alternatives) != 1:
        return "any value" if kind is Kind.JSON else ""
    names = {"array": "a list", "object": "an object"}
    return names.get(str(alternatives[0].get("type")), "any value")


def _help(schema: Schema, alternatives: Sequence[Schema]) -> str:
    """Return the description of an argument, and the bounds of a number."""
    sentences = [str(schema["description"])] if schema.get("description") else []
    bounds = alternatives[0] if len(alternatives) == 1 else {}
    for name, words in _BOUNDS.items():
        if isinstance(bounds.get(name), int | float):
            sentences.append(words.format(bounds[name]))
    return " ".join(sentences)


_BOUNDS = {
    "minimum": "At least {}.",
    "exclusiveMinimum": "More than {}.",
    "maximum": "At most {}.",
    "exclusiveMaximum": "Less than {}.",
}


def _default(schema: Schema) -> str:
    default = schema.get("default")
    return "" if default is None else _shown(default)


def _shown(value: Any) -> str:
    """Return a value in a few words."""
    if value is None:
        return "null"
    if value == "":
        return "empty text"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shortened(text, MOST_DEFAULT)
