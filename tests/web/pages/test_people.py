"""The pages of people, for admins."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from jobs_app.accounts import people
from jobs_app.db.engine import Database
from tests.web.conftest import Api, Page
from tests.web.pages.test_me import give_password_long_ago
from tests.web.pages.test_sign_in import Visitor

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_somebody_is_invited_and_chooses_a_password(app: Flask, page: Page, api: Api) -> None:
    assert "Make the invitation" in page("/invite").text
    made = page.post("/invite", {"name": "ben", "role": "operator", "tags": "a, b"})

    assert made.status_code == 201
    link = re.search(r"http://127\.0\.0\.1:5000(/links/[\w-]{43})", made.text)
    assert link is not None
    assert "no password yet" in page("/people").text
    visitor = Visitor(app)
    assert visitor.send(link[1], {"password": "tortoise lamp"}).status_code == 303
    assert "operator" in visitor.client.get("/me").text
    rights = api.get("/people/ben").json
    assert (rights["role"], rights["tags"], rights["kind"]) == ("operator", ["a", "b"], "person")
    assert link[1] not in page("/people/ben").text


def test_a_service_account_is_made_without_a_link(page: Page) -> None:
    made = page.post("/invite", {"name": "ci", "role": "operator", "kind": "service"})

    assert made.headers["Location"] == "/people/ci"
    shown = page("/people/ci").text
    assert "Service account, tokens only" in shown
    assert "Make a link" not in shown
    assert page.post("/people/ci/link").status_code == 409


@pytest.mark.parametrize(
    "facts, field",
    [
        ({"name": "a/b"}, "name"),
        ({"name": "page-admin"}, "name"),
        ({"role": "king"}, "role"),
        ({"role": "viewer", "grants": "commands"}, "grants"),
        ({"role": "editor", "grants": "everything"}, "grants"),
        ({"role": "admin", "tags": "a"}, "tags"),
        ({"tags": "Not,A Tag"}, "tags"),
    ],
)
def test_a_wrong_field_of_a_new_account_is_named(
    page: Page, facts: dict[str, str], field: str
) -> None:
    answer = page.post("/invite", {"name": "ben", "role": "viewer"} | facts)

    assert answer.status_code == 422
    assert f'href="#{field}"' in answer.text
    assert page("/people/ben").status_code == 404


def test_new_rights_count_at_once_and_are_said_in_words(
    page: Page, page_of: Callable[..., Page], api: Api, database: Database
) -> None:
    ben = page_of("viewer", name="ben")
    api.make_job("one", tags=["a"])
    api.make_job("two")
    before = page("/people/ben").text
    version = re.search(r'name="version" value="(\d+)"', before)
    assert version is not None
    assert "Sees all 2 jobs" in before
    form = {"role": "editor", "grants": "secrets", "tags": "a", "version": version[1]}

    assert page.post("/people/ben", form).status_code == 303
    after = page("/people/ben").text
    assert "Sees 1 of 2 jobs" in after
    assert "change secrets" in after
    assert ben("/me").status_code == 303
    stale = page.post("/people/ben", form | {"role": "viewer", "grants": ""})
    assert stale.status_code == 422
    wrong = page.post("/people/ben", {"role": "viewer", "grants": "secrets"})
    assert wrong.status_code == 422
    with database.reading() as session:
        assert people.get(session, "ben").role == "editor"


def test_an_account_is_disabled_enabled_and_removed(
    page: Page, page_of: Callable[..., Page]
) -> None:
    ben = page_of("viewer", name="ben")

    assert page.post("/people/ben/disable").status_code == 303
    assert "cannot sign in" in page("/people/ben").text
    assert ben("/me").status_code == 303
    assert page.post("/people/ben/enable").status_code == 303
    assert "Remove ben?" in page("/people/ben/remove").text
    assert page.post("/people/ben/remove").headers["Location"] == "/people"
    assert page("/people/ben").status_code == 404


def test_an_admin_signs_somebody_out(page: Page, page_of: Callable[..., Page]) -> None:
    ben = page_of("viewer", name="ben")
    number = re.search(r'name="session" value="(\d+)"', page("/people/ben").text)
    assert number is not None

    assert page.post("/people/page-admin/sessions/end", {"session": number[1]}).status_code == 404
    assert ben("/me").status_code == 200
    assert page.post("/people/ben/sessions/end", {"session": number[1]}).status_code == 303
    assert ben("/me").status_code == 303


def test_the_account_of_the_machine_keeps_its_rights(page: Page) -> None:
    assert "admin-token" in page("/people/admin").text
    assert page.post("/people/admin", {"role": "viewer"}).status_code == 422
    assert page.post("/people/admin/remove").status_code == 409


def test_changes_want_the_password_if_that_is_long_ago(page: Page, database: Database) -> None:
    give_password_long_ago(database)

    for path in ("/people/page-admin/disable", "/invite", "/people/page-admin/remove"):
        answer = page.post(path, {"name": "ben", "role": "admin"})
        assert answer.status_code == 401, path
        assert f'name="next" value="{path}"' in answer.text
    assert page("/people/ben").status_code == 404
    assert page("/invite").headers["Location"] == "/sign-in/again?next=/invite"
