"""Asking twice before a start."""

from collections.abc import Callable

from jobs_app.core.states import RunState
from tests.web.conftest import Api, a_run
from tests.web.pages.conftest import Page
from tests.web.pages.html_forms import forms_of


def test_a_job_that_asks_twice_starts_only_with_its_name(api: Api, page: Page) -> None:
    assert api.make_job("reboot", confirm=True)["confirm"] is True
    form = page("/jobs/reboot/run").text
    assert 'name="confirm"' in form
    assert "asks for its name" in page("/jobs/reboot").text

    for typed in ({}, {"confirm": ""}, {"confirm": "Reboot"}):
        answer = page.post("/jobs/reboot/run", {"note": "kept", **typed})
        assert answer.status_code == 422
        assert 'href="#confirm"' in answer.text
        assert 'id="confirm-error"' in answer.text
        assert 'value="kept"' in answer.text
    assert api.get("/runs").json["items"] == []

    assert page.post("/jobs/reboot/run", {"confirm": " reboot "}).status_code == 303
    assert len(api.get("/runs").json["items"]) == 1


def test_a_retry_of_such_a_job_asks_as_well(
    api: Api, page: Page, store: Callable[..., None]
) -> None:
    run = a_run(RunState.FAILED, job_id=api.make_job("reboot", confirm=True)["id"])
    store(run)

    assert 'name="confirm"' in page(f"/runs/{run.id}/retry").text
    refused = page.post(f"/runs/{run.id}/retry", {"confirm": "no"})
    assert refused.status_code == 422
    assert 'id="confirm-error"' in refused.text
    assert page.post(f"/runs/{run.id}/retry", {"confirm": "reboot"}).status_code == 303


def test_programs_and_other_jobs_are_not_asked(api: Api, page: Page) -> None:
    api.make_job("reboot", confirm=True)
    assert api.post("/jobs/reboot/runs", {}).status_code == 202
    assert api.make_job("plain")["confirm"] is False

    assert 'name="confirm"' not in page("/jobs/plain/run").text
    assert page.post("/jobs/plain/run", {}).status_code == 303


def test_the_form_of_a_job_sets_it(api: Api, page: Page) -> None:
    api.make_job("reboot", tags=["a"])
    for value in (True, False):
        controls = forms_of(page("/jobs/reboot/edit").text)["/jobs/reboot/edit"]
        chosen = {"/confirm": "true" if value else "false", "then": "save"}

        assert page.post("/jobs/reboot/edit", controls | chosen).status_code == 303

        assert api.get("/jobs/reboot").json["confirm"] is value
