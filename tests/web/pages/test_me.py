"""The page of the person who is signed in."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from jobs_app.accounts import people, sessions
from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import PageSession
from jobs_app.web import page_session
from tests.web.conftest import Api, Page
from tests.web.pages.test_sign_in import Visitor

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def second_browser(database: Database, app: Flask, name: str) -> Page:
    at = clock.now()
    with database.session() as session:
        person = people.get(session, name)
        browser = sessions.Browser("192.0.2.7", "Mozilla/5.0 (iPhone) Safari/1")
        secret = sessions.start(session, person, browser, at=at)
        session.commit()
    return Page(app, secret)


def give_password_long_ago(database: Database) -> None:
    at = clock.now() - timedelta(minutes=15)
    with database.session() as session:
        session.execute(update(PageSession).values(password_given_at=at))
        session.commit()


def test_it_says_who_one_is_and_what_one_may_do(page_of: Callable[..., Page]) -> None:
    text = page_of("editor", ("commands",), ("billing",), name="ann")("/me").text

    assert "<h1>ann</h1>" in text
    assert "an <strong>editor</strong> with the grant commands, for jobs with billing" in text
    assert "change jobs" in text
    assert "manage people" not in text
    assert "(this one)" in text


def test_a_person_signs_other_browsers_out(
    app: Flask, database: Database, page_of: Callable[..., Page], api: Api
) -> None:
    page = page_of("viewer", name="ann")
    second, third = (second_browser(database, app, "ann") for _ in range(2))
    with database.reading() as session:
        row, _ = sessions.known(session, second.secret)
    assert row is not None
    assert "Safari on iPhone" in page("/me").text

    assert page.post(f"/me/sessions/{row.id}/end").status_code == 303
    assert second("/me").status_code == 303
    assert third("/me").status_code == 200
    assert page.post("/me/sessions/end").status_code == 303
    assert third("/me").status_code == 303
    assert page("/me").status_code == 200
    actions = [event["action"] for event in api.get("/audit").json["items"]]
    assert actions[:2] == ["end_sessions", "end_session"]


def test_nobody_ends_the_session_of_somebody_else(
    database: Database, page_of: Callable[..., Page]
) -> None:
    ben, page = page_of("viewer", name="ben"), page_of("admin", name="ann")
    with database.reading() as session:
        row, _ = sessions.known(session, ben.secret)
    assert row is not None

    assert page.post(f"/me/sessions/{row.id}/end").status_code == 404
    assert page.post("/me/sessions/99999999999999999999/end").status_code == 404
    assert ben("/me").status_code == 200


def test_a_new_password_ends_all_other_sessions(
    app: Flask, database: Database, page_of: Callable[..., Page]
) -> None:
    page = page_of("viewer", name="ann")
    other = second_browser(database, app, "ann")

    refused = page.post("/me/password", {"password": "short"})
    assert refused.status_code == 422
    assert "10 characters or more" in refused.text
    answer = page.post("/me/password", {"password": "tortoise lamp"})
    assert answer.status_code == 303
    assert page("/me").status_code == 200
    assert other("/me").status_code == 303
    cookie = page.client.get_cookie(app.extensions[page_session.NAME].name)
    assert cookie is not None
    assert cookie.value != page.secret
    assert Page(app, page.secret)("/me").status_code == 303
    assert Visitor(app).sign_in("tortoise lamp", "ann").status_code == 303


def test_a_new_password_wants_the_old_one_if_that_is_long_ago(
    database: Database, page_of: Callable[..., Page]
) -> None:
    page = page_of("viewer", name="ann")
    give_password_long_ago(database)

    assert page("/me/password").headers["Location"] == "/sign-in/again?next=/me/password"
    answer = page.post("/me/password", {"password": "tortoise lamp"})
    assert answer.status_code == 401
    assert "tortoise" not in answer.text
    assert 'action="/sign-in/again"' in answer.text
