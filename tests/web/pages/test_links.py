"""The page behind a link."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from jobs_app.accounts import links, people
from jobs_app.accounts.people import Rights
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Role
from jobs_app.db.engine import Database
from tests.web.conftest import Api, Page
from tests.web.pages.test_sign_in import Visitor

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    """A browser in which nobody is signed in."""
    return Visitor(app)


def welcome(database: Database) -> str:
    with database.session() as session:
        return links.make_welcome(session, at=clock.now()) or ""


def invitation(database: Database, name: str = "ben") -> str:
    with database.session() as session:
        at, rights = clock.now(), Rights(Role.VIEWER)
        person = people.create(session, name, AccountKind.PERSON, rights, by="root", at=at)
        return links.make(session, person, by="root", at=at)


def test_looking_at_a_link_uses_nothing_up(database: Database, visitor: Visitor) -> None:
    key = invitation(database)

    for method in ("GET", "HEAD", "GET", "OPTIONS"):
        visitor.client.open(f"/links/{key}", method=method)
    assert "ben" in visitor.client.get(f"/links/{key}").text
    answer = visitor.send(f"/links/{key}", {"password": "tortoise lamp"})
    assert answer.headers["Location"] == "/"
    assert visitor.client.get("/jobs").status_code == 200
    again: Any = Visitor(visitor.app).client.get(f"/links/{key}")
    assert again.status_code == 404
    assert "used already" in again.text


def test_the_first_link_makes_the_first_admin(
    database: Database, visitor: Visitor, api: Api
) -> None:
    key = welcome(database)

    form = visitor.client.get(f"/links/{key}").text
    assert "you become the first admin" in form
    refused = visitor.send(f"/links/{key}", {"name": "a/b", "password": "tortoise lamp"})
    assert refused.status_code == 422
    assert 'value="a/b"' in refused.text
    short = visitor.send(f"/links/{key}", {"name": "ann", "password": "short"})
    assert "10 characters or more" in short.text
    assert "short" not in short.text.replace("10 characters", "")
    made = visitor.send(f"/links/{key}", {"name": "ann", "password": "tortoise lamp"})
    assert made.status_code == 303
    assert visitor.client.get("/jobs").status_code == 200
    events = [event["action"] for event in api.get("/audit").json["items"]]
    assert events == ["sign_in", "create_person", "use_link", "make_link"]


def test_a_new_password_is_a_new_session_and_the_old_ones_end(
    database: Database, visitor: Visitor
) -> None:
    visitor.send(f"/links/{invitation(database)}", {"password": "tortoise lamp"})
    first = visitor.secret()
    with database.session() as session:
        key = links.make(session, people.get(session, "ben"), by="root", at=clock.now())

    visitor.send(f"/links/{key}", {"password": "another tortoise"})

    assert visitor.secret() != first
    assert Page(visitor.app, first)("/jobs").status_code == 303
    assert visitor.client.get("/jobs").status_code == 200
    other = Visitor(visitor.app)
    assert other.sign_in("tortoise lamp", "ben").status_code == 422
    assert other.sign_in("another tortoise", "ben").status_code == 303


@pytest.mark.parametrize("key", ["x", "x" * 43, "%00", "é", "x" * 5000])
def test_a_key_that_nobody_made_opens_nothing(visitor: Visitor, key: str) -> None:
    assert visitor.client.get(f"/links/{key}").status_code == 404
    assert visitor.send(f"/links/{key}", {"password": "tortoise lamp"}).status_code in (403, 404)


def test_a_link_that_is_too_old_does_not_work(database: Database, visitor: Visitor) -> None:
    at = clock.now() - timedelta(days=7)
    with database.session() as session:
        rights = Rights(Role.VIEWER)
        person = people.create(session, "ben", AccountKind.PERSON, rights, by="root", at=at)
        key = links.make(session, person, by="root", at=at)

    assert visitor.client.get(f"/links/{key}").status_code == 404
