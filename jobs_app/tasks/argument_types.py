"""Type hints of a task's arguments: resolved, made into checks, and whether they convert."""

import dataclasses
import inspect
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import (
    BaseModel,
    PydanticSchemaGenerationError,
    PydanticUserError,
    SecretStr,
    TypeAdapter,
)

#: The errors of user code that describes a task. A class that ends the process it is asked in
#: would end a thread of the web server, and the request would get no answer.
USER_ERRORS = (Exception, SystemExit, KeyboardInterrupt)

#: Types that have no JSON value: a task gets one that is made from JSON.
_CONVERTED = (
    *(datetime, date, time, timedelta, Decimal, UUID, Enum, PurePath, bytes),
    *(tuple, set, frozenset, BaseModel, SecretStr),
)


def resolved_hint(annotation: Any, run: Any) -> Any:
    """Return a parameter's hint with its forward references resolved; Any where that fails."""
    if annotation is inspect.Parameter.empty:
        return Any
    function = inspect.unwrap(getattr(run, "__func__", run))
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        hints = get_type_hints(
            holder, globalns=getattr(function, "__globals__", {}), include_extras=True
        )
    except USER_ERRORS:  # user code: its expression may raise anything
        return Any
    return hints["it"]


def adapter_of(hint: Any) -> TypeAdapter[Any] | None:
    """Return the adapter that checks values against *hint*; None if pydantic cannot make one."""
    try:
        adapter = TypeAdapter(hint)
        # A class without a schema of its own could never come out of JSON.
        adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError, NameError, TypeError):
        return None
    return adapter


def is_converted(hint: Any, keeps: tuple[type, ...], seen: set[int]) -> bool:
    """Return whether *hint* asks for a type that JSON lacks; the types in *keeps* do not count.

    *seen* holds the ids of the hints on the way here, so that a recursive one ends.
    """
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if hasattr(hint, "__value__"):
        return is_converted(hint.__value__, keeps, seen)
    origin = get_origin(hint)
    if origin is Literal:
        return any(isinstance(value, Enum) for value in get_args(hint))
    if origin is Annotated:
        return is_converted(get_args(hint)[0], keeps, seen)
    kind = origin or hint
    if isinstance(kind, TypeVar) or not isinstance(kind, type):
        return any(is_converted(part, keeps, seen) for part in get_args(hint))
    if issubclass(kind, keeps):
        return False
    is_special = issubclass(kind, _CONVERTED) or dataclasses.is_dataclass(kind)
    return is_special or any(is_converted(part, keeps, seen) for part in get_args(hint))
