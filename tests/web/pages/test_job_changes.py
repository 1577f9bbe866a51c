"""The changes of a job."""

from collections.abc import Callable

from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_two_revisions_are_compared_field_by_field(api: Api, page: Page) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"queue": "slow"})
    api.patch("/jobs/nightly", {"priority": 7})

    assert page("/jobs/nightly/changes").text.count("data-row") == 3
    last = page("/jobs/nightly/changes/3").text
    assert "<code>priority</code>" in last
    assert "<code>queue</code>" not in last
    both = page("/jobs/nightly/changes/3?with=1").text
    assert "<code>queue</code>" in both


def test_a_revision_is_restored(api: Api, page: Page) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"queue": "slow"})
    answer = page.post("/jobs/nightly/changes/1/restore", {"version": "2"})

    assert answer.status_code == 303
    assert api.get("/jobs/nightly").json["queue"] == "default"


def test_a_restore_over_an_unseen_change_is_refused(api: Api, page: Page) -> None:
    api.make_job()
    api.patch("/jobs/nightly", {"queue": "slow"})
    api.patch("/jobs/nightly", {"priority": 7})
    answer = page.post("/jobs/nightly/changes/1/restore", {"version": "2"})

    assert answer.status_code == 409
    assert api.get("/jobs/nightly").json["priority"] == 7


def test_a_revision_that_is_not_there_is_not_found(api: Api, page: Page) -> None:
    api.make_job()

    assert page("/jobs/nightly/changes/9").status_code == 404
    assert page(f"/jobs/nightly/changes/{10**30}").status_code == 404


def test_arguments_are_masked_for_whoever_may_only_read(
    api: Api, page_of: Callable[..., Page]
) -> None:
    api.make_job(kwargs={"command": "echo private"})
    answer = page_of("viewer")("/jobs/nightly/changes/1")

    assert "private" not in answer.text
    assert "Restore" not in answer.text
