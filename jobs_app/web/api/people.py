"""Routes under /people: accounts of people and services, for admins."""

from functools import partial
from operator import attrgetter
from typing import Annotated, Any, ClassVar

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, Strict

from jobs_app.accounts import people
from jobs_app.accounts.people import Rights
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Grant, Role
from jobs_app.db.models.accounts import Person
from jobs_app.web.api import pagination, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import ACCOUNTS, problems
from jobs_app.web.api.pagination import ListQuery
from jobs_app.web.api.preconditions import IfMatch, MayRepeat
from jobs_app.web.api.responses import all_as_json, as_json, checked_name, located, versioned
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.permissions import actor
from jobs_app.web.session import session

api = LateBlueprint("people", __name__, abp_tags=[ACCOUNTS])

KIND = "people"

AccountName = Annotated[
    str, Field(min_length=1, max_length=64, examples=["ann"], description=people.NAME_RULE)
]
RoleIn = Annotated[Role, Strict(False)]
Grants = Annotated[
    list[Annotated[Grant, Strict(False)]],
    Field(max_length=len(Grant), description="Rights that only an editor can be given."),
]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=50)]],
    Field(max_length=50, description="Only jobs with one of these tags; null: all jobs."),
]

READ_ONLY = {
    "has_password": "Make a link: POST /links.",
    "version": "Send If-Match to say which version you change.",
    "created_at": "",
    "disabled_at": "Change `disabled`.",
    "last_seen_at": "",
}


class PersonIn(Input):
    """A new account; a service account has no password, only tokens."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ann", "role": "editor"}]})
    read_only: ClassVar = READ_ONLY

    name: AccountName
    kind: Annotated[AccountKind, Strict(False)] = AccountKind.PERSON
    role: RoleIn
    grants: Grants = []
    tags: Tags | None = None


class PersonPatch(Input):
    """Changes of an account; a field that is left out stays.

    A new role drops the grants and tags that it cannot have.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "operator"}]})
    read_only: ClassVar = READ_ONLY | {
        "name": "The audit has it: make another account.",
        "kind": "Make another account.",
    }

    role: RoleIn | None = None
    grants: Grants | None = None
    tags: Tags | None = None
    disabled: bool | None = None


class PersonOut(BaseModel):
    """An account and its rights; `last_seen_at` is exact to the minute.

    A person without a password has not used the invitation yet.
    """

    name: str
    kind: AccountKind
    role: Role
    grants: list[Grant]
    tags: list[str] | None
    has_password: bool
    version: int
    created_at: Instant
    disabled_at: Instant | None
    last_seen_at: Instant | None


class PersonPage(BaseModel):
    """Part of the list of accounts; `next_cursor` is null at its end."""

    items: list[PersonOut]
    next_cursor: str | None


class PersonPath(Query):
    """The account in the address."""

    name: Annotated[str, Field(json_schema_extra={"example": "ann"})]


@api.get("/people", responses={200: PersonPage, **problems(400)})
def list_people(query: ListQuery) -> Response:
    """List accounts by name."""
    after = pagination.decode_name(KIND, query.cursor, people.NAME)
    rows = people.page(session(), after=after, limit=query.limit + 1)
    return pagination.page(
        KIND, query.limit, rows, key=attrgetter("name"), show=partial(all_as_json, PersonOut)
    )


@api.post("/people", responses={201: PersonOut, **problems(409, body=True)})
def create_person(header: MayRepeat, body: PersonIn) -> Response:
    """Create an account."""
    return preconditions.once(lambda: _create(body))


def _create(body: PersonIn) -> Response:
    rights = Rights(body.role, tuple(body.grants), _tags(body.tags))
    by, at = actor(), clock.now()
    person = people.create(session(), body.name, body.kind, rights, by=by, at=at)
    return located(_answer(person), 201, f"/api/v1/people/{person.name}")


@api.get("/people/<name>", responses={200: PersonOut, **problems(404)})
def read_person(path: PersonPath) -> Response:
    """Read an account."""
    return _answer(account_of(path))


@api.patch("/people/<name>", responses={200: PersonOut, **problems(404, 409, 412, 428, body=True)})
def change_person(header: IfMatch, path: PersonPath, body: PersonPatch) -> Response:
    """Change the rights of an account, disable it, or enable it again (JSON Merge Patch)."""
    version, by, at = preconditions.expected_version(), actor(), clock.now()
    values = _values(body)
    person = people.change(
        session(),
        _name(path),
        values,
        is_disabled=body.disabled,
        version=version,
        by=by,
        at=at,
    )
    return _answer(person)


@api.delete("/people/<name>", responses={204: None, **problems(404, 409, 412, 428)})
def remove_person(header: IfMatch, path: PersonPath) -> Response:
    """Remove an account and revoke its tokens. The audit keeps its name."""
    version = preconditions.expected_version()
    people.remove(session(), _name(path), version=version, by=actor(), at=clock.now())
    return Response(status=204)


def account_of(path: PersonPath) -> Person:
    """Return the account in the address; raises NotFound."""
    return people.get(session(), _name(path))


def _name(path: PersonPath) -> str:
    return checked_name(people.NAME, path.name, "person")


def _values(body: PersonPatch) -> dict[str, Any]:
    """Return the rights that *body* changes; null means none, or no limit."""
    values: dict[str, Any] = {} if body.role is None else {"role": body.role}
    if "grants" in body.model_fields_set:
        values["grants"] = tuple(body.grants or ())
    if "tags" in body.model_fields_set:
        values["tags"] = _tags(body.tags)
    return values


def _tags(tags: list[str] | None) -> tuple[str, ...] | None:
    return None if tags is None else tuple(tags)


def _answer(person: Person) -> Response:
    return versioned(as_json(PersonOut, person), person.version)
