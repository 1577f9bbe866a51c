"""Behind a proxy with a path: links, redirects and the cookie stay below it."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs.attention import attention
from jobs_app.web.app import create_app
from jobs_app.web.permissions import PAGE_SUFFIX
from tests.web.conftest import Api, Page, a_job, a_run, close

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    "url, cookie, path, is_secure",
    [
        (None, "jobs-app-5000", "/", False),
        ("http://jobs.example.org:8080", "jobs-app-5000", "/", False),
        ("http://example.org/jobs/", "jobs-app-5000", "/jobs", False),
        ("https://jobs.example.org/", "__Host-jobs-app", "/", True),
        ("https://example.org/team/jobs", "__Secure-jobs-app", "/team/jobs", True),
    ],
)
def test_cookie_and_addresses_are_those_of_the_public_url(
    settings: Settings, url: str | None, cookie: str, path: str, is_secure: bool
) -> None:
    app = create_app(settings.model_copy(update={"public_url": url}))
    client = app.test_client()
    root = "" if path == "/" else path

    redirected = client.get("/jobs")
    answer: Any = client.get("/sign-in?next=/jobs")

    assert redirected.headers["Location"] == f"{root}/sign-in?next=/jobs"
    assert f'action="{root}/sign-in"' in answer.text
    name, *attributes = answer.headers["Set-Cookie"].replace("; ", ";").split(";")
    assert name.partition("=")[0] == cookie
    assert {"HttpOnly", "SameSite=Lax", f"Path={path}"} <= set(attributes)
    assert ("Secure" in attributes) is is_secure
    assert not any(attribute.startswith("Domain") for attribute in attributes)
    close(app)


def test_addresses_of_the_api_begin_with_the_path(settings: Settings, token: str) -> None:
    app = create_app(settings.model_copy(update={"public_url": "https://example.org/jobs"}))

    api = Api(app, token)
    made = api.post("/jobs", a_job(name="nightly"))
    api.post("/jobs", a_job(name="weekly"))
    answer = api.get("/jobs?limit=1")

    assert answer.status_code == 200
    assert answer.headers["Link"].startswith("</jobs/api/v1/jobs?limit=1&cursor=")
    assert made.headers["Location"] == "/jobs/api/v1/jobs/nightly"
    close(app)


#: What a browser loads, opens or sends forms to.
ADDRESSES = re.compile(r'\b(?:href|src|action|hx-get|hx-post|data-address|data-stream)="([^"]*)"')


def test_each_address_on_each_page_begins_with_the_path(
    settings: Settings, database: Database, token: str, page_of: Callable[..., Page]
) -> None:
    app = create_app(settings.model_copy(update={"public_url": "http://example.org/team"}))
    page = Page(app, page_of("admin", name="ann").secret)
    assert Api(app, token).post("/jobs", a_job(name="nightly")).status_code == 201
    with database.session() as session:
        run = a_run(job_id=1)
        session.add(run)
        session.commit()
        line = attention(session, at=clock.now())[0].id
    examples = {"run_id": str(run.id), "name": "nightly", "number": "1", "line": line}
    outside, statuses = {}, {}
    for rule in app.url_map.iter_rules():
        is_page = rule.endpoint.partition(".")[0].endswith(PAGE_SUFFIX)
        if not is_page or "GET" not in (rule.methods or ()) or "key" in rule.arguments:
            continue
        values = examples | ({"name": "ann"} if "people" in rule.endpoint else {})
        built = rule.build({name: values[name] for name in rule.arguments})
        assert built is not None
        answer = page(built[1])
        statuses[rule.endpoint] = answer.status_code
        found = {*ADDRESSES.findall(answer.text), answer.headers.get("Location", "/team")}
        wrong = {a for a in found if not a.startswith(("/team/", "#", "?", "/team"))}
        if wrong:
            outside[rule.endpoint] = wrong

    assert outside == {}
    docs: Any = page("/api/docs")
    assert not [address for address in ADDRESSES.findall(docs.text) if address.startswith("/")]
    assert statuses["job_page.show"] == statuses["run_page.show"] == 200
    assert statuses["attention_page.show"] == 200
    close(app)
