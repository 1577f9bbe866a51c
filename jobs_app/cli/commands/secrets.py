"""`jobs-app secret`: values that jobs refer to by name; they go in and never come out."""

import sys
from pathlib import Path

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.commands.processes import rotate
from jobs_app.cli.completion import secret_names
from jobs_app.cli.format import exact
from jobs_app.cli.output import (
    as_fields,
    as_table,
    confirm_deletion,
    json_option,
    json_or,
    limit_options,
    print_json,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.paths import secret_path
from jobs_app.cli.run_view import instant_text
from jobs_app.secrets.references import OPENING

name_argument = click.argument("name", shell_complete=secret_names)


@click.group()
def secret() -> None:
    """Store passwords and tokens, to be used by jobs as ${secret:NAME}."""


secret.add_command(rotate)


@secret.command("list")
@limit_options
@json_or(
    as_table(
        {
            "NAME": lambda item: item["name"],
            "CHANGED": lambda item: instant_text(item["updated_at"]),
            "USED": lambda item: instant_text(item["last_used_at"], absent="never"),
            "DESCRIPTION": lambda item: item["description"],
        },
        empty="No secrets. Store one: jobs-app secret set GITHUB_TOKEN",
        droppable={"DESCRIPTION"},
    )
)
def list_secrets(limit: int | None) -> Json:
    """List secrets by name, without their values."""
    return connect().page("/secrets", limit=limit)


def _secret_fields(item: Json) -> dict[str, str | None]:
    return {
        "Secret": item["name"],
        "Description": item["description"],
        "Reference": f"{OPENING}{item['name']}}}",
        "Jobs": ", ".join(item["jobs"]) or "none",
        "Used": exact(item["last_used_at"]) if item["last_used_at"] else "never",
        "Created": exact(item["created_at"]),
        "Changed": f"{exact(item['updated_at'])} by {item['updated_by']} "
        f"(version {item['version']})",
    }


@secret.command()
@name_argument
@json_or(as_fields(_secret_fields))
def show(name: str) -> Json:
    """Show what is known of a secret, and which jobs use it; never its value."""
    return connect().read(secret_path(name))


@secret.command("set")
@name_argument
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help="Read the value from a file, or - for standard input; without it you are asked.",
)
@click.option("--description", help="What it is for.")
@click.option("--keep-value", is_flag=True, help="Change the description only.")
@json_option
def set_secret(
    name: str, source: str | None, description: str | None, keep_value: bool, as_json: bool
) -> None:
    """Store a secret, or give it a new value.

    The value is typed without being shown, or read with --from: an argument would be
    seen by every process of this machine. The line end after a single line is no part of it.

    \b
    Example:
      pass show github | jobs-app secret set GITHUB_TOKEN --from -
    """
    if keep_value and source is not None:
        raise click.UsageError("--keep-value and --from do not go together.")
    if keep_value and description is None:
        raise click.UsageError("--keep-value needs --description: nothing else would change.")
    if source is None and not keep_value and not sys.stdin.isatty():
        raise click.UsageError("Add --from FILE, or --from - to read the value from this input.")
    client = connect()
    present = client.find(secret_path(name))
    body: Json = {} if description is None else {"description": description}
    if not keep_value:
        body["value"] = _ask_for_value(name) if source is None else _read(source)
    etag = None if present is None else present.etag
    answer = client.send("PUT", secret_path(name), body=body, if_match=etag)
    print_warnings(answer.body.get("warnings") or ())
    if as_json:
        print_json(answer.body)
        return
    verb = "Stored" if present is None else "Changed"
    print_text(f"{verb} {name}. Jobs refer to it as {OPENING}{name}}}.")


def _ask_for_value(name: str) -> str:
    value: str = click.prompt(
        f"Value of {name}", hide_input=True, confirmation_prompt="Once more", err=True
    )
    return value


def _read(source: str) -> str:
    """Return the value in the file *source*, "-" for standard input."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = data.decode()
    except OSError as error:
        raise click.UsageError(f"Cannot read {source}: {error.strerror}.") from error
    except UnicodeDecodeError:
        # `from None`: the UnicodeDecodeError holds the value.
        raise click.UsageError(f"{source} is not text in UTF-8: encode it first.") from None
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line else line


@secret.command()
@name_argument
@click.option("--force", is_flag=True, help="Also while jobs refer to it: their runs will fail.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(name: str, force: bool, yes: bool) -> None:
    """Delete a secret; refused while jobs refer to it."""
    client = connect()
    current = client.get(secret_path(name))
    confirm_deletion(f"Delete {name}? Its value cannot be had back.", yes=yes)
    params = {"force": force or None}
    client.send("DELETE", secret_path(name), params=params, if_match=current.etag)
    print_text(f"Deleted {name}.")
    if current.body["jobs"]:
        print_note(f"These jobs will fail without it: {', '.join(current.body['jobs'])}.")
