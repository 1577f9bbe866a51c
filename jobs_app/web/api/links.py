"""Routes under /links: links with which people choose a password, made by admins."""

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from jobs_app.accounts import links, people
from jobs_app.accounts.links import PersonLink
from jobs_app.accounts.permissions import Action
from jobs_app.accounts.principal import ALL_SCOPES
from jobs_app.core import clock
from jobs_app.core.errors import Forbidden
from jobs_app.core.roles import LinkKind
from jobs_app.core.web_address import link_address
from jobs_app.web import extension
from jobs_app.web.api import preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import ACCOUNTS, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.people import AccountName, PersonPath, account_of
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.responses import located
from jobs_app.web.api.schemas.base import Input
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.permissions import actor, principal
from jobs_app.web.session import session

api = LateBlueprint("links", __name__, abp_tags=[ACCOUNTS])


class LinkIn(Input):
    """A new link for a person; an earlier one of the person ends."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"person": "ann"}]})

    person: AccountName


class LinkOut(BaseModel):
    """A link that still works, without its address.

    An `invitation` is for somebody who has no password yet, a `password` for somebody who has.
    """

    person: str
    kind: LinkKind
    made_by: str
    created_at: Instant
    expires_at: Instant


class NewLinkOut(LinkOut):
    """A link that was made; `link` is its address, which no later answer has."""

    link: str = Field(description="Whoever has it can use it, once.")


class LinkList(BaseModel):
    """Links that still work, by the names of their people."""

    items: list[LinkOut]


@api.get("/links", responses={200: LinkList, **problems()})
def list_links() -> Response:
    """List the links that still work; no answer has their addresses."""
    return unpaged(LinkOut(**_fields(row)) for row in links.listed(session(), at=clock.now()))


@api.post("/links", responses={201: NewLinkOut, **problems(404, 409, body=True)})
def make_link(header: MayRepeat, body: LinkIn) -> Response:
    """Make a link with which a person chooses a password.

    The answer shows it, once: a repetition with the same key gets 409. Whoever uses it has all
    rights of the person, so the token needs all scopes.
    """
    return preconditions.once(lambda: _make(body), is_secret=True)


@api.delete("/links/<name>", responses={204: None, **problems(404)})
def revoke_link(path: PersonPath) -> Response:
    """Revoke the link of a person: it stops working at once."""
    links.revoke(session(), account_of(path), by=actor(), at=clock.now())
    return Response(status=204)


def _make(body: LinkIn) -> Response:
    _check_scopes()
    at = clock.now()
    person = people.get(session(), body.person)
    key = links.make(session(), person, by=actor(), at=at)
    link, _ = links.find(session(), key, at=at)
    address = link_address(extension.current().settings, key)
    made = NewLinkOut(**_fields(PersonLink(link, person)), link=address)
    shown = jsonify(made.model_dump(mode="json"))
    return located(shown, 201, f"/api/v1/links/{person.name}")


def _check_scopes() -> None:
    """Raise Forbidden for a token that would get more than it has: sessions have all scopes."""
    caller = principal()
    if missing := sorted(ALL_SCOPES - caller.scopes):
        raise Forbidden(
            f"The token {caller.token_name!r} lacks the scopes {', '.join(missing)}, and a link"
            " gives all rights of its person. A token with all scopes can make one.",
            action=Action.MANAGE_PEOPLE,
        )


def _fields(row: PersonLink) -> dict[str, Any]:
    link = row.Link
    columns = ("kind", "made_by", "created_at", "expires_at")
    return {"person": row.Person.name} | {name: getattr(link, name) for name in columns}
