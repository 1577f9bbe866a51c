"""Who is not signed in: where a page leads to, and what becomes of what was typed."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from jobs_app.db.columns import new_run_id
from jobs_app.web import csrf
from tests.web.conftest import OURS, Page

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_page_leads_to_the_sign_in_and_names_itself(app: Flask) -> None:
    client = app.test_client()

    assert client.get("/").headers["Location"] == "/sign-in"
    answer = client.get("/jobs?q=a%26b", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/sign-in?next=/jobs?q%3Da%2526b",
    )
    # As Chrome sends it.
    accept = "text/html,application/xml;q=0.9,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
    nowhere = client.get("/nothing", headers={"Accept": accept})
    assert nowhere.headers["Location"] == "/sign-in?next=/nothing"


def test_a_poll_gets_a_small_fragment(app: Flask) -> None:
    answer: Any = app.test_client().get("/jobs", headers={"HX-Request": "true"})

    assert answer.status_code == 401
    assert "You are signed out." in answer.text
    assert 'href="/sign-in"' in answer.text
    assert "<html" not in answer.text
    assert "<form" not in answer.text


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*", "text/html"])
def test_what_a_script_reads_is_no_page_to_sign_in(app: Flask, accept: str) -> None:
    address = f"/runs/{new_run_id()}/log"

    for path in ("", "?after=1-0", "/stream", "/stream?last_event_id=1-0"):
        answer = app.test_client().get(address + path, headers={"Accept": accept})
        assert (answer.status_code, "Location" in answer.headers) == (401, False), path
    # People open these themselves.
    for path in (".txt", ".txt?attempt=1"):
        assert app.test_client().get(address + path).status_code == 303


def test_what_was_typed_is_kept_but_for_secrets(app: Flask) -> None:
    page = Page(app, "a session that has ended")
    typed = {"zone": "<b>Asia", "theme": "dark", "password": "tortoise", "api_token": "jobs_x"}

    answer = page.post("/preferences?a=1", typed)

    assert answer.status_code == 401
    assert 'name="kept.zone" value="&lt;b&gt;Asia"' in answer.text
    assert 'name="next" value="/preferences?a=1"' in answer.text
    assert "tortoise" not in answer.text
    assert "jobs_x" not in answer.text
    assert csrf.FIELD not in answer.text.replace(f'name="{csrf.FIELD}"', "", 1)


def test_a_button_without_fields_is_kept_too(app: Flask) -> None:
    answer = Page(app, "a session that has ended").post("/sign-out")

    assert answer.status_code == 401
    assert 'name="sends" value="1"' in answer.text
    assert 'name="next" value="/sign-out"' in answer.text


def test_a_form_of_another_site_gets_nothing_into_ours(app: Flask) -> None:
    page = Page(app, "a session that has ended")
    answer = page.post("/preferences", {"zone": "planted"}, **{"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "planted" not in answer.text


def test_a_form_of_before_the_sign_in_can_be_sent_again(page_of: Callable[..., Page]) -> None:
    page = page_of("viewer", name="ann")
    answer = page.post("/preferences", {"zone": "Asia/Tokyo"}, **{csrf.HEADER: "old"})

    assert answer.status_code == 403
    assert 'name="zone" value="Asia/Tokyo"' in answer.text
    token = answer.text.rpartition('name="csrf_token" value="')[2].partition('"')[0]
    form = {"zone": "Asia/Tokyo", csrf.FIELD: token}
    assert page.client.post("/preferences", data=form, headers=OURS).status_code == 303
