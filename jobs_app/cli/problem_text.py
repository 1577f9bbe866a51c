"""The problems that the API describes, as sentences about what was typed."""

from collections.abc import Callable
from functools import reduce
from urllib.parse import unquote

import click
from click.core import ParameterSource

from jobs_app.core.text import did_you_mean

#: The lists in which a name that is not found may have a neighbour.
COLLECTIONS = {"jobs", "secrets", "channels"}

#: The parameter of a command that sets a field, where `job_options` does not derive it.
PARAMETERS = {
    "/name": "name",
    "/schedule/cron": "cron",
    "/schedule/interval_seconds": "every",
    "/schedule/at": "at",
    "/schedule/timezone": "timezone",
    "/schedule/anchor_at": "anchor",
    "/schedule/start_at": "start_at",
    "/schedule/end_at": "end_at",
    "/schedule/jitter_seconds": "jitter",
    "/kwargs/command": "shell_command",
    "/tags": "tags",
}


def sentences(problem: dict[str, object]) -> list[str]:
    """Return the sentences of a problem: its detail, then one line for each invalid field.

    A field that an option of the command sets is called by that option, if it was typed.
    """
    detail = str(problem.get("detail") or problem.get("title") or "The server refused.")
    fields = problem.get("errors")
    errors = [
        (error.get("pointer") or error.get("parameter") or "the whole", str(error.get("detail")))
        for error in (fields if isinstance(fields, list) else [])
    ]
    # A detail that only joins the fields' sentences would say everything twice.
    rest = ""
    if errors and all(sentence in detail for _, sentence in errors):
        rest = reduce(lambda text, error: text.replace(error[1], "", 1), errors, detail).strip()
        detail = f"{problem.get('title') or 'Not valid'}:"
    lines = [f"  {typed_as(pointer)}: {sentence}" for pointer, sentence in errors]
    return [detail, *lines, *([f"  {rest}"] if rest else [])]


def typed_as(pointer: str) -> str:
    """Return the option that was typed for the field at *pointer*, else the pointer itself."""
    context = click.get_current_context(silent=True)
    if context is None:
        return pointer
    parameter = PARAMETERS.get(pointer) or _derived().get(pointer)
    # An item of a list belongs to the option of the list.
    if parameter is None and pointer.rpartition("/")[2].isdigit():
        return typed_as(pointer.rpartition("/")[0])
    for option in context.command.params:
        is_option = isinstance(option, click.Option) and option.name == parameter
        if is_option and context.get_parameter_source(parameter or "") is (
            ParameterSource.COMMANDLINE
        ):
            return option.opts[0]
    return pointer


def _derived() -> dict[str, str]:
    # It takes a while to import, and imports the client that asks here.
    from jobs_app.cli.job_options import OPTIONS

    return {"/" + "/".join(option.path): option.parameter for option in OPTIONS}


def name_hint(path: str, names: Callable[[str], list[str]]) -> str:
    """Return " Did you mean …?" for the address *path* of an item that does not exist, or "".

    *names* gives the names in a list of the API, such as `/jobs`.
    """
    collection, _, rest = path.partition("/api/v1/")[2].partition("/")
    if collection not in COLLECTIONS or not rest:
        return ""
    return did_you_mean(unquote(rest.partition("/")[0]), names(f"/{collection}"))
