"""Sign in and out, as a browser does."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete

from jobs_app.accounts import passwords, people
from jobs_app.accounts.people import Rights
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import SignInAttempt
from jobs_app.web import csrf, page_session
from jobs_app.web.app import create_app
from tests.web.conftest import OURS, Api, Page, close

# An application counts the failures of sign-ins: each test here has one of its own.
from tests.web.conftest import app as app
from tests.web.conftest import settings as settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PASSWORD = "tortoise lamp"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of PASSWORD."""
    return passwords.hashed(PASSWORD)


@pytest.fixture
def ann(database: Database, password_hash: str) -> None:
    """A person called ann with PASSWORD."""
    with database.session() as session:
        account = ("ann", AccountKind.PERSON, Rights(Role.EDITOR))
        at = clock.now()
        people.create(session, *account, password_hash=password_hash, by="root", at=at)


class Visitor:
    """A browser in which nobody is signed in."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client = app.test_client()

    def secret(self) -> str:
        cookie = self.client.get_cookie(self.app.extensions[page_session.NAME].name)
        return "" if cookie is None else cookie.value

    def send(self, path: str, data: dict[str, Any], **headers: str) -> Any:
        """Load the page at *path*, and send its form."""
        form = self.client.get(path.partition("?")[0], headers={"Accept": "text/html"}).text
        token = form.rpartition('name="csrf_token" value="')[2].partition('"')[0]
        sent = {**OURS, **headers}
        return self.client.post(path, data={csrf.FIELD: token, **data}, headers=sent)

    def sign_in(self, password: str = PASSWORD, name: str = "ann", **more: Any) -> Any:
        return self.send("/sign-in", {"name": name, "password": password, **more})


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    """A browser in which nobody is signed in."""
    return Visitor(app)


def test_a_person_signs_in_and_out(ann: None, visitor: Visitor) -> None:
    answer = visitor.sign_in(next="/jobs?q=a")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?q=a")
    assert visitor.client.get("/jobs").status_code == 200
    assert visitor.client.get("/sign-in?next=/jobs").headers["Location"] == "/jobs"
    out = visitor.send("/preferences", {})
    assert out.status_code == 303
    page = Page(visitor.app, visitor.secret())
    assert page.post("/sign-out").headers["Location"] == "/sign-in"
    assert Page(visitor.app, page.secret)("/jobs").status_code == 303


def test_the_id_is_a_new_one_after_the_sign_in_and_after_the_sign_out(
    ann: None, visitor: Visitor
) -> None:
    name = visitor.app.extensions[page_session.NAME].name
    visitor.client.set_cookie(name, "planted by somebody else")
    before = visitor.secret()
    visitor.sign_in()
    signed_in = visitor.secret()
    Page(visitor.app, "planted by somebody else")
    assert before not in ("", signed_in)
    assert Page(visitor.app, before)("/jobs").status_code == 303
    page = Page(visitor.app, signed_in)
    page.post("/sign-out")
    after = page.client.get_cookie(name)
    assert after is not None
    assert after.value not in (signed_in, before)


@pytest.mark.parametrize(
    "name, password", [("ann", "a bad guess"), ("ben", PASSWORD), ("\x00", "a guess")]
)
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(
    ann: None, visitor: Visitor, name: str, password: str
) -> None:
    answer = visitor.sign_in(password, name)

    assert answer.status_code == 422
    assert "The name or the password is wrong." in answer.text
    assert password not in answer.text
    assert visitor.client.get("/jobs").status_code == 303


@pytest.mark.nightly
def test_the_answer_to_an_unknown_name_takes_as_long(
    ann: None, visitor: Visitor, database: Database
) -> None:
    # The time of the processor, as other programs run at the same time.
    seconds: dict[str, list[float]] = {"ann": [], "ben": []}
    visitor.sign_in("a bad guess")
    token = csrf.masked_token(visitor.secret())
    for _ in range(50):
        for name, taken in seconds.items():
            with database.session() as session:
                session.execute(delete(SignInAttempt))
                session.commit()
            form = {"name": name, "password": "a bad guess", csrf.FIELD: token}
            began = time.thread_time()
            answer = visitor.client.post("/sign-in", data=form, headers=OURS)
            taken.append(time.thread_time() - began)
            assert answer.status_code == 422
    medians = [statistics.median(taken) for taken in seconds.values()]

    assert max(medians) / min(medians) < 1.1


def test_many_failures_have_to_wait(ann: None, visitor: Visitor, api: Api) -> None:
    answers = [visitor.sign_in("wrong") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [422] * 5 + [429]
    assert answers[-1].headers["Retry-After"] == "1"
    assert "Wait 1 s" in answers[-1].text
    failed = [e for e in api.get("/audit").json["items"] if e["action"] == "sign_in_failed"]
    reasons = {event["detail"]["reason"] for event in failed}
    assert reasons == {"wrong_name_or_password", "too_many"}
    assert {event["detail"]["person"] for event in failed} == {"ann", None}


@pytest.mark.parametrize(
    "next_path", ["//evil.test", "/\\evil.test", "https://evil.test", "/%2F/e"]
)
def test_the_sign_in_leads_to_no_other_site(ann: None, visitor: Visitor, next_path: str) -> None:
    assert visitor.sign_in(next=next_path).headers["Location"] == "/"
    signed_in = visitor.client.get("/sign-in", query_string={"next": next_path})
    assert signed_in.headers["Location"] == "/"


def test_what_was_typed_is_sent_after_the_sign_in(ann: None, visitor: Visitor) -> None:
    kept = {"sends": "1", "kept.zone": "Asia/Tokyo"}
    answer = visitor.sign_in(next="/preferences", **kept)

    assert answer.status_code == 200
    assert 'action="/preferences"' in answer.text
    assert 'name="zone" value="Asia/Tokyo"' in answer.text
    token = answer.text.rpartition('name="csrf_token" value="')[2].partition('"')[0]
    form = {csrf.FIELD: token, "zone": "Asia/Tokyo"}
    assert visitor.client.post("/preferences", data=form, headers=OURS).status_code == 303
    wrong = Visitor(visitor.app).sign_in("wrong", **kept)
    assert 'name="kept.zone" value="Asia/Tokyo"' in wrong.text


def test_the_password_given_again_makes_a_new_session(ann: None, visitor: Visitor) -> None:
    visitor.sign_in()
    first = visitor.secret()
    refused = visitor.send("/sign-in/again", {"password": "wrong", "next": "/jobs"})
    answer = visitor.send("/sign-in/again", {"password": PASSWORD, "next": "/jobs"})

    assert (refused.status_code, answer.status_code) == (422, 303)
    assert "The password is wrong." in refused.text
    assert visitor.secret() != first
    assert Page(visitor.app, first)("/jobs").status_code == 303
    assert visitor.client.get("/jobs").status_code == 200


def test_somebody_else_who_signs_in_ends_the_session_before(
    ann: None, app: Flask, page_of: Callable[..., Page], api: Api
) -> None:
    page = page_of("viewer", name="ben")
    answer = page.post("/sign-in", {"name": "ann", "password": PASSWORD})

    assert answer.status_code == 303
    assert Page(app, page.secret)("/jobs").status_code == 303
    assert page("/jobs").status_code == 200
    newest = api.get("/audit").json["items"][0]
    assert (newest["action"], newest["actor"]) == ("sign_in", "ann")


def test_without_anybody_the_page_says_where_to_look(visitor: Visitor, api: Api) -> None:
    text = visitor.client.get("/sign-in").text

    assert "Nobody can sign in yet." in text
    assert "person add NAME" in text
    assert visitor.sign_in().status_code == 422


def test_with_somebody_it_does_not(ann: None, visitor: Visitor) -> None:
    assert "Nobody can sign in yet." not in visitor.client.get("/sign-in").text


def test_a_page_that_is_not_encrypted_says_so(
    ann: None, visitor: Visitor, settings: Settings
) -> None:
    https = create_app(settings.model_copy(update={"public_url": "https://jobs.example.org"}))
    texts = [
        visitor.client.get("/sign-in", base_url="http://jobs.example.org").text,
        visitor.client.get("/sign-in", base_url="http://localhost:5000").text,
        https.test_client().get("/sign-in", base_url="http://jobs.example.org").text,
    ]
    close(https)

    assert ["not encrypted" in text for text in texts] == [True, False, False]


def test_the_cookie_of_https_is_used_behind_a_proxy(
    ann: None, settings: Settings, page_of: Callable[..., Page]
) -> None:
    public = {"public_url": "https://jobs.example.org"}
    app = create_app(settings.model_copy(update=public))
    visitor = Visitor(app)
    proxied = {"base_url": "https://jobs.example.org"}
    form = visitor.client.get("/sign-in", **proxied).text
    token = form.rpartition('name="csrf_token" value="')[2].partition('"')[0]
    sent = {csrf.FIELD: token, "name": "ann", "password": PASSWORD}
    origin = {"Origin": "https://jobs.example.org"}
    # The proxy talks plain http to us, under another name.
    answer = visitor.client.post("/sign-in", data=sent, headers=origin, **proxied)
    assert answer.status_code == 303
    assert "__Host-jobs-app=" in answer.headers["Set-Cookie"]
    foreign = {"Origin": "http://127.0.0.1:5000"}
    refused = visitor.client.post("/sign-in", data=sent, headers=foreign, **proxied)
    assert refused.status_code == 403
    close(app)
