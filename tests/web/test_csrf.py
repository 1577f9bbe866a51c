"""Forged requests: what is refused, on each route that changes something."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web import csrf, permissions
from tests.web.conftest import OURS, Page
from tests.web.test_permissions import EXAMPLES

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def page(page_of: Any) -> Page:
    """A browser in which an admin is signed in."""
    made: Page = page_of("admin", name="ann")
    return made


def unsafe_routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield method and address of each route of a page that may change something."""
    examples = {"key": "x" * 43, **EXAMPLES}
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.partition(".")[0].endswith(permissions.PAGE_SUFFIX):
            continue
        built = rule.build({name: examples[name] for name in rule.arguments})
        assert built is not None
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            yield method, f"/{built[1].lstrip('/')}"


def send(page: Page, method: str, path: str, headers: dict[str, str], **options: Any) -> Any:
    sent = {"Accept": "text/html", **headers}
    return page.client.open(path, method=method, headers=sent, buffered=True, **options)


def test_each_route_that_changes_something_refuses_foreign_requests(app: Flask, page: Page) -> None:
    routes = list(unsafe_routes(app))
    assert ("POST", "/sign-in") in routes
    assert ("POST", "/sign-out") in routes
    token = csrf.masked_token(page.secret)
    stale = csrf.masked_token("another session")
    ours, header = {"Sec-Fetch-Site": "same-origin"}, csrf.HEADER
    refused = {
        "another site": {"Sec-Fetch-Site": "cross-site", header: token},
        "another host of the site": {"Sec-Fetch-Site": "same-site", header: token},
        "nobody": {"Sec-Fetch-Site": "none", header: token},
        "another site on plain http": {"Origin": "http://evil.test", header: token},
        "a sandboxed page": {"Origin": "null", header: token},
        "another port": {"Origin": "http://localhost:5001", header: token},
        "no word on where from": {header: token},
        "no token": ours,
        "an empty token": {**ours, header: ""},
        "half a token": {**ours, header: token[:40]},
        "no text": {**ours, header: "é=%"},
        "the token of another session": {**ours, header: stale},
    }

    for method, path in routes:
        for name, headers in refused.items():
            answer = send(page, method, path, headers)
            assert answer.status_code == 403, (method, path, name)
        in_address = send(page, method, f"{path}?{csrf.FIELD}={token}", ours)
        assert in_address.status_code == 403, (method, path)
    assert page("/preferences").status_code == 200


def test_a_form_of_ours_passes_with_its_token_in_a_field_or_a_header(page: Page) -> None:
    token = csrf.masked_token(page.secret)
    plain_http = {"Origin": "http://localhost"}

    for headers in (OURS, plain_http):
        in_field = send(page, "POST", "/preferences", headers, data={csrf.FIELD: token})
        in_header = send(page, "POST", "/preferences", {**headers, csrf.HEADER: token})
        assert (in_field.status_code, in_header.status_code) == (303, 303)


@pytest.mark.parametrize(
    "url, origin",
    [
        ("https://Jobs.example.org:443/team", "https://jobs.example.org"),
        ("http://jobs.example.org:80", "http://jobs.example.org"),
        ("http://jobs.example.org:8080/", "http://jobs.example.org:8080"),
        ("https://[2001:db8::1]/x", "https://[2001:db8::1]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_the_origin_of_the_public_url_is_as_browsers_write_it(
    settings: Settings, url: str, origin: str
) -> None:
    assert csrf.origin_of(url) == origin


@pytest.mark.parametrize(
    "url, origin, is_ours",
    [
        (None, "http://localhost", True),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080", "http://localhost", True),
        ("http://127.0.0.1:8080", "http://evil.test", False),
        ("https://jobs.example.org", "http://localhost", False),
        ("https://jobs.example.org", "https://jobs.example.org", True),
        ("http://127.0.0.1:8080", None, False),
    ],
)
def test_a_public_url_on_this_machine_leaves_its_other_names(
    settings: Settings, url: str | None, origin: str | None, is_ours: bool
) -> None:
    app = Flask(__name__)
    csrf.init_app(app, settings.model_copy(update={"public_url": url}))
    headers = {} if origin is None else {"Origin": origin}

    with app.test_request_context("/sign-out", method="POST", headers=headers):
        if is_ours:
            csrf.check_origin()
        else:
            with pytest.raises(csrf.ForeignRequest):
                csrf.check_origin()


def test_each_answer_has_another_token_of_the_same_session(page: Page) -> None:
    tokens = {
        page("/preferences").text.partition('name="csrf_token" value="')[2].partition('"')[0]
        for _ in range(3)
    }

    assert len(tokens) == 3
    for token in tokens:
        answer = send(page, "POST", "/preferences", OURS, data={csrf.FIELD: token})
        assert answer.status_code == 303
        assert len(base64.urlsafe_b64decode(token + "==")) == 64


def test_a_page_with_the_mark_has_no_mark_left(page: Page) -> None:
    assert csrf._MARK in csrf.field()
    assert csrf._MARK not in page("/preferences").text


def test_a_stored_text_is_never_taken_for_the_mark(database: Database) -> None:
    assert csrf.fill("a token-0123456789abcdef0123456789abcdef b").count("token-") == 1


def test_a_fragment_that_two_people_share_has_a_token_for_each(app: Flask, page_of: Any) -> None:
    fragment = f"<form>{csrf.field()}</form>"
    pages = [page_of("viewer", name=name) for name in ("ann", "ben")]
    tokens = []
    for page in pages:
        cookie = app.extensions["jobs_app_page_session"].name
        with app.test_request_context(headers={"Cookie": f"{cookie}={page.secret}"}):
            filled = csrf.fill(fragment)
        tokens.append(filled.partition('value="')[2].partition('"')[0])

    outcomes = [
        send(page, "POST", "/preferences", OURS, data={csrf.FIELD: token}).status_code
        for page in pages
        for token in tokens
    ]
    assert outcomes == [303, 403, 403, 303]
