"""Describes a field of a job once: the API, the CLI and the service read it from here."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_type_hints

#: The longest duration that a field takes: a leap year, seconds.
YEAR_SECONDS = 31_622_400
INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """The part of a field's description that its type cannot hold.

    `option` and `help` are those of the CLI; a field without `option` has none of its own.
    `least` and `most` bound a number, or the length of a text or a list. `pattern` is for
    the reader of the API's schema: the service checks it, with a better sentence.
    """

    option: str | None = None
    help: str = ""
    least: int | None = None
    most: int | None = None
    pattern: re.Pattern[str] | None = None
    example: Any = None


@dataclass(frozen=True, slots=True)
class DescribedField:
    """A field of a dataclass: its annotation, and its default (MISSING if it has none)."""

    name: str
    annotation: Any
    default: Any


def described_fields(source: type) -> list[DescribedField]:
    """Return the fields of the dataclass *source* in order.

    A field named in `source.GROUPS` stands for the fields of its own dataclass.
    """
    hints = get_type_hints(source, include_extras=True)
    groups = _groups(source)
    described: list[DescribedField] = []
    for field in fields(source):
        if field.name in groups:
            described += described_fields(groups[field.name])
        else:
            factory = field.default_factory
            default = field.default if factory is MISSING else factory()
            described.append(DescribedField(field.name, hints[field.name], default))
    return described


def grouped(source: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* with the fields of each group of *source* put into the group.

    Fields of a group that *values* leave out take its defaults.
    """
    rest = dict(values)
    groups: dict[str, Any] = {}
    for name, group in _groups(source).items():
        names = [field.name for field in fields(group)]
        groups[name] = group(**{field: rest.pop(field) for field in names if field in rest})
    return groups | rest


def flat(item: Any) -> dict[str, Any]:
    """Return the fields of the dataclass *item* in order, those of its groups among them."""
    values: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        values |= flat(value) if field.name in _groups(type(item)) else {field.name: value}
    return values


def _groups(source: type) -> Mapping[str, Any]:
    groups: Mapping[str, Any] = getattr(source, "GROUPS", {})
    return groups
