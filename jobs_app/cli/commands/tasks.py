"""`jobs-app task`: what a job may run, and which arguments each takes."""

import json

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.completion import task_names
from jobs_app.cli.failure import NO_SUCH, Failure
from jobs_app.cli.output import (
    as_table,
    json_or,
    print_fields,
    print_items,
    print_text,
)
from jobs_app.cli.task_schema import sample_of, type_text
from jobs_app.core.text import did_you_mean

NO_WORKER = "No worker has these tasks now:"
NOW = "No worker has it now."


@click.group()
def task() -> None:
    """Look at the tasks that a job may run."""


_print_table = as_table(
    {
        "TASK": lambda task: task["name"],
        "ARGUMENTS": lambda task: _arguments(task["schema"]),
        "WHAT IT DOES": lambda task: task["description"],
    },
    empty="No tasks.",
    droppable={"ARGUMENTS"},
)


def _print_tasks(tasks: Json) -> None:
    _print_table(tasks)
    without = [task["name"] for task in tasks["items"] if not task.get("has_worker", True)]
    if without:
        click.echo(f"{NO_WORKER} {', '.join(without)}.", err=True)
    for sentence in tasks.get("broken_modules", ()):
        click.echo(sentence, err=True)


@task.command("list")
@json_or(_print_tasks)
def list_tasks() -> Json:
    """List the tasks, built in and yours, with their arguments; [those] may be left out."""
    return connect().read("/tasks")


def _print_task(task: Json) -> None:
    name, schema = task["name"], task["schema"]
    sample = f"jobs-app job create NAME {sample_of(name, schema)}"
    print_fields(
        {
            "Task": name,
            "What it does": task["description"],
            "For example": sample,
            "Declares": ", ".join(
                f"{name} {value}" for name, value in (task.get("declared") or {}).items()
            ),
            "Note": "\n".join(
                [*(task.get("notes") or ()), *(() if task.get("has_worker", True) else (NOW,))]
            ),
        }
    )
    print_text("")
    _print_properties("ARGUMENT", schema, schema, empty="It takes no arguments.")
    for model, fields in schema.get("$defs", {}).items():
        if fields.get("properties"):
            print_text(f"\n{model} is a JSON object.")
            _print_properties("FIELD", fields, schema, empty="")
    others = schema.get("additionalProperties")
    if others:
        kind = "" if others is True else f", each {type_text(others, schema)}"
        print_text(f"\nIt takes others too, by any name{kind}.")


def _print_properties(heading: str, of: Json, schema: Json, *, empty: str) -> None:
    """Print the properties of *of*, which is *schema* or a definition in it."""
    properties = of.get("properties", {})
    print_items(
        [{"name": name, "property": properties[name]} for name in properties],
        {
            heading: lambda item: item["name"],
            "TYPE": lambda item: type_text(item["property"], schema),
            "DEFAULT": lambda item: _default(item["name"], item["property"], of),
            "WHAT IT IS": lambda item: _about(item["property"]),
        },
        empty=empty,
    )


@task.command()
@click.argument("name", shell_complete=task_names)
@json_or(_print_task)
def show(name: str) -> Json:
    """Show what a task does, and its arguments with their types and defaults."""
    answer = connect().read("/tasks")
    tasks: dict[str, Json] = {item["name"]: item for item in answer["items"]}
    if name not in tasks:
        hint = "".join(f" {sentence}" for sentence in answer.get("broken_modules", ()))
        hint = did_you_mean(name, tasks) or hint
        raise Failure(f"There is no task {name!r}.{hint} See: jobs-app task list", NO_SUCH)
    return tasks[name]


def _arguments(schema: Json) -> str:
    required = schema.get("required", [])
    names = schema.get("properties", {})
    return " ".join([*required, *(f"[{name}]" for name in names if name not in required)])


def _default(name: str, property_: Json, schema: Json) -> str:
    if name in schema.get("required", []):
        return "required"
    default = property_.get("default")
    return "" if default is None else json.dumps(default, ensure_ascii=False)


def _about(property_: Json) -> str:
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}
    bounds = [f"{text} {property_[key]:g}" for key, text in words.items() if key in property_]
    parts = [property_.get("description", ""), f"({', '.join(bounds)})" if bounds else ""]
    return " ".join(filter(None, parts))
