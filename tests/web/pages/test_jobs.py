"""The list of jobs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from tests.web.conftest import NOW, Api, a_run
from tests.web.pages.conftest import Page


def order(answer: Any) -> list[str]:
    """Return the names of the jobs of a page, in its order."""
    links = answer.text.split('<a class="name" href="')[1:]
    return [link.partition('">')[2].partition("<")[0] for link in links]


def test_failing_jobs_come_first(api: Api, page: Page, database: Database) -> None:
    for name in ("alpha", "beta", "gamma"):
        api.make_job(name)
    with database.session() as session:
        session.execute(update(Job).where(Job.name == "beta").values(failures_in_a_row=3))
        session.commit()

    assert order(page("/jobs")) == ["beta", "alpha", "gamma"]
    assert "failing, 3 in a row" in page("/jobs").text
    assert order(page("/jobs?sort=name")) == ["alpha", "beta", "gamma"]


@pytest.mark.parametrize("query", ["q=alp", "tag=infra", "queue=slow", "state=paused"])
def test_a_filter_is_in_the_address(api: Api, page: Page, query: str) -> None:
    api.make_job("alpha", tags=["infra"], queue="slow")
    api.make_job("beta")
    api.post("/jobs/alpha/pause", {})
    answer = page(f"/jobs?{query}")

    assert order(answer) == ["alpha"]
    name, _, value = query.partition("=")
    assert f'value="{value}"' in answer.text
    assert name in answer.text


def test_the_list_goes_on_behind_its_page(api: Api, page: Page) -> None:
    for number in range(3):
        api.make_job(f"job-{number}")
    first = page("/jobs?limit=2&sort=name")
    link = first.text.partition('class="pager"')[2].partition('href="')[2].partition('"')[0]

    assert order(first) == ["job-0", "job-1"]
    assert order(page(link.replace("&amp;", "&"))) == ["job-2"]


def test_no_match_is_not_no_job(api: Api, page: Page) -> None:
    assert "No jobs yet." in page("/jobs").text
    api.make_job()
    assert "No job matches." in page("/jobs?q=nothing").text


def test_a_wrong_filter_is_an_error_with_a_sentence(page: Page) -> None:
    answer = page("/jobs?state=broken")

    assert answer.status_code == 422
    assert "broken" in answer.text


def test_what_a_link_has_too_much_does_no_harm(page: Page) -> None:
    assert page("/jobs?utm_source=mail&q=").status_code == 200


def test_names_and_words_of_users_are_text(api: Api, page: Page) -> None:
    api.make_job("nightly", description="<script>alert(1)</script>")
    answer = page("/jobs?q=<script>alert(1)</script>")

    assert "<script>alert" not in answer.text


def test_the_strip_shows_the_last_runs(api: Api, page: Page, store: Callable[..., None]) -> None:
    job_id = api.make_job()["id"]
    for hours, state in enumerate((RunState.SUCCEEDED, RunState.FAILED, RunState.MISSED)):
        fire = NOW + timedelta(hours=hours)
        store(a_run(state, job_id=job_id, scheduled_for=fire))

    assert "last 3 runs: 1 succeeded, 1 failed, 1 missed" in page("/jobs").text
