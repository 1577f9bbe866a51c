"""Adds the fields of a described dataclass to a model of pydantic."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from enum import StrEnum
from functools import reduce
from operator import or_
from re import Pattern
from types import GenericAlias, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, Strict, create_model

from jobs_app.core.field_spec import FieldSpec, described_fields

M = TypeVar("M", bound=BaseModel)
Models = Mapping[type, Any]

#: The service checks a text that has a pattern; here it only may not be endless.
MOST_CHARACTERS = 2000


def input_fields(
    source: type, models: Models | None = None, *, are_optional: bool = False, **types: Any
) -> Callable[[type[M]], type[M]]:
    """Return a decorator that adds the fields of *source* as they are sent.

    *models* replace the dataclasses in it, *types* the types of single fields. With
    `are_optional` each field may be null, and null is its default. Fields that the model
    has already stay as they are.
    """
    models = models or {}
    fields: dict[str, Any] = {}
    for field in described_fields(source):
        kind = types.get(field.name) or _input_type(field.annotation, models)
        if are_optional:
            fields[field.name] = (kind | None, None)
        else:
            fields[field.name] = (kind, _input_default(field.default, models))
    return lambda model: _extended(model, fields)


def output_fields(
    source: type, models: Models | None = None, **types: Any
) -> Callable[[type[M]], type[M]]:
    """Return a decorator that adds the fields of *source* as they are returned: all of them."""
    fields: dict[str, Any] = {
        field.name: (types.get(field.name) or _output_type(field.annotation, models or {}), ...)
        for field in described_fields(source)
    }
    return lambda model: _extended(model, fields)


def _extended(model: type[M], fields: dict[str, Any]) -> type[M]:
    added = {name: field for name, field in fields.items() if name not in model.model_fields}
    names = {"__module__": model.__module__, "__doc__": model.__doc__}
    return create_model(model.__name__, __base__=model, **names, **added)  # type: ignore[call-overload, no-any-return]  # fields known at run time only


def text_schema(pattern: Pattern[str], length: int) -> dict[str, Any]:
    """Return the JSON Schema of a text that matches *pattern*."""
    return {"pattern": f"^{pattern.pattern.replace('(?:', '(')}$", "maxLength": length}


def _input_type(annotation: Any, models: Models) -> Any:
    """Return the strict type of a field that is sent, within the bounds of its FieldSpec."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        kind = _input_type(arguments[0], models)
        return Annotated[kind, _bounds(arguments[1], kind)]
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        # An enum comes as text, which a strict field would refuse.
        return Annotated[annotation, Strict(False)]
    return _replaced(annotation, models, _input_type)


def _bounds(spec: FieldSpec, kind: Any) -> Any:
    options: dict[str, Any] = {} if spec.example is None else {"examples": [spec.example]}
    if spec.help:
        options["description"] = spec.help
    if spec.pattern is not None and spec.most is not None:
        options["json_schema_extra"] = text_schema(spec.pattern, spec.most)
        return Field(max_length=MOST_CHARACTERS, **options)
    if kind is int or kind is float:
        finite = False if kind is float else None
        return Field(ge=spec.least, le=spec.most, allow_inf_nan=finite, **options)
    return Field(min_length=spec.least, max_length=spec.most, **options)


def _input_default(default: Any, models: Models) -> Any:
    if default is MISSING:
        return ...
    if is_dataclass(default):
        return models[type(default)]()
    return list(default) if isinstance(default, tuple) else default


def _output_type(annotation: Any, models: Models) -> Any:
    """Return the type of a field that is returned, without bounds."""
    if get_origin(annotation) is Annotated:
        return _output_type(get_args(annotation)[0], models)
    return _replaced(annotation, models, _output_type)


def _replaced(annotation: Any, models: Models, convert: Callable[[Any, Models], Any]) -> Any:
    """Return *annotation* with *models* for dataclasses, lists for tuples, and *convert* inside."""
    if annotation in models:
        return models[annotation]
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, (convert(item, models) for item in arguments))
    if get_origin(annotation) is tuple:
        return GenericAlias(list, (convert(arguments[0], models),))
    return annotation
