"""/me/sessions and /people/NAME/sessions: where people are signed in."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from jobs_app.accounts import people, sessions, tokens
from jobs_app.accounts.tokens import Limits
from jobs_app.core import clock
from jobs_app.core.roles import Scope
from jobs_app.db.engine import Database
from tests.web.conftest import Api, Page

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SAFARI = "Mozilla/5.0 (iPhone) Safari/1"


def second_browser(database: Database, app: Flask, name: str) -> Page:
    with database.session() as session:
        person = people.get(session, name)
        browser = sessions.Browser("192.0.2.7", SAFARI)
        secret = sessions.start(session, person, browser, at=clock.now())
        session.commit()
    return Page(app, secret)


def token_of(database: Database, app: Flask, name: str, *scopes: Scope) -> Api:
    with database.session() as session:
        owner, at = people.get(session, name), clock.now()
        limits = Limits(scopes or None)
        return Api(app, tokens.create(session, "cli", owner=owner, limits=limits, by="r", at=at))


def numbers(answer: Any) -> list[int]:
    return [item["id"] for item in answer.json["items"]]


def test_a_person_lists_and_ends_the_own_sessions(
    app: Flask, database: Database, page_of: Callable[..., Page], api: Api
) -> None:
    first, ben = page_of("viewer", name="ann"), page_of("viewer", name="ben")
    second = second_browser(database, app, "ann")
    own = token_of(database, app, "ann")
    listed = own.get("/me/sessions")

    shown = listed.json["items"]
    assert {item["browser"]: item["address"] for item in shown} == {
        "Firefox": "127.0.0.1",
        "Safari on iPhone": "192.0.2.7",
    }
    assert {*shown[0]} == {
        *("id", "browser", "user_agent", "address", "created_at", "last_seen_at")
    }
    for page in (first, second):
        assert page.secret not in listed.text
        assert sessions.digest(page.secret) not in listed.text

    newest, oldest = numbers(listed)
    (of_ben,) = numbers(api.get("/people/ben/sessions"))
    for number in (of_ben, 999_999_999, "x", "1e3", "٣"):
        assert own.delete(f"/me/sessions/{number}").json["code"] == "session_not_found", number
    assert own.delete(f"/me/sessions/{newest}").status_code == 204
    assert own.delete(f"/me/sessions/{newest}").status_code == 404
    assert (second("/me").status_code, first("/me").status_code) == (303, 200)
    assert own.delete("/me/sessions").json == {"ended": 1}
    assert own.delete("/me/sessions").json == {"ended": 0}
    assert (first("/me").status_code, ben("/me").status_code) == (303, 200)
    details = [event["detail"] for event in api.get("/audit").json["items"][:2]]
    assert details == [
        {"person": "ann", "count": 1},
        {"person": "ann", "session_id": newest},
    ]
    assert oldest != newest


def test_an_admin_lists_and_ends_the_sessions_of_a_person(
    app: Flask, database: Database, page_of: Callable[..., Page], api: Api
) -> None:
    first, ben = page_of("editor", name="ann"), page_of("viewer", name="ben")
    second = second_browser(database, app, "ann")
    newest, _ = numbers(api.get("/people/ann/sessions"))

    assert api.delete(f"/people/ben/sessions/{newest}").status_code == 404
    assert api.delete(f"/people/ann/sessions/{newest}").status_code == 204
    assert (second("/me").status_code, first("/me").status_code) == (303, 200)
    assert api.delete("/people/ann/sessions").json == {"ended": 1}
    assert (first("/me").status_code, ben("/me").status_code) == (303, 200)
    assert api.get("/people/tester/sessions").json == {"items": []}
    for name in ("nobody", "a:b"):
        assert api.get(f"/people/{name}/sessions").json["code"] == "person_not_found"


@pytest.mark.parametrize("scopes", [("read", "run", "write"), ("read",)])
def test_a_token_without_the_scope_sees_no_session(
    app: Flask, database: Database, page_of: Callable[..., Page], scopes: tuple[str, ...]
) -> None:
    page = page_of("admin", name="ann")
    token = token_of(database, app, "ann", *map(Scope, scopes))

    for path in ("/me/sessions", "/people/ann/sessions"):
        assert token.get(path).status_code == token.delete(path).status_code == 403, path
    assert page("/me").status_code == 200
