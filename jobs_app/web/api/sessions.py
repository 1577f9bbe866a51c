"""The sessions of browsers: one's own under /me, and for admins those of each person."""

import re
from typing import Annotated

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.accounts import people, sessions, sign_out
from jobs_app.accounts.browser_name import browser_name
from jobs_app.core import clock
from jobs_app.db.models.accounts import PageSession, Person
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import ACCOUNTS, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.people import PersonPath, account_of
from jobs_app.web.api.responses import checked_name
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.permissions import actor, principal
from jobs_app.web.session import session

api = LateBlueprint("sessions", __name__, abp_tags=[ACCOUNTS])

NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class SessionOut(BaseModel):
    """A browser in which somebody is signed in; `last_seen_at` is exact to the minute."""

    id: int
    browser: str = Field(description="What the browser is, in words.")
    user_agent: str = Field(description="What the browser calls itself.")
    address: str | None = Field(description="From where it was used last.")
    created_at: Instant
    last_seen_at: Instant


class SessionList(BaseModel):
    """Sessions that work, the one used last first; at most 100."""

    items: list[SessionOut]


class EndedOut(BaseModel):
    """How many sessions were ended."""

    ended: int


class OwnSessionPath(Query):
    """The number of the session."""

    session_id: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9]{1,9}$", "example": "7"})]


class SessionPath(PersonPath, OwnSessionPath):
    """The account, and the number of its session."""


@api.get("/me/sessions", responses={200: SessionList, **problems()})
def list_own_sessions() -> Response:
    """List the browsers in which the owner of the token is signed in."""
    return _list(_caller())


@api.delete("/me/sessions", responses={200: EndedOut, **problems()})
def end_own_sessions() -> Response:
    """Sign the owner of the token out in all browsers."""
    return _end_all(_caller())


@api.delete("/me/sessions/<session_id>", responses={204: None, **problems(404)})
def end_own_session(path: OwnSessionPath) -> Response:
    """Sign the owner of the token out in one browser."""
    return _end(_caller(), path)


@api.get("/people/<name>/sessions", responses={200: SessionList, **problems(404)})
def list_sessions(path: PersonPath) -> Response:
    """List the browsers in which a person is signed in."""
    return _list(account_of(path))


@api.delete("/people/<name>/sessions", responses={200: EndedOut, **problems(404)})
def end_sessions(path: PersonPath) -> Response:
    """Sign a person out in all browsers."""
    return _end_all(account_of(path))


@api.delete("/people/<name>/sessions/<session_id>", responses={204: None, **problems(404)})
def end_session(path: SessionPath) -> Response:
    """Sign a person out in one browser."""
    return _end(account_of(path), path)


def _caller() -> Person:
    return people.get(session(), principal().account)


def _list(person: Person) -> Response:
    return unpaged(map(_shown, sessions.listed(session(), person.id, at=clock.now())))


def _end_all(person: Person) -> Response:
    ended = sign_out.everywhere(session(), person, by=actor(), at=clock.now())
    return jsonify(EndedOut(ended=ended).model_dump())


def _end(person: Person, path: OwnSessionPath) -> Response:
    number = int(checked_name(NUMBER, path.session_id, "session"))
    sign_out.one(session(), person, number, by=actor(), at=clock.now())
    return Response(status=204)


def _shown(row: PageSession) -> SessionOut:
    return SessionOut(
        id=row.id,
        browser=browser_name(row.user_agent),
        user_agent=row.user_agent,
        address=row.address,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
    )
