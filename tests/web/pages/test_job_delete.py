"""Deleting a job, and taking its last change back."""

from typing import Any

import pytest

from tests.web.conftest import Api
from tests.web.pages.conftest import Page
from tests.web.pages.html_forms import forms_of


def asked(page: Page) -> dict[str, str]:
    """Return the controls of the page that asks."""
    return forms_of(page("/jobs/nightly/delete").text)["/jobs/nightly/delete"]


def test_a_job_is_deleted_and_its_runs_are_kept(api: Api, page: Page) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json["id"]

    answer = page.post("/jobs/nightly/delete", asked(page))

    assert (answer.status_code, answer.location) == (303, "/jobs")
    assert api.get("/jobs/nightly").status_code == 404
    assert api.get(f"/runs/{run}").json["state"] == "cancelled"


def test_a_purge_deletes_the_runs_too(api: Api, page: Page) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json["id"]

    answer = page.post("/jobs/nightly/delete", asked(page) | {"purge": "on"})

    assert answer.status_code == 303
    assert api.get(f"/runs/{run}").status_code == 404


def test_a_job_that_somebody_changed_is_not_deleted(api: Api, page: Page) -> None:
    api.make_job()
    controls = asked(page)
    api.patch("/jobs/nightly", {"priority": 7})

    answer = page.post("/jobs/nightly/delete", controls)

    assert answer.status_code == 412
    assert "Somebody changed the job" in answer.text
    assert api.get("/jobs/nightly").status_code == 200


@pytest.mark.parametrize("data", [{}, {"purge": "on"}])
def test_only_who_may_deletes(api: Api, page_of: Any, data: dict[str, str]) -> None:
    api.make_job(task="sleep", kwargs={"duration": 1})
    editor = page_of("editor")
    text = editor("/jobs/nightly/delete").text

    assert "purge" not in text
    answer = editor.post("/jobs/nightly/delete", data | {"version": "1"})

    assert answer.status_code == (403 if data else 303)


def test_the_last_change_is_taken_back(api: Api, page: Page) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"priority": 7, "name": "renamed"})
    text = page("/jobs/renamed?saved=2").text
    assert "Saved as revision 2." in text

    controls = forms_of(text)["/jobs/renamed/undo"]
    answer = page.post("/jobs/renamed/undo", controls)

    assert answer.location == "/jobs/nightly?saved=3"
    assert api.get("/jobs/nightly").json["priority"] == 5
    assert api.get("/jobs/nightly/revisions/3").json["note"] == "Revision 1 was restored."


def test_a_change_that_is_not_the_last_is_not_taken_back(api: Api, page: Page) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"priority": 7})
    api.patch("/jobs/nightly", {"priority": 8})

    answer = page.post("/jobs/nightly/undo", {"version": "2"})

    assert answer.status_code == 412
    assert api.get("/jobs/nightly").json["priority"] == 8
    assert "Undo" not in page("/jobs/nightly?saved=2").text
