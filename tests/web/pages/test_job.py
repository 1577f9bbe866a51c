"""The page of one job."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobs_app.core.states import RunState
from jobs_app.runs.job_history import RunSummary
from jobs_app.web.pages.job import summarize
from tests.web.conftest import NOW, Api, a_run
from tests.web.pages.conftest import Page


def test_a_job_shows_its_schedule_its_fires_and_its_policies(api: Api, page: Page) -> None:
    api.make_job("nightly", tags=["billing"], kwargs={"command": "echo hello"})
    text = page("/jobs/nightly").text

    assert "At 02:30 every day, Europe/Paris time" in text
    assert "A fire counts as on time up to 1 min late." in text
    assert text.count("02:30</td>") >= 10
    assert "echo hello" in text
    assert "It has not run." in text


def test_a_job_shows_all_of_its_schedules(api: Api, page: Page) -> None:
    schedules = [{"cron": "0 9 * * 1-5", "timezone": "Europe/Paris"}, {"interval_seconds": 900}]
    api.make_job("twice", schedule=schedules[0], schedules=schedules)

    text = page("/jobs/twice").text

    assert text.index("At 09:00 on Monday through Friday") < text.index("Every 15 minutes")
    assert "A fire that several of them share is one run." in text
    assert "share is one run" not in page(f"/jobs/{api.make_job('once')['name']}").text


def test_the_description_is_markdown_and_folded_where_it_is_long(api: Api, page: Page) -> None:
    text = "# Copy\n\nAsk [Ann](mailto:ann@example.org) <b>first</b>.\n\n" + "- step\n" * 20
    api.make_job("nightly", description=text)
    html = page("/jobs/nightly").text
    shown, _, rest = (
        html.partition('id="description"')[2]
        .partition("</section>")[0]
        .partition("<details><summary>More</summary>")
    )

    assert "<h3>Copy</h3>" in shown
    assert '<a href="mailto:ann@example.org" rel="noopener noreferrer">Ann</a>' in shown
    assert "&lt;b&gt;first&lt;/b&gt;" in shown
    assert rest.count("<li>step</li>") == 20


def test_a_fire_at_a_time_that_the_clock_skips_is_marked(api: Api, page: Page) -> None:
    schedule = {"cron": "30 2 28 3 *", "timezone": "Europe/Paris"}
    api.make_job("spring", schedule=schedule)

    assert "the clock skips the local time" in page("/jobs/spring").text


def test_a_paused_job_says_by_whom_and_why(api: Api, page: Page) -> None:
    api.make_job()
    api.post("/jobs/nightly/pause", {"reason": "the database is being moved"})
    text = page("/jobs/nightly").text

    assert "“the database is being moved”" in text
    assert "None: the job is paused." in text


def test_the_history_shows_outcomes_durations_and_reasons(
    api: Api, page: Page, store: Callable[..., None]
) -> None:
    job_id = api.make_job()["id"]
    error = {"type": "Broken", "message": "no database <b>", "traceback": None}
    for hours in range(3):
        start = NOW + timedelta(hours=hours)
        times: dict[str, Any] = {"started_at": start, "finished_at": start + timedelta(seconds=4)}
        store(a_run(job_id=job_id, scheduled_for=start, **times))
    fire = NOW - timedelta(hours=1)
    store(a_run(RunState.FAILED, job_id=job_id, scheduled_for=fire, error=error, **times))
    fire = NOW - timedelta(hours=2)
    store(a_run(RunState.MISSED, job_id=job_id, scheduled_for=fire, reason="scheduler_down"))
    text = page("/jobs/nightly").text

    assert "Of the last 4 that ended, 75 % succeeded." in text
    assert "Broken: no database &lt;b&gt;" in text
    assert "why?" in text
    assert 'class="median"' in text


def test_arguments_are_masked_for_whoever_may_only_read(
    api: Api, page_of: Callable[..., Page]
) -> None:
    api.make_job(kwargs={"command": "echo private"})
    answer = page_of("viewer")("/jobs/nightly")

    assert answer.status_code == 200
    assert "private" not in answer.text


def test_a_job_that_does_not_exist_is_named_with_a_suggestion(api: Api, page: Page) -> None:
    api.make_job("nightly-report")
    answer = page("/jobs/nigthly-report")

    assert answer.status_code == 404
    assert "nightly-report" in answer.text


@pytest.mark.parametrize("at", ["", "yesterday 02:30", "2026-03-08 02:30"])
def test_why_says_it_in_a_sentence(api: Api, page: Page, at: str) -> None:
    api.make_job()
    answer = page(f"/jobs/nightly/why?at={at}")

    assert answer.status_code == 200
    assert '<p class="lead">' in answer.text


def test_why_names_a_time_that_it_cannot_read(api: Api, page: Page) -> None:
    api.make_job()
    answer = page("/jobs/nightly/why?at=soon")

    assert answer.status_code == 422
    assert "The time &#39;soon&#39; must be a time: write 02:30" in answer.text


def test_no_run_has_no_rate() -> None:
    runs: list[RunSummary] = []

    assert summarize(runs).success_rate is None
