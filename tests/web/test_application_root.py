"""Behind a proxy with a path: links, redirects and the cookie stay below it."""

from pathlib import Path
from typing import Any

import pytest

from jobs_app.core.settings import Settings
from jobs_app.web.app import create_app
from tests.web.conftest import close

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


def test_the_rest_of_the_application_works_below_the_path(
    settings: Settings, token: str, tmp_path: Path
) -> None:
    app = create_app(settings.model_copy(update={"public_url": "https://example.org/jobs"}))

    answer = app.test_client().get(
        "/api/v1/jobs", headers={"Authorization": f"Bearer {token}"}, buffered=True
    )

    assert answer.status_code == 200
    close(app)
