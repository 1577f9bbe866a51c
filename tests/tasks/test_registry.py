"""The arguments that a task takes are those of its signature; the list of tasks shows them."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from celery import Celery, Task
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel, BeforeValidator, Field, JsonValue
from typing_extensions import TypedDict

from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.tasks import registry
from jobs_app.tasks.arguments import arguments_of
from tests.factories import TASKS, is_built_in

if TYPE_CHECKING:
    from somewhere import Missing  # type: ignore[import-not-found]


class Colour(Enum):
    """An enum that is not a str."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Row:
    """A dataclass."""

    name: str
    count: int = 0


class Window(BaseModel):
    """A model."""

    start: datetime
    days: Annotated[int, Field(ge=1)] = 7


class Options(TypedDict, total=False):
    """A typed dictionary."""

    deep: bool


class Opaque:
    """A class that pydantic does not know."""


app = Celery("tests.catalog", set_as_current=False)


@app.task(shared=False, name="plain")
def plain(country: str, rows: int, dry_run: bool = False, share: float = 0.5) -> None:
    """Do something plain.

    More of it.

    Args:
        country: Two letters,
            as ISO 3166 has them.
        rows (int): How many.

    Returns:
        nothing: at all.
    """


@app.task(shared=False, name="rich")
def rich(
    numbers: list[int] | None = None,
    colour: Colour = Colour.RED,
    mode: Literal["fast", "slow"] = "fast",
    window: Window | None = None,
    lines: list[Row] = [],  # noqa: B006
    on: date | None = None,
    at: datetime | None = None,
    key: UUID | None = None,
    price: Decimal | None = None,
    options: Options | None = None,
    level: Annotated[int, Field(ge=0, le=10, description="From 0 to 10.", examples=[3])] = 0,
    either: int | list[str] = 0,
    pair: tuple[int, str] | None = None,
    anything: JsonValue = None,
    tags: set[str] | None = None,
) -> None:
    """Do something rich."""


@app.task(shared=False, name="forward")
def forward(known: "int", unknown: "Missing", of_many: "list[Missing]", opaque: Opaque) -> None:
    """Name types that are not to be had.

    :param known: a number that is known
    :param str unknown: nobody knows
    """


@app.task(shared=False, name="implicit")
def implicit(limit: int = None, *, deep: bool) -> None:  # type: ignore[assignment]  # noqa: RUF013
    """Say None without saying Optional, as people do."""


@app.task(shared=False, name="open")
def open_task(name: str, **others: int) -> None:
    """Take whatever there is, as long as it is a number."""


@app.task(shared=False, name="positional")
def positional(first: int, /, second: int = 2) -> None:
    """Take what no job can give."""


@app.task(shared=False, name="bound", bind=True, autoretry_for=(OSError,))
def bound(self: Task[Any, Any], x: int) -> None:
    """Know oneself."""


@app.task(shared=False, name="model", pydantic=True)
def with_model(window: Window) -> None:
    """Be given a model by Celery."""


def _break(value: str) -> date:
    raise KeyError(value)


@app.task(shared=False, name="breaking")
def breaking(x: Annotated[date, BeforeValidator(_break)], at: date | None = None) -> None:
    """Have a hint that raises what no check should raise."""


class ByClass(Task[Any, Any]):
    """A task that is a class."""

    name = "by-class"

    def run(self, x: int, y: str = "") -> None:
        """Do it by class."""


app.register_task(ByClass())


@app.task(shared=False, name="celery.like")
def hidden() -> None:
    """Look like Celery's own."""


def faults(task: str, **kwargs: Any) -> list[tuple[str, str, str]]:
    return [(e.pointer, e.code, e.detail) for e in registry.check(app, task, kwargs)]


def test_kwargs_that_fit_the_signature_are_taken() -> None:
    assert faults("plain", country="fr", rows=3) == []
    assert faults("plain", country="fr", rows=3, dry_run=True, share=1) == []
    assert faults("bound", x=1) == []
    assert faults("by-class", x=1) == []
    assert faults("open", name="a", b=1) == []


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
        ("positional", {}, ("/kwargs", "positional_only", "'first' by position only")),
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


@pytest.mark.timeout(20)
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


def described(name: str) -> registry.TaskInfo:
    return next(task for task in registry.tasks(app) if task.name == name)


def test_the_list_of_tasks_has_the_users_and_not_celerys_own() -> None:
    names = {task.name for task in registry.tasks(app)}

    assert {"plain", "rich", "bound", "by-class"} <= names
    assert not {name for name in names if name.startswith(("celery.", "jobs_app."))}


def test_a_task_is_described_with_types_defaults_and_what_is_required() -> None:
    task = described("plain")

    assert task.description == "Do something plain."
    assert task.schema == {
        "type": "object",
        "properties": {
            "country": {"type": "string", "description": "Two letters, as ISO 3166 has them."},
            "rows": {"type": "integer", "description": "How many."},
            "dry_run": {"type": "boolean", "default": False},
            "share": {"type": "number", "default": 0.5},
        },
        "required": ["country", "rows"],
        "additionalProperties": False,
    }


def test_hints_of_every_kind_are_in_the_schema() -> None:
    schema = described("rich").schema

    properties = schema["properties"]
    assert properties["mode"]["enum"] == ["fast", "slow"]
    assert properties["colour"]["default"] == "red"
    assert properties["level"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 10,
        "default": 0,
        "description": "From 0 to 10.",
        "examples": [3],
    }
    assert schema["$defs"]["Window"]["required"] == ["start"]
    assert schema["examples"] == [{"level": 3}]
    assert "*" not in schema["required"]
    assert described("open").schema["additionalProperties"] == {"type": "integer"}
    assert described("forward").schema["properties"]["known"]["description"] == (
        "a number that is known"
    )
    assert described("forward").schema["properties"]["unknown"] == {"description": "nobody knows"}


SAMPLES: list[dict[str, Any]] = [
    {"numbers": [1]},
    {"numbers": "x"},
    {"colour": "green"},
    {"window": {"start": "2026-12-01T09:00:00Z"}},
    {"window": {}},
    {"level": 11},
    {"either": ["a"]},
    {"either": [1]},
    {"unheard_of": 1},
]


@pytest.mark.parametrize("kwargs", SAMPLES)
def test_the_schema_takes_what_the_check_takes(kwargs: dict[str, Any]) -> None:
    validator = Draft202012Validator(described("rich").schema)

    assert validator.is_valid(kwargs) == (faults("rich", **kwargs) == [])


def test_every_schema_is_a_json_schema() -> None:
    for task in registry.tasks(app):
        Draft202012Validator.check_schema(task.schema)


class Careful(Task[Any, Any]):
    """A task whose class has something to say of its arguments together."""

    abstract = True

    @staticmethod
    def faults_of(kwargs: dict[str, Any], _: Settings) -> Iterator[FieldError]:
        if kwargs.get("low", 0) > kwargs.get("high", 0):
            yield FieldError("/kwargs/low", "above_high", "low is above high.")

    @staticmethod
    def warnings_of(kwargs: dict[str, Any], _: Settings) -> Iterator[str]:
        if kwargs.get("low") == kwargs.get("high"):
            yield "low and high are the same."


@app.task(shared=False, name="careful", base=Careful)
def careful(low: int, high: int) -> None:
    """Care."""


def test_a_tasks_own_check_comes_after_that_of_its_signature() -> None:
    assert [code for _, code, _ in faults("careful", low=2, high=1)] == ["above_high"]
    assert [code for _, code, _ in faults("careful", low="2", high=1)] == ["wrong_type"]
    assert registry.warnings(app, "careful", {"low": 1, "high": 1}) == [
        "low and high are the same."
    ]
    assert registry.warnings(app, "careful", {"low": 2, "high": 1}) == []
    assert registry.warnings(app, "plain", {"country": "fr", "rows": 1}) == []


def test_every_argument_of_the_built_in_tasks_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()

    for task in filter(lambda task: is_built_in(task.name), registry.tasks(TASKS)):
        start = document.index(f"## `{task.name}`")
        section = document[start : document.index("\n## ", start + 1)]
        missing = [name for name in task.schema["properties"] if f"`{name}`" not in section]
        assert missing == [], task.name
        assert task.description
        assert "examples" in task.schema


def test_the_module_in_the_documentation_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    code = document.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "documented_reports.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("documented_reports")

    kwargs = {"country": "fr", "month": "2026-12-01"}
    arguments = arguments_of(made.app.tasks["documented_reports.monthly"])

    assert arguments is not None
    assert registry.check(made.app, "documented_reports.monthly", kwargs) == []
    assert made.monthly(**arguments.converted(kwargs)) == {
        "rows": 1000,
        "style": "short",
        "month": "2026-12-01",
        "run": None,
    }
