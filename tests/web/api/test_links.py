"""/links: shown once, for admins, and never worth more than the token that makes them."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import IdempotencyKey
from tests.web.conftest import Api, Page
from tests.web.pages.test_sign_in import Visitor

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def made(api: Api, name: str = "ann", **options: Any) -> Any:
    return api.post("/links", {"person": name}, **options)


def test_a_link_is_shown_once_listed_and_used(app: Flask, api: Api, database: Database) -> None:
    api.post("/people", {"name": "ann", "role": "operator"})
    assert api.get("/people/ann").json["has_password"] is False
    key = {"Idempotency-Key": "k1"}
    answer = made(api, headers=key)

    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/links/ann")
    link = answer.json["link"]
    path = link.removeprefix("http://127.0.0.1:5000")
    again = made(api, headers=key)
    assert (again.status_code, again.json["code"]) == (409, "shown_once")
    with database.reading() as session:
        assert path not in str(
            [(row.body, row.headers) for row in session.scalars(select(IdempotencyKey))]
        )
    listed = api.get("/links")
    (shown,) = listed.json["items"]
    assert shown | {"link": link} == answer.json
    assert (shown["person"], shown["kind"], shown["made_by"]) == ("ann", "invitation", "tester")
    assert path.rpartition("/")[2] not in listed.text + api.get("/audit").text

    assert Visitor(app).send(path, {"password": "tortoise lamp"}).status_code == 303
    assert api.get("/links").json == {"items": []}
    assert api.get("/people/ann").json["has_password"] is True
    assert made(api).json["kind"] == "password"


def test_a_newer_link_ends_the_older_and_a_revocation_the_last(app: Flask, api: Api) -> None:
    api.post("/people", {"name": "ann", "role": "viewer"})
    first, second = (made(api).json["link"] for _ in range(2))
    visitor = Visitor(app)
    works = [visitor.client.get(link).status_code for link in (first, second)]

    assert works == [404, 200]
    assert api.delete("/links/ann").status_code == 204
    assert visitor.client.get(second).status_code == 404
    assert api.delete("/links/ann").json["code"] == "link_not_found"
    assert api.get("/audit").json["items"][0]["detail"] == {"person": "ann", "kind": "invitation"}


@pytest.mark.parametrize(
    "name, code", [("nobody", "person_not_found"), ("tester", "service_account")]
)
def test_who_cannot_have_a_link_gets_none(api: Api, name: str, code: str) -> None:
    assert made(api, name).json["code"] == code


def test_a_disabled_person_gets_no_link(api: Api) -> None:
    api.post("/people", {"name": "ann", "role": "viewer"})
    api.patch("/people/ann", {"disabled": True})

    assert made(api).json["code"] == "person_disabled"


@pytest.mark.parametrize("target", ["ann", "ben", "page-admin"])
@pytest.mark.parametrize(
    "scopes", [("admin",), ("read", "admin"), ("read", "run", "admin"), ("read", "write", "admin")]
)
def test_a_token_with_fewer_scopes_makes_no_link(
    api: Api,
    api_of: Callable[..., Api],
    page_of: Callable[..., Page],
    scopes: tuple[str, ...],
    target: str,
) -> None:
    # The link would set a password, and a session with it has all scopes of its person.
    page_of("admin", name="page-admin")
    api.post("/people", {"name": "ben", "role": "viewer"})
    api.post("/people", {"name": "ann", "role": "admin"})
    limited = api_of("admin", scopes=scopes)
    answer = made(limited, target)

    assert (answer.status_code, "lacks the scopes" in answer.json["detail"]) == (403, True)
    assert limited.get("/links").json == {"items": []}
    made(api, "ben")
    assert limited.delete("/links/ben").status_code == 204
    assert limited.delete("/people/ben/sessions").status_code == 200


def test_a_token_of_an_admin_that_is_limited_to_tags_makes_no_link(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.post("/people", {"name": "ann", "role": "admin"})
    limited = api_of("admin", tags=("a",))

    assert made(limited).status_code == limited.get("/links").status_code == 403
    assert api.get("/links").json == {"items": []}


def test_whether_a_person_exists_is_for_admins(api_of: Callable[..., Api]) -> None:
    editor = api_of("editor")

    for name in ("tester", "nobody"):
        assert made(editor, name).status_code == editor.delete(f"/links/{name}").status_code == 403
