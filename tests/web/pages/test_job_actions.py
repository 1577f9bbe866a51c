"""Pause and resume."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from tests.web.conftest import Api
from tests.web.pages.conftest import Page


def test_a_pause_keeps_its_reason(api: Api, page: Page) -> None:
    api.make_job()
    asked = page("/jobs/nightly/pause")
    answer = page.post("/jobs/nightly/pause", {"reason": "moving db-main"})
    job = api.get("/jobs/nightly").json

    assert "These fires would not run" in asked.text
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/jobs/nightly")
    assert (job["state"], job["paused"]["reason"]) == ("paused", "moving db-main")


def test_a_reason_that_is_too_long_is_kept_in_the_form(api: Api, page: Page) -> None:
    api.make_job()
    reason = "x" * 5000
    answer = page.post("/jobs/nightly/pause", {"reason": reason})

    assert answer.status_code == 422
    assert reason in answer.text
    assert api.get("/jobs/nightly").json["state"] == "active"


def test_asking_changes_nothing(api: Api, page: Page) -> None:
    api.make_job()
    before = api.facts()
    for action in ("pause", "resume", "run"):
        assert page(f"/jobs/nightly/{action}").status_code == 200

    assert api.facts() == before


@pytest.mark.parametrize(
    "on_missed, runs", [("skip", 0), ("last", 1), ("all", 3)], ids=["skip", "last", "all"]
)
def test_a_resume_does_what_its_page_says(
    api: Api, page: Page, database: Database, on_missed: str, runs: int
) -> None:
    schedule = {"interval_seconds": 3600}
    api.make_job(schedule=schedule, overlap_policy="allow_all", catchup_policy="all")
    page.post("/jobs/nightly/pause", {})
    with database.session() as session:
        paused_at = clock.now() - timedelta(hours=3, minutes=1)
        session.execute(update(Job).values(paused_at=paused_at, anchor_at=paused_at))
        session.commit()
    asked = page("/jobs/nightly/resume")
    answer = page.post("/jobs/nightly/resume", {"on_missed": on_missed})
    queued = [run for run in api.get("/runs").json["items"] if run["state"] == "queued"]

    assert answer.status_code == 303
    assert len(queued) == runs
    words = f"Now: {runs} run" if runs else "Nothing runs now."
    assert words in asked.text


def test_a_pause_may_have_an_end_in_the_zone_of_the_page(api: Api, page: Page) -> None:
    api.make_job()
    page.post("/preferences", {"zone": "Asia/Tokyo"})
    page.post("/jobs/nightly/pause", {"until": "2999-01-01T09:00"})

    assert api.get("/jobs/nightly").json["paused"]["until"] == "2999-01-01T00:00:00Z"
    assert "until Tue 1 Jan 2999 09:00 JST" in page("/jobs/nightly").text


@pytest.mark.parametrize("until", ["2020-01-01T09:00", "soon", "2999-02-30T09:00"])
def test_an_end_that_cannot_be_is_refused(api: Api, page: Page, until: str) -> None:
    api.make_job()
    answer = page.post("/jobs/nightly/pause", {"until": until})

    assert answer.status_code == 422
    assert f'value="{until}"' in answer.text
    assert api.get("/jobs/nightly").json["state"] == "active"
