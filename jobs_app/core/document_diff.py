"""The fields in which two JSON documents differ."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """A field that differs, as `schedule.cron`; None stands for a field that is absent."""

    name: str
    before: Any
    after: Any


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, depth: int | None = None
) -> list[Difference]:
    """Return the fields that differ, in the order of their names.

    The fields of nested objects count by themselves, down to *depth* levels. A field that is
    absent, null or {} is the same.
    """
    old, new = dict(_leaves(before, depth)), dict(_leaves(after, depth))
    return [
        Difference(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if is_other(old.get(name), new.get(name))
    ]


def is_other(before: object, after: object) -> bool:
    """Tell whether two JSON values differ; 1 and true do, which are equal in Python."""
    return json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)


def _leaves(value: object, depth: int | None, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and depth != 0:
        below = None if depth is None else depth - 1
        for name, inner in value.items():
            yield from _leaves(inner, below, f"{path}.{name}" if path else str(name))
    else:
        yield path, value
