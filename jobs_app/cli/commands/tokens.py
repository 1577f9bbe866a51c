"""`jobs-app token`: who may sign in. It works on the server's machine, on the database itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from jobs_app.cli.client import USAGE, Failure, Json
from jobs_app.cli.commands.processes import settings_for_database
from jobs_app.cli.format import Duration
from jobs_app.cli.output import as_table, json_or, print_note, print_text
from jobs_app.cli.run_view import instant_text
from jobs_app.core import clock
from jobs_app.core.text import rfc3339

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from jobs_app.core.settings import Settings

#: The actor in the audit: somebody who may read the database and the key anyway.
BY = "jobs-app token"

MAX_NAME_LENGTH = 100


@click.group()
def token() -> None:
    """Create, list and revoke API tokens, on the server's machine."""


@contextmanager
def _session() -> Iterator[tuple["Session", "Settings"]]:
    """Yield a session of the database of this machine's settings."""
    with settings_for_database() as settings:
        from jobs_app.db.engine import Database

        database = Database(settings.effective_database_url)
        try:
            with database.session() as session:
                yield session, settings
        finally:
            database.close()


def _print_created(item: Json) -> None:
    print_text(item["token"])
    print_note(f"This is the token {item['name']}. It cannot be shown again.")


@token.command()
@click.argument("name")
@click.option("--expires", type=Duration(), metavar="DURATION", help="How long it works: 90d.")
@json_or(_print_created)
def create(name: str, expires: float | None) -> Json:
    """Create a token, and print it once.

    NAME says who or what uses it; the audit shows it. A token allows everything.
    """
    from jobs_app.accounts import admin_token, tokens

    if not name.isprintable() or not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
        raise Failure(f"A name has 1 to {MAX_NAME_LENGTH} printable characters.", USAGE)
    if name == admin_token.ADMIN:
        raise Failure(f"{name} is the name of the token in the file admin-token.", USAGE)
    now = clock.now()
    expires_at = None if expires is None else _end(now, expires)
    with _session() as (session, _):
        text = tokens.create(session, name, at=now, expires_at=expires_at, by=BY)
    return {"name": name, "token": text, "expires_at": _text(expires_at)}


@token.command("list")
@json_or(
    as_table(
        {
            "ID": lambda item: str(item["id"]),
            "NAME": lambda item: item["name"],
            "CREATED": lambda item: instant_text(item["created_at"]),
            "EXPIRES": lambda item: instant_text(item["expires_at"], absent="never"),
            "USED": lambda item: instant_text(item["last_used_at"], absent="never"),
        },
        empty="No tokens. Create one: jobs-app token create NAME",
    )
)
def list_tokens() -> Json:
    """List tokens by age, without the tokens themselves."""
    from jobs_app.accounts import tokens

    with _session() as (session, _):
        items = [
            {
                "id": row.id,
                "name": row.name,
                "created_at": _text(row.created_at),
                "expires_at": _text(row.expires_at),
                "last_used_at": _text(row.last_used_at),
            }
            for row in tokens.listed(session)
        ]
    return {"items": items}


@token.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke a token: it stops working at once.

    The token in the file admin-token is replaced by a new one.
    """
    from jobs_app.accounts import admin_token, tokens

    with _session() as (session, settings):
        tokens.revoke(session, name, by=BY, at=clock.now())
        if name == admin_token.ADMIN and settings.admin_token_file.exists():
            print_note(f"A new one is in {admin_token.renew_admin_token(settings)}.")
    print_note(f"Revoked {name}.")


def _end(at: datetime, seconds: float) -> datetime:
    """Return the end of a token that works for *seconds* from *at*."""
    if seconds == 0:
        raise Failure("--expires 0 gives a token that never works.", USAGE)
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError as error:
        raise Failure("--expires is longer than any date: leave it out.", USAGE) from error


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else rfc3339(instant)
