"""A form with arguments of twelve kinds sends exactly what the API is sent."""

from datetime import date, datetime
from typing import Any, Literal

import pytest
from flask import Flask

from jobs_app.web import extension
from tests.web.conftest import Api, a_job
from tests.web.pages.conftest import Page
from tests.web.pages.test_job_form import form, sent, stored


def twelve(
    country: str,
    message: str = "hello",
    rows: int = 5,
    share: float = 0.5,
    dry_run: bool = False,
    mode: Literal["fast", "slow"] = "fast",
    day: date | None = None,
    at: datetime | None = None,
    names: list[str] | None = None,
    window: dict[str, Any] | None = None,
    nothing: None = None,
    to: str | list[str] | None = None,
) -> None:
    """Take every kind of argument."""


ALL = {
    "country": "de",
    "message": "two\nlines",
    "rows": 7,
    "share": 1.25,
    "dry_run": True,
    "mode": "slow",
    "day": "2026-12-01",
    "at": "2026-12-01T09:00:00+01:00",
    "names": ["a", "b c"],
    "window": {"from": [1, None]},
    "nothing": None,
    "to": ["me", "you"],
}


@pytest.fixture(autouse=True)
def task(app: Flask) -> None:
    """Register the task."""
    parts: extension.Extension = app.extensions[extension.NAME]
    parts.app.task(name="twelve", shared=False)(twelve)


@pytest.mark.parametrize(
    "kwargs",
    [ALL, {"country": ""}, {"country": "x", "day": None, "names": [], "message": "", "to": "me"}],
)
def test_the_form_stores_what_the_api_stores(api: Api, page: Page, kwargs: dict[str, Any]) -> None:
    document = a_job(name="by-api", task="twelve", kwargs=kwargs, run_arguments=["rows"])
    assert api.post("/jobs", document).status_code == 201
    controls = form(page, "/new-job?from=by-api") | {"/name": "by-form"}

    assert sent(page, "/new-job", controls).status_code == 303

    assert stored(api, "by-form")["kwargs"] == kwargs
    assert stored(api, "by-form") | {"name": "by-api"} == stored(api, "by-api")


def test_what_is_typed_is_stored(api: Api, page: Page) -> None:
    typed = {
        "country": "de",
        "message": "two\r\nlines",
        "rows": " 7",
        "share": "1.25",
        "dry_run": "true",
        "mode": '"slow"',
        "day": "2026-12-01",
        "at": "2026-12-01T09:00",
        "names": "a\r\nb c",
        "window": '{"from": [1, null]}',
        "to": '["me", "you"]',
    }
    controls = form(page, "/new-job?task=twelve") | {"/name": "x", "/schedule": "manual"}
    controls |= {f"/kwargs/{name}": text for name, text in typed.items()}
    controls |= {"zone:/kwargs/at": "Europe/Paris", "as:/kwargs/to": "json"}
    controls |= {"blank:/kwargs/nothing": "null"}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 303, answer.text
    assert stored(api, "x")["kwargs"] == ALL | {"at": "2026-12-01T08:00:00Z"}


def test_each_error_of_the_server_is_at_its_argument(api: Api, page: Page) -> None:
    wrong = {"rows": "many", "share": "x", "mode": '"other"', "day": "2026-02-30", "window": "[1]"}
    controls = form(page, "/new-job?task=twelve") | {"/name": "x", "/schedule": "manual"}
    controls |= {f"/kwargs/{name}": text for name, text in wrong.items()}

    answer = sent(page, "/new-job", controls)

    assert answer.status_code == 422
    for name in ("country", *wrong):
        pointer = f"f_2f_kwargs_2f_{name.replace('_', '_5f_')}"
        assert f'id="{pointer}-error"' in answer.text, name
        assert f'<a href="#{pointer}">' in answer.text
