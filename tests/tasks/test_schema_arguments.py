"""The arguments of a reported task are checked as far as its schema has plain types."""

from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from celery import Celery
from pydantic import BaseModel, Field

from jobs_app.tasks.arguments import TaskArguments, arguments_of
from jobs_app.tasks.schema_arguments import arguments_of_schema

app = Celery("own", set_as_current=False)


class Address(BaseModel):
    street: str


@app.task
def report(
    country: str,
    days: int = 7,
    ratio: float | None = None,
    kind: Literal["day", "week"] = "day",
    since: datetime | None = None,
    names: list[str] | None = None,
    limits: dict[str, int] | None = None,
    near: Annotated[int, Field(ge=1, le=9)] = 1,
    to: Address | None = None,
    anything: Any = None,
) -> None:
    """Add up."""


@app.task
def flexible(*rows: int, **options: int) -> None:
    """Take all."""


def both(task: Any) -> tuple[TaskArguments, TaskArguments]:
    """Return the arguments of *task*, read from its code and from its report."""
    by_code = arguments_of(task)
    assert by_code is not None
    return by_code, arguments_of_schema(task.name, by_code.schema(), by_code.positional())


@pytest.mark.parametrize(
    "kwargs",
    [
        {"country": "fr"},
        {"country": "fr", "days": 1, "ratio": 1, "kind": "week", "names": ["a"], "near": 9},
        {"country": "fr", "since": "2026-01-01T00:00:00Z", "limits": {"a": 1}, "anything": [1]},
        {},
        {"country": 5},
        {"country": "fr", "day": 1},
        {"country": "fr", "days": "7"},
        {"country": "fr", "days": False},
        {"country": "fr", "ratio": "x"},
        {"country": "fr", "kind": "month"},
        {"country": "fr", "since": "yesterday"},
        {"country": "fr", "names": ["a", 5]},
        {"country": "fr", "limits": {"a": "x"}},
        {"country": "fr", "near": 10},
        {"country": "${secret:COUNTRY}"},
    ],
)
def test_plain_types_have_the_faults_that_the_code_finds(kwargs: dict[str, Any]) -> None:
    by_code, by_report = both(report)

    assert list(by_report.faults(kwargs)) == list(by_code.faults(kwargs))


def test_a_model_takes_anything_here_and_is_checked_by_the_worker() -> None:
    by_code, by_report = both(report)
    wrong = {"country": "fr", "to": {"street": 5}}

    assert list(by_code.faults(wrong))
    assert not list(by_report.faults(wrong))


def test_others_are_checked_and_a_list_has_the_rest() -> None:
    by_code, by_report = both(flexible)

    for kwargs in ({"rows": [1], "a": 2}, {"rows": ["x"]}, {"a": "x"}):
        assert list(by_report.faults(kwargs)) == list(by_code.faults(kwargs))
    assert by_report.positional() == ["*rows"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": r"^(?!x)"},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "null"}, {"type": "null"}]},
        {"enum": [1.5]},
        {"type": "array", "prefixItems": [{"type": "integer"}]},
        {"$ref": "#/$defs/A"},
        True,
    ],
)
def test_what_is_no_plain_type_takes_anything(schema: Any) -> None:
    arguments = arguments_of_schema("t", {"properties": {"a": schema}}, [])

    assert not list(arguments.faults({"a": {"b": [1]}, "c": 1}))
