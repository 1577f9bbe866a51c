"""The arguments of a task from the JSON Schema of them, which a worker has reported.

Each worker checks the arguments by the hints themselves, when a run starts. Here they are
checked as far as plain types say it; a model of the user's own takes any object.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from jobs_app.tasks.argument_types import USER_ERRORS, adapter_of
from jobs_app.tasks.arguments import Argument, TaskArguments
from jobs_app.tasks.parameters import BY_NAME, EMPTY, MORE_BY_NAME, Parameter, positional_parameters

Schema = Mapping[str, Any]

_FORMATS: dict[str, Any] = {
    "date-time": datetime,
    "date": date,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
}
_PLAIN: dict[str, Any] = {"integer": int, "number": float, "boolean": bool, "null": None}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}


def arguments_of_schema(task: str, schema: Schema, positional: Sequence[str]) -> TaskArguments:
    """Return the arguments that *schema* describes; *positional* as TaskInfo has it."""
    kinds = {parameter.name: parameter.kind for parameter in positional_parameters(positional)}
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    others = schema.get("additionalProperties", True)
    return TaskArguments(
        task=task,
        arguments={
            name: _argument(name, kinds.get(name, BY_NAME), described, is_required=name in required)
            for name, described in properties.items()
        },
        others=None if others is False else _argument("others", MORE_BY_NAME, others),
        descriptions={},
        context=None,
    )


def _argument(name: str, kind: Any, schema: Any, *, is_required: bool = False) -> Argument:
    adapter: TypeAdapter[Any] | None = None
    try:
        adapter = adapter_of(_hint(schema))
    except USER_ERRORS:  # user code: a pattern that is none here
        adapter = None
    parameter = Parameter(name, kind, EMPTY, EMPTY, is_required, None)
    return Argument(parameter, adapter or TypeAdapter(Any), is_converted=False)


def _hint(schema: Any) -> Any:
    """Return a type hint that takes at least the values of *schema*."""
    if not isinstance(schema, Mapping):
        return Any
    if "const" in schema or "enum" in schema:
        return _one_of([schema["const"]] if "const" in schema else schema["enum"])
    if "anyOf" in schema:
        hints = [_hint(part) for part in schema["anyOf"]]
        return Any if Any in hints else reduce(or_, hints[1:], hints[0])
    hint = _plain_hint(schema)
    bounds = {bound: schema[name] for name, bound in _BOUNDS.items() if name in schema}
    # Of a time or an id, a bound would be one of another type.
    is_bounded = bounds and hint is not Any and hint not in _FORMATS.values()
    return Annotated[hint, Field(**bounds)] if is_bounded else hint


def _plain_hint(schema: Schema) -> Any:
    kind = schema.get("type")
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), str)
    if kind == "array" and "prefixItems" not in schema:
        return list[_hint(schema.get("items"))]  # type: ignore[misc]  # known at run time only
    if kind == "object":
        return dict[str, _hint(schema.get("additionalProperties"))]  # type: ignore[misc]  # as above
    return _PLAIN.get(kind, Any) if isinstance(kind, str) else Any


def _one_of(values: Sequence[Any]) -> Any:
    if all(isinstance(value, str | int | bool | None) for value in values):
        return Literal[tuple(values)]
    return Any
