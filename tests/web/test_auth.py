"""Who may ask: nobody without a token or a session, on any route but the open ones."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from jobs_app.accounts import tokens
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web import page_session
from jobs_app.web.app import create_app
from tests.web.conftest import NOW, Api, Page, a_job, close

OPEN_PATHS = {
    "/healthz",
    "/readyz",
    "/api/docs",
    "/static/<path:filename>",
    "/assets/<digest>/<path:name>",
}
SIGNED_OUT_PATHS = {"/sign-in", "/links/<key>"}
DEMO_PATHS = {"/start-task", "/task-status/<task_id>"}


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield the rule, the method and a URL of every route of *app*."""
    for rule in app.url_map.iter_rules():
        values: dict[str, Any] = dict.fromkeys(rule.arguments, "7")
        with app.test_request_context():
            url = app.url_for(rule.endpoint, **values)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            yield rule.rule, method, url


def page_rules(app: Flask) -> set[str]:
    """Return the rules of all pages."""
    rules = app.url_map.iter_rules()
    return {rule.rule for rule in rules if "_page." in rule.endpoint}


def test_every_route_but_the_open_ones_wants_a_token(app: Flask) -> None:
    client = app.test_client()

    statuses = {
        (rule, method): client.open(url, method=method, buffered=True).status_code
        for rule, method, url in routes(app)
    }

    closed = {
        key: status
        for key, status in statuses.items()
        if key[0] not in OPEN_PATHS | SIGNED_OUT_PATHS
    }
    assert len(closed) > 20
    # Pages lead to the sign-in, and take a form only from a page of ours.
    pages = {key: status for key, status in closed.items() if key[0] in page_rules(app)}
    expected = {method: 303 if method in ("GET", "HEAD") else 403 for _, method in pages}
    assert {method: status for (_, method), status in pages.items()} == expected
    assert {closed[key] for key in closed.keys() - pages.keys()} == {401}
    assert {rule for rule, _ in statuses} >= OPEN_PATHS | DEMO_PATHS


def test_an_unknown_path_without_a_token_is_unauthorized(app: Flask) -> None:
    assert app.test_client().get("/api/v1/none").status_code == 401


BAD_CREDENTIALS = {
    "none": {},
    "empty": {"Authorization": "Bearer "},
    "unknown": {"Authorization": "Bearer jobs_unknown"},
    "basic": {"Authorization": "Basic dGVzdGVyOng="},
    "not ASCII": {"Authorization": "Bearer é\x80"},
}


@pytest.mark.parametrize("headers", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS)
def test_a_request_without_a_good_token_is_refused(app: Flask, headers: dict[str, str]) -> None:
    answer: Any = app.test_client().get("/api/v1/jobs", headers=headers)

    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_in_the_address_is_not_looked_at(app: Flask, token: str) -> None:
    answer = app.test_client().get(f"/api/v1/jobs?access_token={token}&token={token}")

    assert answer.status_code == 401


def test_an_expired_token_is_refused(app: Flask, database: Database) -> None:
    now = clock.now()
    with database.session() as session:
        expired = tokens.create(session, "old", at=NOW, expires_at=now - timedelta(seconds=1))
        valid = tokens.create(session, "new", at=NOW, expires_at=now + timedelta(hours=1))

    assert Api(app, expired).get("/jobs").status_code == 401
    assert Api(app, valid).get("/jobs").status_code == 200


def test_a_failed_sign_in_is_logged_without_the_token(
    app: Flask, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    now = clock.now()
    with database.session() as session:
        expired = tokens.create(session, "old", at=NOW, expires_at=now - timedelta(seconds=1))
        revoked = tokens.create(session, "leaked", at=NOW)
        tokens.revoke(session, "leaked", by="ann", at=now)

    for token in (expired, revoked, "jobs_guess", "jobs_guess"):
        Api(app, token).get("/jobs", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    Api(app, "x").get("/jobs", environ_base={"REMOTE_ADDR": "a b\n" + "c" * 100})
    app.test_client().get("/api/v1/jobs")

    lines = [line for line in caplog.messages if line.startswith("sign_in_failed")]
    assert [line.split(" ", 1)[1].split(" token=")[0] for line in lines] == [
        "address=192.0.2.7 reason=expired",
        "address=192.0.2.7 reason=revoked",
        "address=192.0.2.7 reason=unknown",
        f"address=a?b?{'c' * 60} reason=unknown",
    ]
    assert lines[0].endswith("name='old'")
    assert lines[1].endswith("name='leaked'")
    assert all(token not in caplog.text for token in (expired, revoked, "jobs_guess"))


def test_the_use_of_a_token_is_noted(api: Api, database: Database) -> None:
    api.get("/jobs")

    with database.reading() as session:
        principal = tokens.find(session, api.token, at=clock.now())
    assert principal is not None
    assert principal.last_used_at is not None


@pytest.fixture
def open_app(settings: Settings) -> Iterator[Flask]:
    """The application as `up --demo` runs it."""
    made = create_app(settings.model_copy(update={"demo_open": True}))
    yield made
    close(made)


def test_the_demo_opens_the_two_tutorial_routes_and_nothing_else(open_app: Flask) -> None:
    client = open_app.test_client()

    opened = {
        rule
        for rule, method, url in routes(open_app)
        if client.open(url, method=method, buffered=True).status_code != 401
        and rule not in page_rules(open_app)
    }

    assert opened == OPEN_PATHS | DEMO_PATHS


OUTSIDE: dict[str, dict[str, Any]] = {
    "another machine": {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}},
    "an unknown address": {"environ_base": {"REMOTE_ADDR": ""}},
    "a proxy on this machine": {"headers": {"X-Forwarded-For": "192.0.2.7"}},
    **{
        f"a proxy that adds {name}": {"headers": {name: "192.0.2.7"}}
        for name in (
            *("X-Real-IP", "Via", "CF-Connecting-IP", "Forwarded", "X-Forwarded-Proto"),
            *("True-Client-IP", "X-Client-IP", "CF-Ray", "X-Envoy-External-Address"),
        )
    },
    "a page of another site": {"headers": {"Origin": "http://evil.example"}},
    "a web site that rebinds its name": {"base_url": "http://evil.example:5000"},
}


@pytest.mark.parametrize("options", OUTSIDE.values(), ids=OUTSIDE)
def test_the_demo_is_open_to_this_machine_only(open_app: Flask, options: dict[str, Any]) -> None:
    answer = open_app.test_client().get("/task-status/1", **options)

    assert answer.status_code == 401


def test_the_demo_answers_a_page_of_its_own(open_app: Flask) -> None:
    headers = {"Origin": "http://localhost"}

    assert open_app.test_client().get("/task-status/1", headers=headers).status_code == 200


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:5000", "http://[::1]:5000"])
def test_the_demo_answers_under_every_name_of_this_machine(open_app: Flask, base_url: str) -> None:
    answer = open_app.test_client().get("/task-status/1", base_url=base_url)

    assert answer.status_code == 200


def test_a_run_of_the_demo_is_recorded_as_such(open_app: Flask, token: str) -> None:
    started: Any = open_app.test_client().post("/start-task", json={"duration": 1})

    run = Api(open_app, token).get(f"/runs/{started.json['task_id']}").json
    assert run["triggered_by"] == "demo"


def test_the_demo_takes_no_long_task_and_not_many(open_app: Flask, token: str) -> None:
    client = open_app.test_client()

    long = client.post("/start-task", json={"duration": 61})
    answers = [client.post("/start-task", json={"duration": 60}) for _ in range(4)]
    with_token = Api(open_app, token).post("//start-task", {"duration": 61})

    assert long.status_code == 422
    assert [answer.status_code for answer in answers] == [202, 202, 202, 409]
    assert with_token.status_code == 202


@pytest.mark.parametrize("path", ["//healthz", "/jobs", "/none", "//api/docs"])
def test_every_answer_brings_the_security_headers(api: Api, path: str) -> None:
    headers = api.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]


def test_answers_with_data_are_not_stored_by_caches(api: Api) -> None:
    assert api.get("/jobs").headers["Cache-Control"] == "no-store"


@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["Host", "X-Forwarded-Host", "Forwarded", "X-Original-Host"])
def test_no_answer_repeats_the_name_that_a_request_gives_to_this_server(
    api: Api, page_of: Callable[..., Page], name: str
) -> None:
    evil = {name: "host=evil.example" if name == "Forwarded" else "evil.example"}
    api.make_job("one")
    api.make_job("two")

    answers = [
        api.post("/jobs", a_job(name="three"), headers=evil),
        api.post("/jobs/one/runs", {}, headers=evil),
        api.get("/jobs?limit=1", headers=evil),
        api.get("/none", headers=evil),
        api.get("/openapi.json", headers=evil),
        api.get("//api/docs", headers=evil),
        api.get("//api/docs/", headers=evil),
    ]
    page, run_path = page_of("editor"), answers[1].headers["Location"].removeprefix("/api/v1")
    page.client.set_cookie(
        page.app.extensions[page_session.NAME].name, page.secret, domain="evil.example"
    )
    # A page that one person asks for may be shown to others a moment later.
    pages = [page(path, **evil) for path in ("/", "/jobs", "/jobs/one", "/runs", run_path)]

    assert answers[0].headers["Location"] == "/api/v1/jobs/three"
    assert "Link" in answers[2].headers
    assert {answer.status_code for answer in pages} == {200}
    for answer in (*answers, *pages):
        assert "evil.example" not in answer.get_data(as_text=True) + str(answer.headers)
