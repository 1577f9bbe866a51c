"""Type hints of a task's arguments: resolved, made into checks, and whether they convert."""

import inspect
from collections.abc import Iterable
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

#: The errors of user code that describes a task. A class that ends the process it is asked in
#: would end a thread of the web server, and the request would get no answer.
USER_ERRORS = (Exception, SystemExit, KeyboardInterrupt)

#: Types whose values are JSON already, and `object`, which is any.
_JSON_TYPES = (str, int, float, bool, type(None), list, dict, object)


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
    if (supertype := getattr(hint, "__supertype__", None)) is not None:
        return is_converted(supertype, keeps, seen)
    origin = get_origin(hint)
    if origin is Literal:
        return any(isinstance(value, Enum) for value in get_args(hint))
    if origin is Annotated:
        return is_converted(get_args(hint)[0], keeps, seen)
    kind = origin or hint
    if not isinstance(kind, type) or kind in _JSON_TYPES or inspect.isabstract(kind):
        return any(is_converted(part, keeps, seen) for part in _parts(hint))
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        return any(is_converted(part, keeps, seen) for part in hints.values())
    # Any other class that has a check makes its values of JSON.
    return not issubclass(kind, keeps)


def _parts(hint: Any) -> Iterable[Any]:
    if isinstance(hint, TypeVar):
        return hint.__constraints__ or (hint.__bound__,)
    return get_args(hint)
