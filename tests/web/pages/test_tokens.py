"""The pages of tokens."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from jobs_app.core.roles import Scope
from jobs_app.db.engine import Database
from tests.web.conftest import Api, Page
from tests.web.pages.test_me import give_password_long_ago

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def form(**facts: Any) -> dict[str, Any]:
    return {"name": "backup", "scopes": [*Scope], "tags": "", "days": "30"} | facts


def test_a_token_is_shown_once_and_works(app: Flask, page_of: Callable[..., Page]) -> None:
    page = page_of("operator", name="ann")

    assert "Make the token" in page("/tokens/new").text
    made = page.post("/tokens/new", form(scopes=["read", "run"]))
    assert made.status_code == 201
    text = re.search(r"jobs_[\w-]{43}", made.text)
    assert text is not None
    me = Api(app, text[0]).get("/me").json
    assert (me["account"], me["scopes"]) == ("ann", ["read", "run"])
    for path in ("/tokens", "/me"):
        shown = page(path).text
        assert "backup" in shown
        assert "read, run" in shown
        assert text[0] not in shown


@pytest.mark.parametrize(
    "facts, field",
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"tags": "Not A Tag"}, "tags"),
    ],
)
def test_a_wrong_field_is_named_and_what_was_typed_stays(
    page_of: Callable[..., Page], facts: dict[str, Any], field: str
) -> None:
    answer = page_of("viewer", name="ann").post("/tokens/new", form(**facts))

    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert f'id="{field}-error"' in answer.text
    assert 'value="30" selected' in answer.text


def test_only_admins_make_tokens_of_others_and_without_an_end(
    app: Flask, page_of: Callable[..., Page], api: Api
) -> None:
    page, root = page_of("editor", name="ann"), page_of("admin", name="root")

    assert page.post("/tokens/new", form(owner="root")).status_code == 403
    assert page.post("/tokens/new", form(owner="nobody")).status_code == 403
    assert "never" not in page("/tokens/new").text
    assert root.post("/tokens/new", form(owner="ann", days="0")).status_code == 201
    assert root.post("/tokens/new", form(owner="nobody")).status_code == 422
    made = next(token for token in api.get("/tokens").json["items"] if token["owner"] == "ann")
    assert made["expires_at"] is None


def test_a_person_revokes_own_tokens_and_sees_no_others(
    app: Flask, page_of: Callable[..., Page], api: Api
) -> None:
    ann, ben = page_of("viewer", name="ann"), page_of("editor", name="ben")
    ann.post("/tokens/new", form())
    number = next(row["id"] for row in api.get("/tokens").json["items"] if row["owner"] == "ann")

    assert "backup" not in ben("/tokens").text
    assert ben(f"/tokens/{number}/revoke").status_code == 404
    assert ben.post(f"/tokens/{number}/revoke").status_code == 404
    assert "Revoke the token backup?" in ann(f"/tokens/{number}/revoke?back=/me").text
    assert "backup" in page_of("admin", name="root")("/tokens").text
    answer = ann.post(f"/tokens/{number}/revoke", {"back": "//evil.test"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "backup" not in ann("/tokens").text
    assert ann.post(f"/tokens/{number}/revoke").status_code == 404


def test_a_token_wants_the_password_if_that_is_long_ago(
    database: Database, page_of: Callable[..., Page]
) -> None:
    page = page_of("viewer", name="ann")
    give_password_long_ago(database)

    assert page("/tokens/new").headers["Location"] == "/sign-in/again?next=/tokens/new"
    answer = page.post("/tokens/new", form())
    assert answer.status_code == 401
    assert 'name="kept.name" value="backup"' in answer.text
    assert answer.text.count('name="kept.scopes"') == len(Scope)
