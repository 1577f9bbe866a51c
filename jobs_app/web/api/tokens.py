"""Routes under /tokens: the caller's own, and for admins those of all accounts."""

import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, NamedTuple

from flask import Response, jsonify
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from jobs_app.accounts import people, tokens
from jobs_app.accounts.permissions import Action
from jobs_app.accounts.principal import Principal, common_tags
from jobs_app.accounts.tokens import Limits, OwnedToken
from jobs_app.core import clock
from jobs_app.core.errors import FieldError, Forbidden, refuse
from jobs_app.core.roles import Scope
from jobs_app.db.models.accounts import Person, Token
from jobs_app.web import permissions
from jobs_app.web.api import preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import ACCOUNTS, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.people import AccountName, Tags
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.responses import checked_name, located
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import Instant, InstantIn
from jobs_app.web.permissions import actor, principal
from jobs_app.web.session import reading, session

api = LateBlueprint("tokens", __name__, abp_tags=[ACCOUNTS])


NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise PydanticCustomError("not_printable", "must be printable, and not blank.")
    return name


class TokenIn(Input):
    """A new token; by default it is the caller's own, has all of its rights, and ends in 90 days.

    Only an admin makes a token for another account, or one without an end (null).
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ci", "scopes": ["run"]}]})
    read_only: ClassVar = {"id": "", "created_at": "", "last_used_at": "", "last_used_address": ""}

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
    owner: AccountName | None = None
    scopes: (
        Annotated[list[Annotated[Scope, Strict(False)]], Field(min_length=1, max_length=len(Scope))]
        | None
    ) = None
    tags: Annotated[Tags, Field(min_length=1)] | None = None
    expires_at: InstantIn | None = None


class TokenOut(BaseModel):
    """A token without its text. `scopes` null: all; `tags` null: as its owner."""

    id: int
    name: str
    owner: str | None
    scopes: list[Scope] | None
    tags: list[str] | None
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    last_used_address: str | None


class NewTokenOut(TokenOut):
    """A token that was made; `token` is its text, which no later answer has."""

    token: str


class TokenList(BaseModel):
    """Tokens, the oldest first."""

    items: list[TokenOut]


class TokenPath(Query):
    """The number of the token."""

    token_id: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9]{1,9}$", "example": "7"})]


@api.get("/tokens", responses={200: TokenList, **problems()})
def list_tokens() -> Response:
    """List the caller's tokens; those of all accounts if the caller manages people."""
    is_manager = permissions.may(Action.MANAGE_PEOPLE)
    owner_id = None if is_manager else principal().person_id
    return unpaged(_shown(row) for row in tokens.listed(session(), owner_id=owner_id))


@api.post("/tokens", responses={201: NewTokenOut, **problems(404, 409, body=True)})
def create_token(header: MayRepeat, body: TokenIn) -> Response:
    """Make a token. The answer shows it, once: a repetition with the same key gets 409."""
    return preconditions.once(lambda: _create(body), is_secret=True)


@api.delete("/tokens/<token_id>", responses={204: None, **problems(404)})
def revoke_token(path: TokenPath) -> Response:
    """Revoke a token: it stops working at once."""
    revoke(int(checked_name(NUMBER, path.token_id, "token")))
    return Response(status=204)


def revoke(number: int) -> None:
    """Revoke a token of the caller, or as an admin that of anybody; raises NotFound."""
    tokens.revoke_one(session(), own(number).id, by=actor(), at=clock.now())


def own(number: int) -> Token:
    """Return a token of the caller, or for an admin that of anybody; raises NotFound.

    A number of somebody else is as one that does not exist.
    """
    is_manager = permissions.may(Action.MANAGE_PEOPLE)
    with reading() as reader:
        token = tokens.get(reader, number)
        if not is_manager and token.owner_id != principal().person_id:
            raise tokens.unknown(number)
    return token


def _create(body: TokenIn) -> Response:
    made = make(body)
    document = _document(made.token, made.owner) | {"token": made.text}
    shown = NewTokenOut.model_validate(document).model_dump(mode="json")
    return located(jsonify(shown), 201, f"/api/v1/tokens/{made.token.id}")


class NewToken(NamedTuple):
    """A token that was made: its text, which nothing keeps, its row, and its owner."""

    text: str
    token: Token
    owner: Person


def make(body: TokenIn) -> NewToken:
    """Make a token with no more rights than the caller has.

    Raises Forbidden, InvalidInput, NotFound for an unknown owner, Conflict for a name that is
    taken or for an owner with too many tokens.
    """
    caller, at = principal(), clock.now()
    if body.owner not in {None, caller.account}:
        # First: whether an account exists is for admins.
        permissions.require(Action.MANAGE_PEOPLE)
    with reading() as reader:
        owner = people.get(reader, body.owner or caller.account)
    if owner.id != caller.person_id:
        permissions.require(Action.MANAGE_PEOPLE)
    limits = _limits(body, caller, owner, at=at)
    text = tokens.create(session(), body.name, owner=owner, limits=limits, by=actor(), at=at)
    with reading() as reader:
        token, _ = tokens.known(reader, text)
    if token is None:
        raise RuntimeError("a token that was just made is not there")
    return NewToken(text, token, owner)


def _limits(body: TokenIn, caller: Principal, owner: Person, *, at: datetime) -> Limits:
    """Return the limits of a new token; raises for more rights than the caller has."""
    scopes = None if body.scopes is None else frozenset(body.scopes)
    if not (scopes or frozenset(Scope)) <= caller.scopes:
        missing = sorted((scopes or frozenset(Scope)) - caller.scopes)
        raise Forbidden(
            f"The token {caller.token_name!r} lacks the scopes {', '.join(missing)}, and cannot"
            " give them to another. Name the scopes of the new one.",
            action=Action.OWN_TOKENS,
        )
    tags = common_tags(caller.tags, body.tags)
    if tags is not None and body.tags is not None and not tags >= {*body.tags}:
        sentence = "The new token cannot have tags that its maker has not."
        raise Forbidden(sentence, action=Action.OWN_TOKENS)
    return Limits(scopes, tags, _end(body, owner, at=at))


def _end(body: TokenIn, owner: Person, *, at: datetime) -> datetime | None:
    """Return the end of a new token: only an admin makes one that outlasts the caller's own."""
    is_endless = "expires_at" in body.model_fields_set and body.expires_at is None
    end = None if is_endless else body.expires_at or at + tokens.LIFETIME
    if end is not None and end <= at:
        sentence = "The end lies in the past: the token would never work."
        refuse([FieldError("/expires_at", "in_the_past", sentence)])
    token_id = principal().token_id
    if permissions.may(Action.MANAGE_PEOPLE) or token_id is None:
        return end
    with reading() as reader:
        latest = tokens.get(reader, token_id).expires_at
    if latest is None or (end is not None and end <= latest):
        return end
    if "expires_at" in body.model_fields_set:
        sentence = f"It cannot end later than the token that makes it, at {latest:%Y-%m-%d %H:%M}Z."
        refuse([FieldError("/expires_at", "too_late", sentence)])
    return latest


def _shown(row: OwnedToken) -> TokenOut:
    return TokenOut.model_validate(_document(row.Token, row.Person))


def _document(token: Token, owner: Person | None) -> dict[str, Any]:
    columns = {name: getattr(token, name) for name in TokenOut.model_fields if name != "owner"}
    return columns | {"owner": None if owner is None else owner.name}
