"""`jobs-app task`, on what the API says of the tasks that there are."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from jobs_app.cli.task_schema import sample_of, type_text
from jobs_app.tasks import registry
from tests.cli.canned import Canned, CannedServer
from tests.cli.commands.test_jobs import complete
from tests.cli.conftest import Run
from tests.factories import TASKS, is_built_in


@pytest.fixture
def tasks(server: CannedServer) -> list[dict[str, Any]]:
    """The built-in tasks, as the API lists them."""
    items = [
        {"name": task.name, "description": task.description, "schema": task.schema}
        for task in registry.tasks(TASKS)
        if is_built_in(task.name)
    ]
    server.on("GET", "/tasks", Canned({"items": items}))
    return items


@pytest.mark.usefixtures("tasks")
def test_the_tasks_are_listed_with_what_they_need_first(run: Run) -> None:
    result = run("task", "list")

    lines = {line.split()[0]: " ".join(line.split()) for line in result.stdout.splitlines()}
    assert (
        "shell command [cwd] [env] [stdin] [shell] [success_exit_codes] [user] [limits]"
        in lines["shell"]
    )
    assert "email to subject [body]" in lines["email"]


def test_json_is_what_the_api_answered(run: Run, tasks: list[dict[str, Any]]) -> None:
    assert json.loads(run("task", "list", "--json").stdout) == {"items": tasks}
    assert json.loads(run("task", "show", "sleep", "--json").stdout) == tasks[-1]


@pytest.mark.usefixtures("tasks")
def test_a_task_is_shown_with_types_defaults_and_an_example(run: Run) -> None:
    output = run("task", "show", "http").stdout
    lines = {line.split()[0]: " ".join(line.split()) for line in output.splitlines() if line}

    assert "job create NAME --task http --arg url=https://example.com/" in output
    assert lines["url"].startswith("url text required The URL")
    assert lines["timeout_seconds"].startswith("timeout_seconds number 30 For everything")
    assert "(at most 86400, more than 0)" in lines["timeout_seconds"]
    assert lines["verify"].startswith("verify true or false or text true Whether to check")
    assert lines["expect_status"].startswith("expect_status list of whole numbers - The statuses")
    assert lines["expect_json"].startswith("expect_json ExpectJson - A value that")
    assert lines["method"].startswith('method "GET" | "HEAD"')


class Span(BaseModel):
    """A part of a window."""

    hours: int = Field(ge=1, description="How long.")


class Window(BaseModel):
    """Which rows a task takes."""

    limit: int = Field(1000, ge=1, description="Most rows.")
    table: str
    spans: list[Span] = []


def test_the_fields_of_a_model_are_shown(server: CannedServer, run: Run) -> None:
    definition = Window.model_json_schema(ref_template="#/$defs/{model}")
    schema = {
        "properties": {"window": {"$ref": "#/$defs/Window"}},
        "required": ["window"],
        "$defs": {"Window": definition, **definition.pop("$defs")},
    }
    purge = {"name": "purge", "description": "Purge.", "schema": schema}
    server.on("GET", "/tasks", Canned({"items": [purge]}))

    lines = [" ".join(line.split()) for line in run("task", "show", "purge").stdout.splitlines()]

    assert "window Window required -" in lines
    assert "Window is a JSON object." in lines
    assert "limit whole number 1000 Most rows. (at least 1)" in lines
    assert "table text required -" in lines
    assert "spans list of Span [] -" in lines
    assert "hours whole number required How long. (at least 1)" in lines


def test_a_broken_module_is_named_with_the_tasks(run: Run, server: CannedServer) -> None:
    sentence = "The module 'reports' of JOBS_IMPORTS cannot be imported: ValueError: no."
    server.on("GET", "/tasks", Canned({"items": [], "broken_modules": [sentence]}))

    assert run("task", "list").stderr.endswith(f"{sentence}\n")
    missing = run("task", "show", "reports.monthly")
    assert f"There is no task 'reports.monthly'. {sentence}" in missing.stderr


@pytest.mark.usefixtures("tasks")
def test_a_task_that_there_is_not_ends_with_3_and_a_guess(run: Run) -> None:
    result = run("task", "show", "shel")

    assert result.exit_code == 3
    assert "There is no task 'shel'. Did you mean 'shell'?" in result.stderr


@pytest.mark.usefixtures("tasks")
def test_tab_offers_tasks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(monkeypatch, run, "jobs-app task show s") == ["shell", "sleep"]
    assert complete(monkeypatch, run, "jobs-app job create x --task e") == ["email"]


@pytest.mark.parametrize(
    "property_, text",
    [
        ({}, "anything"),
        ({"type": "string", "format": "date-time"}, "instant"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number"),
        (
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
            "text or list of texts",
        ),
        ({"$ref": "#/$defs/Window"}, "Window"),
        ({"$ref": "#/$defs/JsonValue"}, "anything"),
        ({"$ref": "#/$defs/Numbers"}, "list of numbers"),
        ({"$ref": "#/$defs/Colour", "default": "red"}, '"red" | "blue"'),
        ({"enum": list(range(9))}, "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | …"),
        ({"const": "x"}, '"x"'),
        ({"type": "array", "items": {"type": "array", "items": {}}}, "list of lists"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}},
            "list of whole numbers or true or false",
        ),
        ({"type": "array", "items": {"type": "string", "format": "date"}}, "list of dates"),
    ],
)
def test_a_type_is_described_in_few_words(property_: dict[str, Any], text: str) -> None:
    defs = {
        "Window": {"type": "object"},
        "Colour": {"enum": ["red", "blue"], "type": "string"},
        "JsonValue": {},
        "Numbers": {"type": "array", "items": {"type": "number"}},
    }

    assert type_text(property_, {"$defs": defs}) == text


def test_an_example_can_be_typed_as_it_stands() -> None:
    schema = {
        "required": ["name", "n", "none"],
        "examples": [{"name": "two words", "n": [1, 2]}],
    }

    assert (
        sample_of("Monthly report", schema)
        == "--task 'Monthly report' --arg name='two words' --arg n='[1, 2]' --arg none=…"
    )
