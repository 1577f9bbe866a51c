"""How answers are printed: tables and colour on a terminal, aligned text in a pipe, or JSON.

All text that comes from the server passes through `plain` or `one_line` here.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from typing import Any

import click

from jobs_app.cli.client import Json
from jobs_app.cli.failure import Failure
from jobs_app.cli.format import Choices, one_line
from jobs_app.cli.param_type import Choice
from jobs_app.core.escape_sequences import plain

# The heading of each column of a table, and how it writes an item.
Columns = dict[str, Callable[[Json], str]]

STYLES = {
    "active": "green",
    "paused": "yellow",
    "ended": "dim",
    "waiting": "blue",
    "queued": "blue",
    "running": "cyan",
    "retrying": "yellow",
    "succeeded": "green",
    "failed": "bold red",
    "timed_out": "bold red",
    "lost": "bold red",
    "cancelled": "yellow",
    "skipped": "yellow",
    "missed": "yellow",
    "observed": "cyan",
}
# Only these columns begin with a state; a job may be called "failed".
STYLED = {"STATE", "LAST RUN"}
# These columns may take more than one line where the terminal is narrow.
FOLDED = {"SCHEDULE", "CLOCKS", "WORKER", "ERROR"}
# A text folded narrower than this cannot be read.
FOLDED_WIDTH = 10

# JSON escapes C0 by itself, but leaves DEL, C1, direction marks and surrogates as they are.
UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's own JSON.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Change nothing; show what would happen."
)
count_option = click.option(
    "--count", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many fires."
)


def options(*decorators: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that adds several options, which --help lists in this order."""

    def add_options(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return add_options


def choice_of(values: Iterable[StrEnum]) -> Choice:
    """Return the type of an option that takes one of these values."""
    return Choice([value.value for value in values])


def any_of(
    option: str, words: Iterable[str] | None, text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a filter that takes one of *words* or several, repeated or with commas.

    None takes any word. The command gets them as the text of a query; None without any.
    """
    word = option.rpartition("-")[2].upper()
    type_ = click.STRING if words is None else Choices(words, f"{word},…")

    def joined(ctx: click.Context, param: click.Parameter, values: Sequence[Any]) -> str | None:
        texts = [value if isinstance(value, str) else ",".join(value) for value in values]
        return ",".join(texts) or None

    return click.option(
        option, multiple=True, type=type_, metavar=f"{word},…", callback=joined, help=text
    )


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --limit and --all, which give the command one `limit` (None: no limit)."""

    @click.option(
        "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most to list."
    )
    @click.option("--all", "list_all", is_flag=True, help="List all of them.")
    @wraps(command)
    def limited(*, limit: int, list_all: bool, **options: Any) -> Any:
        return command(limit=None if list_all else limit, **options)

    return limited


def on_terminal() -> bool:
    """Tell whether a person reads standard output."""
    return sys.stdout.isatty()


def print_json(body: object) -> None:
    """Print *body* as JSON with the same meaning, harmless on any terminal."""
    # An encoding without all characters gets JSON's escapes.
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(body, indent=2, ensure_ascii=not is_unicode)
    click.echo(UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def print_text(text: str) -> None:
    """Print text, which may come from the server, harmless on any terminal."""
    click.echo(plain(text))


def print_note(text: str) -> None:
    """Print a sentence that is not part of the answer, on standard error."""
    click.echo(plain(text), err=True)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print the warnings of an answer, on standard error."""
    for warning in warnings:
        print_note(f"Note: {warning}")


def json_or(show: Callable[[Any], None]) -> Callable[..., Callable[..., None]]:
    """Return a decorator that adds --json to a command, which returns the API's answer.

    The answer is printed as JSON, or else by *show*.
    """

    def add_json(command: Callable[..., Any]) -> Callable[..., None]:
        @json_option
        @wraps(command)
        def printing(*, as_json: bool, **options: Any) -> None:
            (print_json if as_json else show)(command(**options))

        return printing

    return add_json


def as_fields(fields: Callable[[Json], Mapping[str, str | None]]) -> Callable[[Json], None]:
    """Return a function that prints the *fields* of an item."""
    return lambda item: print_fields(fields(item))


def as_table(
    columns: Columns, *, empty: str, droppable: Collection[str] = ()
) -> Callable[[Json], None]:
    """Return a function that prints a list of the API as a table, with a note if it goes on."""

    def print_list(answer: Json) -> None:
        print_items(answer["items"], columns, empty=empty, droppable=droppable)
        if answer.get("next_cursor") is not None:
            print_note("There are more: use --limit or --all.")

    return print_list


def print_items(
    items: Iterable[Json], columns: Columns, *, empty: str, droppable: Collection[str] = ()
) -> None:
    """Print a table with a row for each item; without items print *empty* on standard error.

    A terminal that is too narrow gets no *droppable* columns.
    """
    rows = [[one_line(text_of(item)) or "-" for text_of in columns.values()] for item in items]
    if not rows:
        print_note(empty)
        return
    table = [list(columns), *rows]
    if not on_terminal():
        click.echo("\n".join(_aligned(table)))
        return
    if max(map(len, _aligned(table))) > shutil.get_terminal_size().columns:
        indexes = [index for index, heading in enumerate(columns) if heading not in droppable]
        table = [[row[index] for index in indexes] for row in table]
    _rich_table(table[0], table[1:])


def print_fields(fields: Mapping[str, str | None]) -> None:
    """Print one line a field, values aligned; those that are None or empty are left out."""
    present = {name: value for name, value in fields.items() if value}
    width = max(map(len, present), default=0) + 2
    for name, value in present.items():
        first, *more = plain(value).splitlines() or [""]
        label = click.style(name.ljust(width), dim=True)
        first = _coloured(first) if name == "State" else first
        click.echo(label + first, color=False if os.environ.get("NO_COLOR") else None)
        for line in more:
            click.echo(" " * width + line)


def _coloured(text: str) -> str:
    colour = STYLES.get(re.split(r"\W", text)[0], "").split(" ")[-1]
    return click.style(text, fg=colour) if colour not in {"", "dim"} else text


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # rich is imported only for a terminal: a pipe should not wait for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # rich leaves bold and dim with NO_COLOR: only colours go.
    is_plain = bool(os.environ.get("NO_COLOR"))
    styles = {} if is_plain else STYLES
    header_style = "none" if is_plain else "dim"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=header_style)
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in FOLDED, overflow="fold")
    for row in rows:
        # Text, because a plain str would be read as rich's markup.
        table.add_row(
            *(
                Text(cell, style=styles.get(cell.split(" ")[0], "") if head in STYLED else "")
                for head, cell in zip(headings, row, strict=True)
            )
        )
    # The terminal breaks lines that are too long; rich would cut the end off an id.
    Console(width=max(Console().width, _least_width(headings, rows))).print(table)


def _least_width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the least width of a table that loses no character and can still be read."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    least = [
        min(width, FOLDED_WIDTH) if heading in FOLDED else width
        for heading, width in zip(headings, widths, strict=True)
    ]
    return sum(least) + 2 * len(least)


def confirm_deletion(question: str, *, yes: bool) -> None:
    """Ask *question*, unless *yes*. Raises Failure at a no, UsageError with nobody to ask."""
    confirm(question, yes=yes, verb="delete", refusal="Nothing was deleted.")


def confirm(question: str, *, yes: bool, verb: str, refusal: str) -> None:
    """Ask *question*, unless *yes*.

    Raises Failure with *refusal* at a no, and UsageError if nobody is there who could *verb*.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"Add --yes to {verb} without being asked.")
    if not click.confirm(question, err=True):
        raise Failure(refusal)
