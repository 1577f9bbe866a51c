"""Whatever a task returns is stored as JSON that can be read again, and changed little."""

import json
import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel

from jobs_app.core.json_storage import MOST_DEPTH, TooLarge, as_json, depth_of


class Colour(Enum):
    """An enum that is not a str."""

    RED = "red"


@dataclass
class Row:
    """A dataclass."""

    name: str
    mean: float


class Window(BaseModel):
    """A model."""

    start: datetime
    days: int = 7


class Mute:
    """An object without text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Lazy(dict[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)


def nested(levels: int, inside: Any = 1) -> Any:
    """Return *inside* within so many lists."""
    for _ in range(levels):
        inside = [inside]
    return inside


@pytest.mark.parametrize(
    "value, stored",
    [
        ({"rows": 42, "mean": math.nan}, {"rows": 42, "mean": None}),
        ([math.inf, -math.inf, 1.5], [None, None, 1.5]),
        (Row("a", math.nan), {"name": "a", "mean": None}),
        ([Window(start=datetime(2026, 1, 1))], [{"start": "2026-01-01T00:00:00", "days": 7}]),  # noqa: DTZ001  # as a task may have it
        (OrderedDict(b=1, a=(2, 3)), {"b": 1, "a": [2, 3]}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        ({Colour.RED: 1}, {"red": 1}),
        (Decimal("1.50"), "1.50"),
        (10**400, str(10**400)),
        ([2**63 - 1, -(2**63) + 1, 2**63], [2**63 - 1, -(2**63) + 1, str(2**63)]),
        (True, True),
        ("a\x00b\ud800", "a\ufffdb?"),
        ({"k\x00": 1}, {"k\ufffd": 1}),
        ({(1, 2): 3, None: 4, True: 5, 1.5: 6, 7: 8}, None),
        ({1: "number", "1": "text"}, {"1": "number", "1'": "text"}),
    ],
)
def test_a_value_stays_what_json_can_say(value: Any, stored: Any) -> None:
    converted, _ = as_json(value, most_parts=1000)

    if stored is None:
        stored = {"(1, 2)": 3, "null": 4, "true": 5, "1.5": 6, "7": 8}
    assert converted == stored
    assert json.loads(json.dumps(converted, allow_nan=False)) == stored


@pytest.mark.parametrize(
    "value, stored",
    [
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"a"}), ["a"]),
        (range(3), [0, 1, 2]),
        (deque([1, {2}]), [1, [2]]),
        ({"b": 1, "a": 2}.keys(), ["a", "b"]),
        ({"b": 1, "a": 2}.values(), [1, 2]),
        ({"b": 1}.items(), [["b", 1]]),
    ],
)
def test_a_collection_is_a_list(value: Any, stored: Any) -> None:
    assert as_json(value, most_parts=100) == (stored, [])
    mixed, _ = as_json({1, "a"}, most_parts=100)
    assert sorted(mixed, key=str) == [1, "a"]


def test_what_is_lost_is_said() -> None:
    value = {"a": [math.nan, math.inf], "deep": nested(MOST_DEPTH), "long": 10**5000}

    _, notes = as_json(value, most_parts=1000)

    assert notes == [
        "JSON has neither NaN nor infinity, so 2 of its numbers are null.",
        "1 of its parts, nested deeper than 32 levels, is text.",
        "1 of its integers, longer than 64 bits, is text.",
    ]
    assert as_json({"a": 1}, most_parts=10)[1] == []


@pytest.mark.parametrize("levels", [MOST_DEPTH + 1, 100, 255, 940, 5000])
def test_only_the_parts_that_are_too_deep_become_text(levels: int) -> None:
    converted, notes = as_json({"rows": 42, "tree": nested(levels)}, most_parts=100_000)

    assert converted["rows"] == 42
    assert depth_of(converted, most=1000) == MOST_DEPTH
    part: Any = converted["tree"]
    while isinstance(part, list):
        (part,) = part
    assert part.startswith("[")
    assert json.loads(part)
    assert len(notes) == 1


def test_32_levels_stay_as_they_are() -> None:
    assert as_json(nested(MOST_DEPTH), most_parts=100) == (nested(MOST_DEPTH), [])


def test_an_integer_that_no_reader_takes_can_be_read_again() -> None:
    converted, _ = as_json(-(10**5000), most_parts=10)

    assert int(converted, 0) == -(10**5000)


@pytest.mark.parametrize("value", [Mute(), Lazy(a=1)])
def test_an_object_that_fails_spoils_only_its_own_place(value: Any) -> None:
    converted, _ = as_json({"rows": 42, "odd": value}, most_parts=100)

    assert converted["rows"] == 42
    assert isinstance(converted["odd"], str)


def test_a_circle_ends() -> None:
    circle: list[Any] = []
    circle.append(circle)

    converted, _ = as_json(circle, most_parts=1000)

    assert json.dumps(converted)


def test_a_small_object_with_endless_parts_is_refused() -> None:
    value: Any = "x"
    for _ in range(40):
        value = [value, value]

    with pytest.raises(TooLarge):
        as_json(value, most_parts=10_000)
    assert depth_of(value, most=33) == 33
