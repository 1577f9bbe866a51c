"""The problems that the API describes, as sentences about what was typed."""

import re
from collections.abc import Callable
from functools import reduce
from typing import Any
from urllib.parse import unquote

import click
from click.core import ParameterSource

from jobs_app.core.text import did_you_mean

#: The lists in which a name that is not found may have a neighbour.
COLLECTIONS = {"jobs", "secrets", "channels"}

#: The arguments that set a field.
ARGUMENTS = {"/name": "name", "/schedule/cron": "expression"}

#: The options that set a field without being a FieldOption.
PARAMETERS = {
    "/schedule/cron": "cron",
    "/schedule/interval_seconds": "every",
    "/schedule/every": "every",
    "/schedule/at": "at",
    "/schedule/on": "on_start",
    "/schedule/timezone": "timezone",
    "/schedule/anchor_at": "anchor",
    "/schedule/start_at": "start_at",
    "/schedule/end_at": "end_at",
    "/schedule/jitter_seconds": "jitter",
    "/kwargs/command": "shell_command",
    "/kwargs/user": "shell_user",
    "/kwargs": "arguments",
    "/notify": "notify",
    "/tags": "tags",
    "/run_arguments": "run_arguments",
    "/value": "source",
    "/url": "url",
    "/webhook/url": "webhook",
    "/events": "events",
}

_WHOLE_SCHEDULE = re.compile(r"/schedules/([0-9]+)")
_SCHEDULE = re.compile(r"^/schedules/([0-9]+)(?=/)")


class FieldOption(click.Option):
    """An option that sets one field of the API, at *pointer* (RFC 6901)."""

    def __init__(self, *args: Any, pointer: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pointer = pointer


def sentences(problem: dict[str, object], name: Callable[[str], str] | None = None) -> list[str]:
    """Return the sentences of a problem: its detail, then one line for each invalid field.

    *name* gives the name of a field. Without it, a field that an option of the command sets is
    called by that option, if it was typed.
    """
    name = name or typed_as
    detail = str(problem.get("detail") or problem.get("title") or "The server refused.")
    fields = problem.get("errors")
    errors = [
        (error.get("pointer") or error.get("parameter") or "the whole", str(error.get("detail")))
        for error in (fields if isinstance(fields, list) else [])
    ]
    # A detail that joins the fields' sentences, or repeats the first, would say it twice.
    rest = ""
    known = [sentence for _, sentence in errors]
    if errors and (detail in known or all(sentence in detail for sentence in known)):
        rest = reduce(lambda text, error: text.replace(error[1], "", 1), errors, detail).strip()
        detail = f"{problem.get('title') or 'Not valid'}:"
    lines = [f"  {name(pointer)}: {sentence}" for pointer, sentence in errors]
    return [detail, *lines, *([f"  {rest}"] if rest else [])]


def typed_as(pointer: str) -> str:
    """Return the option or argument that was typed for the field at *pointer*, else *pointer*.

    The name of a parameter of the address is typed as an option of the same name.
    """
    if match := _WHOLE_SCHEDULE.fullmatch(pointer):
        return f"schedule {int(match[1]) + 1}"
    context = click.get_current_context(silent=True)
    if context is None:
        return pointer
    for option in context.command.params:
        is_typed = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if is_typed and _sets(option, pointer):
            typed = (
                option.opts[0] if isinstance(option, click.Option) else option.human_readable_name
            )
            return typed + _number_of_schedule(pointer)
    # A part of a value belongs to the option of the whole value.
    parent = pointer.rpartition("/")[0]
    option_name = typed_as(parent) if parent else parent
    return pointer if option_name == parent else option_name


def _number_of_schedule(pointer: str) -> str:
    """Return " of schedule 2" for a field of one of several schedules, else ""."""
    match = _SCHEDULE.match(pointer)
    return f" of schedule {int(match[1]) + 1}" if match else ""


def _sets(option: click.Parameter, pointer: str) -> bool:
    # Options stand for fields of each of several schedules.
    pointer = _SCHEDULE.sub("/schedule", pointer)
    if isinstance(option, FieldOption):
        return option.pointer == pointer
    if isinstance(option, click.Argument):
        return option.name == ARGUMENTS.get(pointer)
    return f"--{pointer}" in option.opts or option.name == PARAMETERS.get(pointer)


def name_hint(path: str, names: Callable[[str], list[str]]) -> str:
    """Return " Did you mean …?" for the address *path* of an item that does not exist, or "".

    *names* gives the names in a list of the API, such as `/jobs`.
    """
    collection, _, rest = path.partition("/api/v1/")[2].partition("/")
    if collection not in COLLECTIONS or not rest:
        return ""
    name, known = unquote(rest.partition("/")[0]), names(f"/{collection}")
    # The item may be there, and what is missing is below it.
    return "" if name in known else did_you_mean(name, known)
