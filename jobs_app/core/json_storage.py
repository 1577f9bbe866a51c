"""Turns any value of Python into JSON that every database stores and every reader reads."""

import dataclasses
import json
import math
import numbers
from collections import Counter, deque
from collections.abc import Mapping, Set, ValuesView
from enum import Enum
from typing import Any

from pydantic import BaseModel

from jobs_app.core.text import counted, plain, text_of

#: Levels of lists and objects that stay JSON, as in a request. Deeper parts become text.
MOST_DEPTH = 32

#: Levels of such a part that its text has.
MOST_DEPTH_AS_TEXT = 200

#: Longer integers are text: SQLite and most readers of JSON would round them.
MOST_INTEGER_BITS = 63

#: Longer ones are hexadecimal text: Python refuses to write above 4,300 decimal digits.
MOST_DECIMAL_BITS = 14_000

#: Characters of all strings in a value; with more it is too large for any limit.
MOST_CHARACTERS = 2**28

_NO_NUMBER = "JSON has neither NaN nor infinity, so {count} of its numbers {are} null."
_DEEP = f"{{count}} of its parts, nested deeper than {MOST_DEPTH} levels, {{are}} text."
_LONG = "{count} of its integers, longer than 64 bits, {are} text."


#: Shown in place of a stored value that cannot be read.
UNREADABLE = "(This value is stored in a form that cannot be read.)"

# NaN and infinity, which SQLite stores, would make the answer no JSON.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


def read_json(text: str | bytes) -> Any:
    """Return the JSON value that a database holds; one that cannot be read spoils no row."""
    if not isinstance(text, str | bytes):
        # SQLite returns a number as one, and SQLAlchemy waits for this error.
        raise TypeError("not text")
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        return {"unreadable": UNREADABLE}


class TooLarge(ValueError):
    """A value has more parts or text than its limit allows; `size` is a lower bound, bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"The value has more than {counted(size, 'byte')}.")
        self.size = size


def as_json(value: Any, *, most_parts: int) -> tuple[Any, list[str]]:
    """Return *value* as JSON, and a sentence about each kind of change that loses something.

    Dataclasses and models become objects, and any object that JSON does not know its text.
    Raises TooLarge above *most_parts* values.
    """
    conversion = _Conversion(most_parts)
    converted = conversion.converted(value, 0)
    return converted, conversion.notes()


def depth_of(value: Any, *, most: int) -> int:
    """Return how many levels of lists and objects *value* has; count no further than *most*."""
    depth, level = 0, [value]
    while depth < most:
        containers = [item for item in level if isinstance(item, dict | list | tuple)]
        if not containers:
            return depth
        depth += 1
        # By identity: a part that occurs twice is looked at once.
        level = list(
            {
                id(part): part
                for item in containers
                for part in (item.values() if isinstance(item, dict) else item)
            }.values()
        )
    return depth


class _Conversion:
    def __init__(self, most_parts: int) -> None:
        self._parts_left = self._most_parts = most_parts
        self._characters_left = MOST_CHARACTERS
        self._changes: Counter[str] = Counter()

    def notes(self) -> list[str]:
        return [
            text.format(count=count, are="is" if count == 1 else "are")
            for text, count in self._changes.items()
        ]

    def converted(self, value: Any, depth: int) -> Any:
        """Return *value*, which stands in *depth* lists and objects, as JSON."""
        self._parts_left -= 1
        if self._parts_left < 0:
            raise TooLarge(self._most_parts)
        match value:
            case None | bool():
                return value
            case str():
                return self._text(value)
            case numbers.Number():
                return self._number(value)
            case Enum():
                return self.converted(value.value, depth + 1)
        parts = _parts(value)
        if parts is None:
            return self._text(text_of(value))
        if depth < MOST_DEPTH or MOST_DEPTH < depth < MOST_DEPTH + MOST_DEPTH_AS_TEXT:
            return self._container(parts, depth)
        if depth > MOST_DEPTH:
            return "…"
        self._changes[_DEEP] += 1
        return json.dumps(self._container(parts, depth), ensure_ascii=False)

    def _container(self, parts: list[Any] | dict[Any, Any], depth: int) -> Any:
        if isinstance(parts, list):
            return [self.converted(item, depth + 1) for item in parts]
        converted: dict[str, Any] = {}
        for key, item in parts.items():
            name = self._text(_name(key))
            while name in converted:
                # 1 and "1" are two keys in Python and one name in JSON.
                name += "'"
            converted[name] = self.converted(item, depth + 1)
        return converted

    def _text(self, text: str) -> str:
        self._characters_left -= len(text)
        if self._characters_left < 0:
            raise TooLarge(MOST_CHARACTERS)
        return plain(text)

    def _number(self, value: Any) -> Any:
        """Return a number, also one of numpy, as Python's own; a Decimal or a fraction as text."""
        if isinstance(value, numbers.Integral):
            integer = int(value)
            if integer.bit_length() <= MOST_INTEGER_BITS:
                return integer
            self._changes[_LONG] += 1
            return _digits(integer)
        if not isinstance(value, numbers.Real) or isinstance(value, numbers.Rational):
            return self._text(text_of(value))
        number = float(value)
        if math.isfinite(number):
            return number
        self._changes[_NO_NUMBER] += 1
        return None


def _parts(value: Any) -> list[Any] | dict[Any, Any] | None:
    """Return the parts of a container, or of an object with fields; None for any other value."""
    try:
        match value:
            case BaseModel():
                return value.model_dump(mode="json")
            case Mapping():
                return {key: value[key] for key in value}
            case list() | tuple() | deque() | range() | ValuesView():
                return list(value)
            case Set():
                return _in_order(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    except Exception:  # noqa: BLE001  # user objects may raise anything
        return None
    return None


def _in_order(values: Set[Any]) -> list[Any]:
    """Return the values of a set, sorted if they can be: the same set is the same JSON."""
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _digits(integer: int) -> str:
    return str(int(integer)) if integer.bit_length() <= MOST_DECIMAL_BITS else hex(integer)


def _name(key: Any) -> str:
    """Return the name that a dictionary's key has in JSON."""
    match key:
        case str():
            return key
        case None | bool():
            return json.dumps(key)
        case int():
            return _digits(key)
        case Enum():
            return _name(key.value)
        case _:
            return text_of(key)
