"""The list of jobs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.core.states import JobState, RunState
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


@pytest.mark.parametrize(
    "query", ["q=alp", "tag=infra", "queue=slow", "state=paused", "state=paused,late"]
)
def test_a_filter_is_in_the_address(api: Api, page: Page, query: str) -> None:
    api.make_job("alpha", tags=["infra"], queue="slow")
    api.make_job("beta")
    api.post("/jobs/alpha/pause", {})
    answer = page(f"/jobs?{query}")

    assert order(answer) == ["alpha"]
    name, _, value = query.partition("=")
    assert f'value="{value}"' in answer.text
    assert name in answer.text


def test_a_filter_that_only_links_have_is_said_and_kept(page: Page) -> None:
    form = page("/jobs?last_state=failed&last_state=lost").text.partition("<button>Show")

    assert [f'name="last_state" value="{state}"' in form[0] for state in ("failed", "lost")] == [
        True,
        True,
    ]
    assert "Last run: " in form[2].partition("</form>")[0]
    assert "Last run: " not in page("/jobs").text.partition("</form>")[0]


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


def test_the_list_and_the_page_of_a_job_agree_on_how_it_stands(
    api: Api, page: Page, database: Database, store: Callable[..., None]
) -> None:
    earlier = clock.now() - timedelta(hours=1)
    after_two = [{"channel": "ops", "on": None, "after_failures": 2}]
    jobs: dict[str, tuple[str, dict[str, Any]]] = {
        "carried": ("failing, 3 in a row", {"failures_in_a_row": 1, "failures_carried": 2}),
        "resumed": ("failing", {"failures_carried": 1}),
        "patient": ("succeeded", {"failures_in_a_row": 1, "notify": after_two}),
        "overdue": ("late", {"next_due_at": earlier}),
        "ended": ("ended", {"state": JobState.ENDED, "next_fire_at": None, "next_due_at": None}),
        "queued": ("late", {"version": 2}),
        "fine": ("succeeded", {"version": 2}),
    }
    for name, (_, columns) in jobs.items():
        job_id = api.make_job(name)["id"]
        store(a_run(job_id=job_id, scheduled_for=earlier))
        if name == "queued":
            store(a_run(RunState.QUEUED, job_id=job_id, queued_at=earlier))
        with database.session() as session:
            session.execute(update(Job).where(Job.id == job_id).values(**columns))
            session.commit()

    rows = page("/jobs?sort=name").text.partition("<tbody")[2].split("<tr ")
    listed = {job_of(row): first_word(row) for row in rows[1:]}
    shown = {
        name: first_word(page(f"/jobs/{name}").text.partition('id="live"')[2]) for name in jobs
    }

    assert listed == shown == {name: words for name, (words, _) in jobs.items()}


def job_of(row: str) -> str:
    """Return the name of the job of a row."""
    return row.partition('class="name" href="')[2].partition('">')[2].partition("<")[0]


def first_word(html: str) -> str:
    """Return the words of the first mark."""
    return html.partition('class="state-word">')[2].partition("<")[0]
