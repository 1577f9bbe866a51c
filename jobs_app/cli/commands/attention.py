"""`jobs-app attention`: what needs a person, and who takes care of it."""

import sys

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.failure import FAILED, NO_SUCH, Failure
from jobs_app.cli.output import as_table, json_option, print_json, print_note
from jobs_app.cli.run_view import instant_text


def _care(item: Json) -> str:
    """Return who takes care of *item*, and the note."""
    care = item["acknowledgement"]
    if care is None:
        return "-"
    note = f": {care['note']}" if care["note"] else ""
    return f"{care['by']}, since {instant_text(care['at'])}{note}"


_print_items = as_table(
    {
        "WHAT": lambda item: item["kind"],
        "OF": lambda item: item["job"] or item["queue"] or item["channel"] or "-",
        "SINCE": lambda item: instant_text(item["since"]),
        "WHY": lambda item: item["sentence"],
        "CAUSE": lambda item: ": ".join(filter(None, (item["error"], item["last_line"]))) or "-",
        "ON IT": _care,
        "RUN": lambda item: item["run"] or "-",
    },
    empty="Nothing needs you.",
    droppable={"RUN"},
)


@click.group(invoke_without_command=True)
@click.option(
    "--check", is_flag=True, help="Exit with 1 if there is anything that nobody takes care of."
)
@click.option(
    "--all", "counts_all", is_flag=True, help="With --check: also what somebody takes care of."
)
@json_option
@click.pass_context
def attention(context: click.Context, check: bool, counts_all: bool, as_json: bool) -> None:
    """List what needs a person, the most urgent first."""
    if counts_all and not check:
        raise click.UsageError("--all needs --check: the list always has all of it.")
    if context.invoked_subcommand is not None:
        return
    answer = connect().read("/attention")
    (print_json if as_json else _print_items)(answer)
    if check and any(counts_all or item["acknowledgement"] is None for item in answer["items"]):
        sys.exit(FAILED)


name_argument = click.argument("name")


@attention.command("ack")
@name_argument
@click.option("--note", help="What you do about it; all see it.")
def acknowledge(name: str, note: str | None) -> None:
    """Say that you take care of the lines about NAME: a job, queue, channel, kind or id."""
    client = connect()
    for item in _about(client, name):
        client.post(_path(item), {} if note is None else {"note": note})
        print_note(f"You are on it: {item['sentence']}")


@attention.command("unack")
@name_argument
def take_back(name: str) -> None:
    """Take that back for the lines about NAME, whoever said it."""
    client = connect()
    for item in _about(client, name):
        client.send("DELETE", _path(item))
        print_note(f"Nobody is on it: {item['sentence']}")


def _about(client: Client, name: str) -> list[Json]:
    """Return the lines about *name*; raises Failure if there are none."""
    keys = ("id", "job", "queue", "channel", "kind")
    items = client.read("/attention")["items"]
    about = [item for item in items if name in [item[key] for key in keys]]
    if not about:
        raise Failure(f"Nothing that needs attention is about {name!r}.", NO_SUCH)
    return about


def _path(item: Json) -> str:
    return f"/attention/{item['id']}/acknowledgement"
