"""`jobs-app token`: who may sign in. It works on the server's machine, on the database itself."""

from datetime import datetime, timedelta

import click

from jobs_app.cli.accounts_session import accounts_session
from jobs_app.cli.client import Json
from jobs_app.cli.completion import person_names, token_names
from jobs_app.cli.failure import USAGE, Failure
from jobs_app.cli.format import Duration, OrNone
from jobs_app.cli.output import as_table, choice_of, json_or, print_note, print_text
from jobs_app.cli.run_view import instant_text
from jobs_app.core import clock
from jobs_app.core.roles import Scope
from jobs_app.core.text import rfc3339

#: The actor in the audit: somebody who may read the database and the key anyway.
BY = "jobs-app token"

MAX_NAME_LENGTH = 100


@click.group()
def token() -> None:
    """Create, list and revoke API tokens, on the server's machine."""


def _print_created(item: Json) -> None:
    print_text(item["token"])
    end = f"ends {instant_text(item['expires_at'])}" if item["expires_at"] else "has no end"
    print_note(f"This is the token {item['name']}. It cannot be shown again, and {end}.")


@token.command()
@click.argument("name")
@click.option(
    "--owner",
    metavar="PERSON",
    shell_complete=person_names,
    help="Whose rights it has; by default the service account NAME, made with the role admin.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=choice_of(Scope),
    help="Only these rights of its owner; repeatable. By default all.",
)
@click.option("--tag", "tags", multiple=True, help="Only jobs with one of these tags; repeatable.")
@click.option(
    "--expires",
    type=OrNone(Duration()),
    default="90d",
    show_default=True,
    metavar="DURATION",
    help="How long it works: 30d, or none for no end.",
)
@json_or(_print_created)
def create(
    name: str,
    owner: str | None,
    scopes: tuple[str, ...],
    tags: tuple[str, ...],
    expires: float | None,
) -> Json:
    """Create a token, and print it once.

    NAME says who or what uses it; the audit shows it. A token has the rights of its owner,
    or a part of them.
    """
    from jobs_app.accounts import admin_token, people, tokens

    if not name.isprintable() or not 0 < len(name.strip()) <= MAX_NAME_LENGTH:
        raise Failure(f"A name has 1 to {MAX_NAME_LENGTH} printable characters.", USAGE)
    if name == admin_token.ADMIN:
        raise Failure(f"{name} is the name of the token in the file admin-token.", USAGE)
    now = clock.now()
    limits = tokens.Limits(
        scopes=[Scope(scope) for scope in scopes] or None,
        tags=tags or None,
        expires_at=None if expires is None else _end(now, expires),
    )
    with accounts_session() as (session, _):
        if owner is None and not people.NAME.fullmatch(name):
            raise Failure("No account can have this name: add --owner PERSON.", USAGE)
        account = None if owner is None else people.get(session, owner)
        text = tokens.create(session, name, at=now, owner=account, limits=limits, by=BY)
    return {
        "name": name,
        "owner": owner or name,
        "scopes": list(scopes) or None,
        "tags": list(tags) or None,
        "token": text,
        "expires_at": _text(limits.expires_at),
    }


@token.command("list")
@json_or(
    as_table(
        {
            "ID": lambda item: str(item["id"]),
            "NAME": lambda item: item["name"],
            "OWNER": lambda item: item["owner"] or "-",
            "SCOPES": lambda item: ",".join(item["scopes"] or ["all"]),
            "TAGS": lambda item: (
                "all" if item["tags"] is None else ",".join(item["tags"]) or "none"
            ),
            "CREATED": lambda item: instant_text(item["created_at"]),
            "EXPIRES": lambda item: instant_text(item["expires_at"], absent="never"),
            "USED": lambda item: instant_text(item["last_used_at"], absent="never"),
        },
        empty="No tokens. Create one: jobs-app token create NAME",
        droppable={"SCOPES", "TAGS", "CREATED"},
    )
)
def list_tokens() -> Json:
    """List tokens by age, without the tokens themselves."""
    from jobs_app.accounts import tokens

    with accounts_session() as (session, _):
        items = [
            {
                "id": row.Token.id,
                "name": row.Token.name,
                "owner": row.Person and row.Person.name,
                "scopes": row.Token.scopes,
                "tags": row.Token.tags,
                "created_at": _text(row.Token.created_at),
                "expires_at": _text(row.Token.expires_at),
                "last_used_at": _text(row.Token.last_used_at),
                "last_used_address": row.Token.last_used_address,
            }
            for row in tokens.listed(session)
        ]
    return {"items": items}


@token.command()
@click.argument("name", shell_complete=token_names)
def revoke(name: str) -> None:
    """Revoke a token: it stops working at once.

    The token in the file admin-token is replaced by a new one.
    """
    from jobs_app.accounts import admin_token, tokens

    with accounts_session() as (session, settings):
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
