"""Walks through JSON values: their parts, and a copy with other leaves."""

from collections.abc import Callable, Iterator
from typing import Any

from jobs_app.core.validation_messages import Place


def parts(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield *value* and every value in it, each with its place: outer ones first, in order."""
    yield place, value
    for key, item in _items(value):
        yield from parts(item, (*place, key))


def with_leaves(value: Any, change: Callable[[Place, Any], Any], place: Place = ()) -> Any:
    """Return a copy of *value* whose leaves, no objects or lists, are as *change* returns them."""
    match value:
        case dict() | list():
            changed = {key: with_leaves(item, change, (*place, key)) for key, item in _items(value)}
            return changed if isinstance(value, dict) else list(changed.values())
        case _:
            return change(place, value)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    match value:
        case dict():
            yield from value.items()
        case list():
            yield from enumerate(value)
