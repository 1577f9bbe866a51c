"""`jobs-app person`: people and service accounts, on the server's machine."""

import shlex
from typing import TYPE_CHECKING

import click

from jobs_app.cli.accounts_session import accounts_session
from jobs_app.cli.client import Json
from jobs_app.cli.commands import sign_ins
from jobs_app.cli.commands.sign_ins import BY, made_link, name_argument, print_link
from jobs_app.cli.output import (
    as_fields,
    as_table,
    choice_of,
    confirm_deletion,
    json_or,
    options,
    print_note,
    print_text,
)
from jobs_app.cli.param_type import Choice
from jobs_app.cli.run_view import instant_text
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Grant, Role
from jobs_app.core.text import rfc3339

if TYPE_CHECKING:
    from jobs_app.db.models.accounts import Person

#: Lists show at most so many accounts.
MOST = 10_000

#: Said where the grant is given.
COMMANDS_NOTE = (
    "With `jobs-app up`, commands run as the user who owns the database: there the grant"
    " `commands` is as good as the role `admin`."
)

rights_options = options(
    click.option(
        "--grant",
        "grants",
        multiple=True,
        type=Choice([*(grant.value for grant in Grant), ""]),
        help="Right of an editor; repeatable, '' clears.",
    ),
    click.option(
        "--tag",
        "tags",
        multiple=True,
        help="Only jobs with one of these tags; repeatable, '' clears.",
    ),
)


@click.group()
def person() -> None:
    """Add, change and remove people and service accounts, on the server's machine."""


for command in (
    sign_ins.link,
    sign_ins.list_links,
    sign_ins.revoke_link,
    sign_ins.list_sessions,
    sign_ins.sign_out,
):
    person.add_command(command)


def _fields(item: Json) -> dict[str, str | None]:
    return {
        "Account": item["name"],
        "Kind": item["kind"],
        "Role": item["role"],
        "Grants": ", ".join(item["grants"]) or None,
        "Tags": "all jobs" if item["tags"] is None else ", ".join(item["tags"]),
        "Password": _password(item),
        "State": _state(item),
        "Seen": instant_text(item["last_seen_at"], absent="never"),
        "Created": instant_text(item["created_at"]),
    }


def _password(item: Json) -> str | None:
    if item["kind"] == AccountKind.SERVICE:
        return None
    if item["has_password"]:
        return "chosen"
    return f"not yet: jobs-app person link {shlex.quote(item['name'])}"


def _state(item: Json) -> str:
    return "enabled" if item["disabled_at"] is None else "disabled"


@person.command()
@click.argument("name")
@click.option("--role", type=choice_of(Role), required=True, help="What the account may do.")
@rights_options
@click.option("--service", is_flag=True, help="A service account, which has only tokens.")
@click.option("--link", "links", is_flag=True, help="Make a link to choose a password with.")
@json_or(lambda item: _print_added(item))
def add(
    name: str,
    role: str,
    grants: tuple[str, ...],
    tags: tuple[str, ...],
    service: bool,
    links: bool,
) -> Json:
    """Add a person, or a service account.

    With --link it prints a link for the person, who chooses a password with it. Give the
    account a token with: jobs-app token create TOKEN --owner NAME
    """
    if service and links:
        raise click.UsageError("A service account has only tokens: leave out --link.")
    from jobs_app.accounts import people

    given = tuple(Grant(grant) for grant in grants if grant)
    rights = people.Rights(Role(role), given, tuple(tag for tag in tags if tag) or None)
    kind = AccountKind.SERVICE if service else AccountKind.PERSON
    with accounts_session() as (session, settings):
        made = people.create(session, name, kind, rights, by=BY, at=clock.now())
        item = _shown(made)
        if links:
            new = made_link(session, made, settings)
            item |= {"link": new["link"], "link_kind": new["kind"]}
            item["link_expires_at"] = new["expires_at"]
    _note_commands(given)
    return item


def _print_added(item: Json) -> None:
    print_text(f"Added {item['name']}, {item['role']}.")
    if "link" in item:
        print_link(item["link"], item["link_expires_at"])


@person.command("list")
@json_or(
    as_table(
        {
            "NAME": lambda item: item["name"],
            "KIND": lambda item: item["kind"],
            "ROLE": lambda item: item["role"],
            "GRANTS": lambda item: ",".join(item["grants"]),
            "TAGS": lambda item: "all" if item["tags"] is None else ",".join(item["tags"]),
            "STATE": _state,
            "SEEN": lambda item: instant_text(item["last_seen_at"], absent="never"),
        },
        empty="No accounts. Add one: jobs-app person add NAME --role viewer",
    )
)
def list_people() -> Json:
    """List people and service accounts by name."""
    from jobs_app.accounts import people

    with accounts_session() as (session, _):
        return {"items": [_shown(row) for row in people.page(session, after=None, limit=MOST)]}


@person.command()
@name_argument
@json_or(as_fields(_fields))
def show(name: str) -> Json:
    """Show one account and its rights."""
    from jobs_app.accounts import people

    with accounts_session() as (session, _):
        return _shown(people.get(session, name))


@person.command()
@name_argument
@click.option("--role", type=choice_of(Role), help="What the account may do.")
@rights_options
@json_or(lambda item: print_text(f"{item['name']} has the role {item['role']}."))
def change(name: str, role: str | None, grants: tuple[str, ...], tags: tuple[str, ...]) -> Json:
    """Change role, grants or tags; what is not named stays.

    A new role drops the grants and tags that it cannot have.
    """
    from jobs_app.accounts import people

    given = tuple(Grant(grant) for grant in grants if grant)
    values: Json = {} if role is None else {"role": Role(role)}
    if grants:
        values["grants"] = given
    if tags:
        values["tags"] = tuple(tag for tag in tags if tag) or None
    if not values:
        raise click.UsageError("Nothing to change: add --role, --grant or --tag.")
    with accounts_session() as (session, _):
        version = people.get(session, name).version
        item = _shown(people.change(session, name, values, by=BY, at=clock.now()))
    if item["version"] == version:
        print_note("It was so already: nothing was changed.")
    _note_commands(given)
    return item


@person.command()
@name_argument
def disable(name: str) -> None:
    """Disable an account: its sessions end, and its tokens stop working at once."""
    is_changed = _set_disabled(name, True)
    print_text(f"Disabled {name}." if is_changed else f"{name} was disabled already.")


@person.command()
@name_argument
def enable(name: str) -> None:
    """Enable a disabled account: its tokens work again."""
    is_changed = _set_disabled(name, False)
    print_text(f"Enabled {name}." if is_changed else f"{name} was not disabled.")


@person.command()
@name_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove an account and revoke its tokens; the audit keeps its name."""
    from jobs_app.accounts import people

    with accounts_session() as (session, _):
        people.get(session, name)
        confirm_deletion(f"Remove {name} and revoke all its tokens?", yes=yes)
        people.remove(session, name, by=BY, at=clock.now())
    print_text(f"Removed {name}.")


def _set_disabled(name: str, is_disabled: bool) -> bool:
    """Disable or enable an account; return False if it was so already."""
    from jobs_app.accounts import people

    with accounts_session() as (session, _):
        version = people.get(session, name).version
        row = people.set_disabled(session, name, is_disabled, by=BY, at=clock.now())
        return row.version != version


#: The fields of an account that are shown as they are.
_PLAIN = ("name", "kind", "role", "grants", "tags", "has_password")


def _shown(row: "Person") -> Json:
    """Return an account as the API has it."""
    plain = {name: getattr(row, name) for name in _PLAIN}
    instants = {
        name: None if (instant := getattr(row, name)) is None else rfc3339(instant)
        for name in ("created_at", "disabled_at", "last_seen_at")
    }
    return plain | {"version": row.version} | instants


def _note_commands(grants: tuple[Grant, ...]) -> None:
    if Grant.COMMANDS in grants:
        print_note(COMMANDS_NOTE)
