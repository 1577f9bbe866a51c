"""`jobs-app whoami`: the account and the token of the command line, and what they may do."""

import click

from jobs_app.cli.client import Json, connect
from jobs_app.cli.output import as_fields, json_or


def _fields(me: Json) -> dict[str, str | None]:
    return {
        "Account": me["account"],
        "Role": me["role"],
        "Grants": ", ".join(me["grants"]) or None,
        "Token": me["token"],
        "Scopes": ", ".join(me["scopes"]) or "none",
        "Tags": "all jobs" if me["tags"] is None else ", ".join(me["tags"]) or "no job",
        "May": "\n".join(me["may"]),
    }


@click.command()
@json_or(as_fields(_fields))
def whoami() -> Json:
    """Say which account and token the server takes you for, and what they may do."""
    return connect().read("/me")
