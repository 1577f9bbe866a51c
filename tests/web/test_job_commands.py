"""What people do to jobs is the same from the API and from the pages."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs_app.web import job_commands
from tests.web.conftest import Api
from tests.web.pages.conftest import Page
from tests.web.pages.test_job_form import form

NAME = "nightly"

ACTIONS = ("create", "change", "pause", "resume", "restore", "delete", "purge")


def by_api(api: Api) -> None:
    """Create a job, and do to it all that the API can."""
    job = api.make_job(NAME, task="sleep", kwargs={"duration": 1})
    api.patch(f"/jobs/{NAME}", {"description": "changed"}, if_match=f'"{job["version"]}"')
    api.post(f"/jobs/{NAME}/pause", {"reason": "a move"})
    api.post(f"/jobs/{NAME}/resume", {"on_missed": "last"})
    api.post(f"/jobs/{NAME}/revisions/1/restore", headers={"If-Match": "*"})
    assert api.delete(f"/jobs/{NAME}?purge=true").status_code == 204


def by_page(page: Page) -> None:
    """Do the same on the pages."""
    new = form(page, "/new-job?task=sleep") | {"/name": NAME, "/kwargs/duration": "1"}
    new |= {"/schedule/cron": "30 2 * * *", "/schedule/timezone": "Europe/Paris"}
    assert page.post("/new-job", new).status_code == 303
    changed = form(page, f"/jobs/{NAME}/edit") | {"/description": "changed"}
    page.post(f"/jobs/{NAME}/edit", changed)
    page.post(f"/jobs/{NAME}/pause", {"reason": "a move"})
    page.post(f"/jobs/{NAME}/resume", {"on_missed": "last"})
    page.post(f"/jobs/{NAME}/changes/1/restore", {"version": "4"})
    page.post(f"/jobs/{NAME}/delete", {"version": "5", "purge": "yes"})


def test_no_other_module_of_the_web_changes_a_job() -> None:
    """Else the API and a page could check, change or tell Redis in two ways."""
    this = Path(job_commands.__file__)
    calls = re.compile(r"service\.(create|change|remove|purge|pause|resume)\(")

    assert [path.name for path in this.parent.rglob("*.py") if calls.search(path.read_text())] == [
        this.name
    ]


def test_the_audit_of_both_differs_in_the_way_alone(
    api_of: Callable[..., Api], page_of: Callable[..., Page]
) -> None:
    root = api_of("admin")
    by_api(root)
    of_api = changes(root)
    by_page(page_of("admin", name="ann"))
    of_page = changes(root)[: -len(of_api)]

    assert {event["via"] for event in of_api} == {"api"}
    assert {event["via"] for event in of_page} == {"page"}
    assert [event["action"] for event in of_api] == [*reversed(ACTIONS)]
    assert [facts(event) for event in of_page] == [facts(event) for event in of_api]


def changes(api: Api) -> list[dict[str, Any]]:
    """Return the audit of jobs, the newest event first."""
    items: list[dict[str, Any]] = api.get("/audit?limit=200").json["items"]
    return [event for event in items if event["job_id"] is not None]


def facts(event: dict[str, Any]) -> dict[str, Any]:
    """Return what an event says, but for who, when and in which way."""
    return {name: event[name] for name in ("action", "detail")}
