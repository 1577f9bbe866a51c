"""The list of tasks shows the arguments that each takes."""

import importlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pytest
from celery import Celery, Task

# The package has no types, or does not exist on purpose.
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel, EmailStr, Field
from pydantic_core import core_schema

from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.tasks import registry
from jobs_app.tasks.arguments import arguments_of
from jobs_app.tasks.task_info import TaskInfo
from tests.factories import TASKS, is_built_in
from tests.tasks.sample_tasks import app, faults


def described(name: str) -> TaskInfo:
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
    assert registry.argument_warnings(app, "careful", {"low": 1, "high": 1}) == [
        "low and high are the same."
    ]
    assert registry.argument_warnings(app, "careful", {"low": 2, "high": 1}) == []
    assert registry.argument_warnings(app, "plain", {"country": "fr", "rows": 1}) == []


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


class NoSchema:
    """A class whose hook for pydantic raises."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        raise RuntimeError("no schema")


class NoJsonSchema:
    """A class whose hook for JSON Schema raises."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> Any:
        raise ZeroDivisionError


class Exits:
    """A class whose hook for pydantic ends the process."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        sys.exit(3)


class Interrupts(NoJsonSchema):
    """A class whose hook for JSON Schema does so in another way."""

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> Any:
        raise KeyboardInterrupt


class Limits(BaseModel):
    """A model with a default that JSON lacks."""

    most: float = math.inf


class ExitingText:
    """A default whose class ends the process."""

    def __repr__(self) -> str:
        sys.exit(3)

    __str__ = __repr__


class NoText:
    """A default whose class raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


broken_app = Celery("tests.broken", set_as_current=False)
HINTS: dict[str, Any] = {
    "look-ahead": Annotated[str, Field(pattern=r"^(?!x)\w+$")],
    "mail-address": EmailStr,
    "no-schema": NoSchema,
    "no-json-schema": NoJsonSchema,
    "exits": Exits,
    "interrupts": Interrupts,
    "list": list[NoSchema],
}
DEFAULTS: dict[str, Any] = {
    "inf": math.inf,
    "nan": math.nan,
    "huge": 10**5000,
    "no-text": NoText(),
    "exiting-text": ExitingText(),
    "surrogate": "\ud800",
}


def _broken(name: str, hint: Any, default: Any) -> None:
    def task(x: Any = default, rows: int = 1) -> None:
        """Be described."""

    task.__annotations__["x"] = hint
    broken_app.task(shared=False, name=name)(task)


for _name, _hint in HINTS.items():
    _broken(_name, _hint, None)
for _name, _default in DEFAULTS.items():
    _broken(_name, Any, _default)
_broken("model", Limits, None)
broken_app.finalize()


def test_a_hint_or_default_that_raises_spoils_only_its_own_argument() -> None:
    infos = {task.name: task for task in registry.tasks(broken_app)}

    assert json.dumps([asdict(task) for task in infos.values()], allow_nan=False)
    assert {*HINTS, *DEFAULTS, "model"} <= infos.keys()
    for name in HINTS:
        assert infos[name].schema["properties"]["rows"] == {"type": "integer", "default": 1}
        assert "The argument 'x' takes anything: its hint raises" in infos[name].notes[0]
        assert registry.check(broken_app, name, {"x": [1], "rows": 2}) == []
        assert registry.check(broken_app, name, {"rows": "2"}) != []
    for name in DEFAULTS:
        assert "rows" in infos[name].schema["properties"]
    assert "In its schema" in infos["model"].notes[0]


def test_a_docstring_or_signature_that_raises_leaves_the_task_in_the_list() -> None:
    app = Celery("tests.odd", set_as_current=False)

    class Odd(Task[Any, Any]):
        name = "odd"

        class run:  # noqa: N801  # what a task is called by
            @property
            def __signature__(self) -> Any:
                raise RuntimeError("no signature")

    app.register_task(Odd())

    @app.task(shared=False, name="fine")
    def fine() -> None:
        """Be listed."""

    app.finalize()

    infos = {task.name: task for task in registry.tasks(app)}

    assert infos["odd"].schema == {"type": "object"}
    assert "fine" in infos


def test_a_command_task_runs_commands_under_each_of_its_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_code(code: str) -> None:
        """Run any code."""

    def other(code: str) -> None:
        """Run none."""

    users = Celery("users", set_as_current=False)
    for name, function in (("tools.run", run_code), ("pkg.tools.run", run_code), ("x", other)):
        users.task(shared=False, name=name)(function)
    for name in ("nothing-to-run", "nothing-else"):
        users.register_task(type("Bare", (Task,), {"name": name})())
    monkeypatch.setenv("JOBS_COMMAND_TASKS", "tools.run, tools:run, nothing-to-run")

    runs_commands = {name for name in registry.names(users) if registry.runs_commands(users, name)}

    assert runs_commands == {"shell", "tools.run", "pkg.tools.run", "nothing-to-run"}
    assert registry.unknown_command_tasks(users) == ["tools:run"]


def test_a_task_is_described_once_for_the_same_settings() -> None:
    class Ours(Celery):
        settings = Settings()

    ours = Ours("ours", set_as_current=False)

    @ours.task(shared=False, name="counted")
    def counted(number: int) -> None:
        """Count."""

    first = registry.task_info(ours, "counted")
    again = registry.task_info(ours, "counted")
    ours.settings = Settings()

    assert first is not None
    assert again is first
    assert registry.task_info(ours, "counted") is not first
