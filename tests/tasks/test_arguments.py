"""The arguments that a task takes are those of its signature."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, NewType, NotRequired, TypeVar

import pytest
from celery import Celery
from pydantic import BaseModel
from typing_extensions import TypedDict

from jobs_app.tasks.arguments import arguments_of
from tests.tasks.sample_tasks import Colour, Row, Window, app, faults


def test_kwargs_that_fit_the_signature_are_taken() -> None:
    assert faults("plain", country="fr", rows=3) == []
    assert faults("plain", country="fr", rows=3, dry_run=True, share=1) == []
    assert faults("bound", x=1) == []
    assert faults("by-class", x=1) == []
    assert faults("open", name="a", b=1) == []
    assert faults("positional", first=1) == []


@pytest.mark.parametrize(
    "task, kwargs, expected",
    [
        ("plain", {"country": "fr"}, ("/kwargs", "missing_argument", "needs the argument 'rows'")),
        (
            "plain",
            {"country": "fr", "rows": False},
            ("/kwargs/rows", "wrong_type", "must be a whole number, not true or false."),
        ),
        (
            "plain",
            {"country": "fr", "rows": "3"},
            ("/kwargs/rows", "wrong_type", "must be a whole number, not a string."),
        ),
        (
            "plain",
            {"country": "fr", "rows": 1.5},
            ("/kwargs/rows", "wrong_type", "must be a whole number"),
        ),
        (
            "plain",
            {"country": "fr", "rows": 1, "share": True},
            ("/kwargs/share", "wrong_type", "must be a number, not true or false."),
        ),
        (
            "plain",
            {"country": None, "rows": 1},
            ("/kwargs/country", "wrong_type", "must be a string, not null."),
        ),
        (
            "plain",
            {"country": "fr", "rows": 1, "dry_ru": True},
            ("/kwargs/dry_ru", "unknown_argument", "Did you mean 'dry_run'?"),
        ),
        ("plain", {"country": "fr", "rows": 1, "a/b": 1}, ("/kwargs/a~1b", "unknown_argument", "")),
        ("rich", {"numbers": [1, "2"]}, ("/kwargs/numbers/1", "wrong_type", "'numbers[1]'")),
        (
            "rich",
            {"colour": "green"},
            ("/kwargs/colour", "not_a_choice", "must be one of 'red' or 'blue'."),
        ),
        (
            "rich",
            {"mode": "medium"},
            ("/kwargs/mode", "not_a_choice", "must be one of 'fast' or 'slow'."),
        ),
        (
            "rich",
            {"window": {"days": 7}},
            ("/kwargs/window", "missing_argument", "'window' of 'rich' needs 'start'."),
        ),
        (
            "rich",
            {"window": {"start": "2026-01-01T00:00:00Z", "days": 0}},
            ("/kwargs/window/days", "too_small", "'window.days' of 'rich' must be at least 1."),
        ),
        (
            "rich",
            {"lines": [{"name": "a"}, {"name": 5}]},
            ("/kwargs/lines/1/name", "wrong_type", "'lines[1].name' of 'rich' must be a string"),
        ),
        (
            "rich",
            {"on": "tomorrow"},
            ("/kwargs/on", "bad_format", "must be a date, as in 2026-12-01."),
        ),
        (
            "rich",
            {"at": "2026-13-01T00:00:00Z"},
            ("/kwargs/at", "bad_format", "must be an instant, as in 2026-12-01T09:00:00Z."),
        ),
        ("rich", {"at": 1_700_000_000}, ("/kwargs/at", "wrong_type", "must be an instant")),
        ("rich", {"key": "no"}, ("/kwargs/key", "wrong_type", "must be a UUID.")),
        ("rich", {"price": "cheap"}, ("/kwargs/price", "wrong_type", "must be a number")),
        ("rich", {"options": {"deep": 1}}, ("/kwargs/options/deep", "wrong_type", "true or false")),
        ("rich", {"level": 11}, ("/kwargs/level", "too_large", "must be at most 10.")),
        (
            "rich",
            {"either": "x"},
            ("/kwargs/either", "wrong_type", "must be a whole number or a list, not a string."),
        ),
        ("rich", {"either": ["a", 5]}, ("/kwargs/either/1", "wrong_type", "must be a string")),
        ("rich", {"pair": [1, 2]}, ("/kwargs/pair/1", "wrong_type", "must be a string")),
        ("forward", {"known": "x", "unknown": 1, "of_many": 2, "opaque": 3}, ("/kwargs/known",)),
        ("implicit", {"limit": "x", "deep": True}, ("/kwargs/limit", "wrong_type", "whole number")),
        ("open", {"name": "a", "b": "c"}, ("/kwargs/b", "wrong_type", "must be a whole number")),
        ("positional", {}, ("/kwargs", "missing_argument", "needs the argument 'first'")),
        ("bound", {"self": 1, "x": 1}, ("/kwargs/self", "unknown_argument", "")),
        ("by-class", {"x": "1"}, ("/kwargs/x", "wrong_type", "")),
        ("model", {"window": {"start": 5}}, ("/kwargs/window/start", "wrong_type", "")),
        ("plane", {}, ("/task", "unknown_task", "Did you mean 'plain'?")),
        ("celery.like", {}, ("/task", "unknown_task", "")),
        ("jobs_app.run", {}, ("/task", "unknown_task", "")),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(
    task: str, kwargs: dict[str, Any], expected: tuple[str, ...]
) -> None:
    errors = faults(task, **kwargs)

    assert len(errors) == 1, errors
    pointer, code, detail = (*expected, "", "")[:3]
    assert errors[0][0] == pointer
    assert errors[0][1] == code or not code
    assert detail in errors[0][2]


def test_every_wrong_argument_is_named_at_once() -> None:
    errors = faults("plain", country=5, rows="x", colour="red")

    assert [pointer for pointer, _, _ in errors] == [
        "/kwargs/country",
        "/kwargs/rows",
        "/kwargs/colour",
    ]


def test_missing_and_wrong_fields_of_a_value_are_reported_together() -> None:
    errors = faults("rich", window={"days": "x"})

    assert [(pointer, code) for pointer, code, _ in errors] == [
        ("/kwargs/window", "missing_argument"),
        ("/kwargs/window/days", "wrong_type"),
    ]


def test_of_thousands_of_wrong_entries_the_first_are_reported() -> None:
    errors = faults("rich", numbers=["x"] * 50_000)

    assert [pointer for pointer, _, _ in errors] == [f"/kwargs/numbers/{n}" for n in range(20)]


def test_a_hint_whose_own_check_raises_is_reported() -> None:
    ((pointer, code, detail),) = faults("breaking", x="hunter2")

    assert (pointer, code) == ("/kwargs/x", "invalid_value")
    assert detail == "The argument 'x' of 'breaking' cannot be checked: its hint raises KeyError."
    arguments = arguments_of(app.tasks["breaking"])
    assert arguments is not None
    with pytest.raises(ValueError, match="its hint raises KeyError"):
        arguments.converted({"x": "hunter2", "at": "2026-12-01"})


@pytest.mark.parametrize(
    "kwargs",
    [
        {"numbers": None, "colour": "blue", "window": None, "lines": [{"name": "a"}]},
        {"on": "2026-12-01", "at": "2026-12-01T09:00:00+01:00", "price": "1.10"},
        {"key": "018f2d4e-0000-7000-8000-000000000000", "options": {}, "tags": ["a", "b"]},
        {"either": ["a"], "pair": [1, "b"], "anything": {"deep": [None, {"er": 1.5}]}},
    ],
)
def test_json_that_can_become_what_a_hint_says_is_taken(kwargs: dict[str, Any]) -> None:
    assert faults("rich", **kwargs) == []


def test_a_hint_that_cannot_be_resolved_takes_anything() -> None:
    for value in (None, 5, "text", [1], {"a": 1}):
        assert faults("forward", known=1, unknown=value, of_many=value, opaque=value) == []


def test_a_default_of_none_makes_null_a_value() -> None:
    assert faults("implicit", limit=None, deep=True) == []


def test_no_fault_echoes_the_value() -> None:
    for kwargs in (
        {"at": "hunter2"},
        {"key": "hunter2"},
        {"colour": "hunter2"},
        {"level": "hunter2"},
    ):
        assert "hunter2" not in faults("rich", **kwargs)[0][2]


def test_a_reference_to_a_secret_is_valid_where_a_text_is() -> None:
    secret = "${secret:TOKEN}"

    assert faults("plain", country=secret, rows=1) == []
    assert faults("rich", mode=secret, key=secret, lines=[{"name": secret}]) == []
    assert [pointer for pointer, _, _ in faults("plain", country="fr", rows=secret)] == [
        "/kwargs/rows"
    ]


def test_an_unknown_field_of_a_model_is_a_fault_even_with_a_secret_in_it() -> None:
    class Point(BaseModel, extra="forbid"):
        x: int

    other = Celery("tests.closed", set_as_current=False)

    @other.task(shared=False, name="closed")
    def closed(point: Point) -> None:
        """Take a model without further fields."""

    arguments = arguments_of(closed)
    assert arguments is not None

    [error] = arguments.faults({"point": {"x": 1, "y": "${secret:TOKEN}"}})

    assert (error.pointer, error.code) == ("/kwargs/point/y", "unknown_argument")


def test_values_are_converted_to_the_types_of_the_hints() -> None:
    arguments = arguments_of(app.tasks["rich"])
    assert arguments is not None

    converted = arguments.converted(
        {
            "at": "2026-12-01T10:00:00+01:00",
            "on": "2026-12-01",
            "colour": "blue",
            "window": {"start": "2026-12-01T09:00:00Z"},
            "lines": [{"name": "a"}],
            "options": {"deep": True},
            "pair": [1, "b"],
            "price": "1.10",
            "level": 3,
            "anything": {"at": "2026-12-01"},
        }
    )

    instant = datetime(2026, 12, 1, 9, tzinfo=UTC)
    assert converted == {
        "at": instant,
        "on": date(2026, 12, 1),
        "colour": Colour.BLUE,
        "window": Window(start=instant),
        "lines": [Row("a")],
        "options": {"deep": True},
        "pair": (1, "b"),
        "price": Decimal("1.10"),
        "level": 3,
        "anything": {"at": "2026-12-01"},
    }


Moment = NewType("Moment", datetime)


class Options(TypedDict):
    """Fields of a dictionary, of which one is no JSON."""

    since: NotRequired[Moment]
    deep: bool


MomentOrAny = TypeVar("MomentOrAny", bound=Moment)


@pytest.mark.parametrize(
    "hint, value, expected",
    [
        (IPv4Address, "10.0.0.1", IPv4Address("10.0.0.1")),
        (re.Pattern[str], "a+", re.compile("a+")),
        (deque[int], [1], deque([1])),
        (Moment, "2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC)),
        (MomentOrAny, "2026-12-01T00:00:00Z", datetime(2026, 12, 1, tzinfo=UTC)),
        (
            Options,
            {"since": "2026-12-01T00:00:00Z", "deep": True},
            {"since": datetime(2026, 12, 1, tzinfo=UTC), "deep": True},
        ),
        (Sequence[int], [1], [1]),
        (Mapping[str, object], {"a": 1}, {"a": 1}),
        (int | None, None, None),
    ],
)
def test_a_value_becomes_whatever_type_the_hint_has(hint: Any, value: Any, expected: Any) -> None:
    other = Celery("tests.types", set_as_current=False)

    def task(it):
        """Take one argument."""

    task.__annotations__ = {"it": hint}
    arguments = arguments_of(other.task(shared=False, name="typed")(task))
    assert arguments is not None

    converted = arguments.converted({"it": value})["it"]

    assert converted == expected
    assert type(converted) is type(expected)


def test_a_json_value_stays_the_same_object() -> None:
    arguments = arguments_of(app.tasks["plain"])
    assert arguments is not None

    converted = arguments.converted({"share": 1, "rows": "not checked here"})

    assert converted == {"share": 1, "rows": "not checked here"}
    assert type(converted["share"]) is int


def test_models_that_celery_makes_are_left_to_celery() -> None:
    arguments = arguments_of(app.tasks["model"])
    assert arguments is not None

    kwargs = {"window": {"start": "2026-12-01T09:00:00Z"}}

    assert arguments.converted(kwargs) == kwargs


def test_a_failed_conversion_is_reported_without_the_value() -> None:
    arguments = arguments_of(app.tasks["rich"])
    assert arguments is not None

    with pytest.raises(ValueError, match="'at' of 'rich' must be an instant") as raised:
        arguments.converted({"at": "hunter2"})

    assert "hunter2" not in str(raised.value)
