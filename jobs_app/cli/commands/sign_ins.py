"""`jobs-app person`: links for passwords, and the browsers in which people are signed in."""

from typing import TYPE_CHECKING

import click

from jobs_app.cli.accounts_session import accounts_session
from jobs_app.cli.client import Json
from jobs_app.cli.completion import person_names
from jobs_app.cli.output import as_table, json_or, print_note, print_text
from jobs_app.cli.run_view import instant_text
from jobs_app.core import clock
from jobs_app.core.text import counted, rfc3339

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from jobs_app.accounts.links import PersonLink
    from jobs_app.core.settings import Settings
    from jobs_app.db.models.accounts import PageSession, Person

#: The actor in the audit: somebody who may read the database and the key anyway.
BY = "jobs-app person"

#: The greatest number of a session.
MOST = 2**31 - 1

name_argument = click.argument("name", shell_complete=person_names)


@click.command()
@name_argument
@json_or(lambda item: print_link(item["link"], item["expires_at"]))
def link(name: str) -> Json:
    """Make a link with which a person chooses a password, once.

    For an invitation it works for 7 days, for a forgotten password for an hour. An earlier
    link of the person ends. Hand it over as you like: whoever has it can use it.
    """
    from jobs_app.accounts import people

    with accounts_session() as (session, settings):
        return made_link(session, people.get(session, name), settings)


def made_link(session: "Session", row: "Person", settings: "Settings") -> Json:
    """Make a link for a person, and return it as the API has it."""
    from jobs_app.accounts import links
    from jobs_app.core.web_address import link_address

    at = clock.now()
    key = links.make(session, row, by=BY, at=at)
    made, _ = links.find(session, key, at=at)
    return _link(links.PersonLink(made, row)) | {"link": link_address(settings, key)}


def print_link(address: str, expires_at: str) -> None:
    """Print the address of a new link, and how long it works."""
    print_text(address)
    print_note(f"It works once, until {instant_text(expires_at)}.")


@click.command("links")
@json_or(
    as_table(
        {
            "PERSON": lambda item: item["person"],
            "KIND": lambda item: item["kind"],
            "MADE BY": lambda item: item["made_by"],
            "MADE": lambda item: instant_text(item["created_at"]),
            "EXPIRES": lambda item: instant_text(item["expires_at"]),
        },
        empty="No link works. Make one: jobs-app person link NAME",
        droppable={"MADE"},
    )
)
def list_links() -> Json:
    """List the links that still work, without their addresses."""
    from jobs_app.accounts import links

    with accounts_session() as (session, _):
        return {"items": [_link(row) for row in links.listed(session, at=clock.now())]}


@click.command()
@name_argument
def revoke_link(name: str) -> None:
    """Revoke the link of a person: it stops working at once."""
    from jobs_app.accounts import links, people

    with accounts_session() as (session, _):
        links.revoke(session, people.get(session, name), by=BY, at=clock.now())
    print_text(f"Revoked the link of {name}.")


def _link(row: "PersonLink") -> Json:
    return {
        "person": row.Person.name,
        "kind": row.Link.kind,
        "made_by": row.Link.made_by,
        "created_at": rfc3339(row.Link.created_at),
        "expires_at": rfc3339(row.Link.expires_at),
    }


@click.command("sessions")
@name_argument
@json_or(
    as_table(
        {
            "ID": lambda item: str(item["id"]),
            "BROWSER": lambda item: item["browser"],
            "ADDRESS": lambda item: item["address"] or "-",
            "SINCE": lambda item: instant_text(item["created_at"]),
            "SEEN": lambda item: instant_text(item["last_seen_at"]),
        },
        empty="Not signed in in any browser.",
        droppable={"SINCE"},
    )
)
def list_sessions(name: str) -> Json:
    """List the browsers in which a person is signed in, the one used last first."""
    from jobs_app.accounts import people, sessions

    with accounts_session() as (session, _):
        person = people.get(session, name)
        rows = sessions.listed(session, person.id, at=clock.now())
        return {"items": [_session(row) for row in rows]}


@click.command()
@name_argument
@click.option(
    "--session",
    "number",
    metavar="ID",
    type=click.IntRange(1, MOST),
    help="Only in this browser: see `person sessions`.",
)
def sign_out(name: str, number: int | None) -> None:
    """Sign a person out in all browsers; tokens go on working."""
    from jobs_app.accounts import people
    from jobs_app.accounts import sign_out as signing_out

    with accounts_session() as (session, _):
        person, at = people.get(session, name), clock.now()
        if number is not None:
            signing_out.one(session, person, number, by=BY, at=at)
            count = 1
        else:
            count = signing_out.everywhere(session, person, by=BY, at=at)
    if count:
        print_text(f"Signed {name} out in {counted(count, 'browser')}.")
    else:
        print_text(f"{name} was not signed in.")


def _session(row: "PageSession") -> Json:
    """Return a session as the API has it."""
    from jobs_app.accounts.browser_name import browser_name

    return {
        "id": row.id,
        "browser": browser_name(row.user_agent),
        "user_agent": row.user_agent,
        "address": row.address,
        "created_at": rfc3339(row.created_at),
        "last_seen_at": rfc3339(row.last_seen_at),
    }
