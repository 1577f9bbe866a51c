"""The cookie of a session, and how soon a page loses its rights."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from jobs_app.accounts import people, sessions
from jobs_app.core import clock
from jobs_app.core.roles import Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import PageSession, Person, Token
from jobs_app.web import auth, page_session
from jobs_app.web.page_session import Cookie
from tests.web.conftest import Api, Page

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_two_installations_on_a_host_have_different_cookies(settings: Settings) -> None:
    other = settings.model_copy(update={"port": 5001})

    assert Cookie.of(settings).name != Cookie.of(other).name


CHANGES: dict[str, Callable[..., Any]] = {
    "role": lambda session, at: people.change(
        session, "ann", {"role": Role.OPERATOR}, by="root", at=at
    ),
    "tags": lambda session, at: people.change(session, "ann", {"tags": ("a",)}, by="root", at=at),
    "password": lambda session, at: people.set_password(session, "ann", "hash", by="root", at=at),
    "disabled": lambda session, at: people.set_disabled(session, "ann", True, by="root", at=at),
    "removed": lambda session, at: people.remove(session, "ann", by="root", at=at),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_open_page_loses_its_rights_at_the_next_request(
    page_of: Callable[..., Page], database: Database, change: Callable[..., Any]
) -> None:
    page = page_of("editor", name="ann")
    assert page("/jobs").status_code == 200

    with database.session() as session:
        change(session, clock.now())

    assert page("/jobs").headers["Location"] == "/sign-in?next=/jobs"
    assert page("/jobs", **{"HX-Request": "true", "HX-PTag": "x"}).status_code == 401
    assert page.post("/preferences").status_code == 401


def test_a_request_is_noted_once_a_minute(page_of: Callable[..., Page], database: Database) -> None:
    page = page_of("viewer", name="ann")

    def seen_at() -> Any:
        with database.reading() as session:
            return session.scalars(select(PageSession.last_seen_at)).one()

    first = seen_at()
    page("/jobs")
    assert seen_at() == first
    with database.session() as session:
        session.execute(update(PageSession).values(last_seen_at=first - timedelta(minutes=2)))
        session.execute(update(Person).values(last_seen_at=None))
        session.commit()
    page("/jobs")
    assert seen_at() >= first
    with database.reading() as session:
        assert people.get(session, "ann").last_seen_at is not None


def test_a_reading_request_waits_for_no_writer(
    api: Api, page_of: Callable[..., Page], database: Database
) -> None:
    page = page_of("viewer", name="ann")
    long_ago = clock.now() - timedelta(minutes=2)
    with database.session() as session:
        session.execute(update(PageSession).values(last_seen_at=long_ago))
        session.execute(update(Token).values(last_used_at=long_ago))
        session.commit()

    with database.session() as writer:
        writer.execute(update(Person).values(last_seen_at=None))
        began = time.monotonic()
        assert page("/jobs").status_code == api.get("/jobs").status_code == 200
        assert time.monotonic() - began < 10

    page("/jobs")
    api.get("/jobs")
    with database.reading() as session:
        assert session.scalars(select(PageSession.last_seen_at)).one() > long_ago
        assert long_ago not in session.scalars(select(Token.last_used_at)).all()


def test_pages_take_no_tokens_and_the_api_takes_no_sessions(
    app: Flask, api: Api, page_of: Callable[..., Page]
) -> None:
    page = page_of("admin", name="ann")

    assert page("/api/v1/jobs").status_code == 401
    assert api.send("GET", "//jobs").status_code == 303
    assert page("/jobs", Authorization="Bearer nonsense").status_code == 200


@pytest.mark.parametrize("secret", ["x", "x" * 43, "é", "a b", '"', "%00"])
def test_a_cookie_that_is_no_secret_of_ours_is_nobody(app: Flask, secret: str) -> None:
    page = Page(app, secret)

    assert page("/jobs").status_code == 303


def test_the_digest_in_the_database_is_no_key(app: Flask, page_of: Callable[..., Page]) -> None:
    page = page_of("admin", name="ann")

    assert Page(app, sessions.digest(page.secret))("/jobs").status_code == 303


def test_the_audit_says_that_a_change_came_from_a_page(
    page_of: Callable[..., Page], api: Api
) -> None:
    page = page_of("viewer", name="ann")
    page.post("/sign-out", **{"X-Forwarded-For": "192.0.2.7"})

    event = api.get("/audit").json["items"][0]
    assert (event["action"], event["actor"], event["via"]) == ("sign_out", "ann", "page")
    assert event["request_id"]


def test_an_open_stream_of_a_page_notices_the_end_of_its_session(
    app: Flask, page_of: Callable[..., Page], database: Database
) -> None:
    page = page_of("editor", name="ann")
    cookie = f"{app.extensions[page_session.NAME].name}={page.secret}"
    with app.test_request_context("/jobs", headers={"Cookie": cookie}):
        app.preprocess_request()
        are_same = auth.rights_watch()
        before = are_same()
        with database.session() as session:
            people.change(session, "ann", {"role": Role.VIEWER}, by="root", at=clock.now())
        after = are_same()

    assert (before, after) == (True, False)
