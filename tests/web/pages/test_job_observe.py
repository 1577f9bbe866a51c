"""The switch of a job that only watches, on its pages."""

from datetime import timedelta

from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from tests.web.conftest import Api, a_run
from tests.web.pages.conftest import Page


def version_in(text: str) -> str:
    return text.partition('name="version" value="')[2].partition('"')[0]


def test_a_job_says_that_it_only_watches_and_starts_to_run_when_somebody_says_so(
    api: Api, page: Page, database: Database, store
) -> None:
    job = api.make_job(observe=True, schedule={"cron": "0 * * * *"})
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    since = hour - timedelta(hours=2, minutes=30)
    with database.session() as session:
        session.execute(update(Job).values(observing_since=since, created_at=since))
        session.commit()
    for fire in (hour - timedelta(hours=2), hour - timedelta(hours=1)):
        store(a_run(RunState.OBSERVED, job_id=job["id"], scheduled_for=fire, trigger="schedule"))

    shown = page("/jobs/nightly").text
    asked = page("/jobs/nightly/activate").text
    answer = page.post("/jobs/nightly/activate", {"version": version_in(asked)})
    after = page("/jobs/nightly").text

    assert "It only watches" in shown
    assert "/jobs/nightly/activate" in shown
    assert "2 observed" in asked
    assert "3 fires expected" in asked
    assert "Its next fires" in asked
    assert answer.status_code == 303
    running = api.get("/jobs/nightly").json
    assert (running["observe"], running["observing_since"]) == (False, None)
    assert "It only watches" not in after
    (_, event) = api.get("/jobs/nightly/revisions").json["items"][::-1]
    assert event["changed"] == ["observe"]


def test_a_job_that_somebody_changed_meanwhile_is_not_switched(api: Api, page: Page) -> None:
    api.make_job(observe=True)
    asked = page("/jobs/nightly/activate").text
    api.patch("/jobs/nightly", {"description": "changed"})

    answer = page.post("/jobs/nightly/activate", {"version": version_in(asked)})

    assert answer.status_code == 412
    assert "Somebody changed the job in the meantime" in answer.text
    assert api.get("/jobs/nightly").json["observe"] is True


def test_a_job_that_runs_has_no_switch(api: Api, page: Page) -> None:
    api.make_job()

    assert "activate" not in page("/jobs/nightly").text
    assert "It does not only watch: its fires run." in page("/jobs/nightly/activate").text


def test_the_list_of_jobs_marks_and_finds_those_that_only_watch(api: Api, page: Page) -> None:
    api.make_job("watching", observe=True)
    api.make_job("running")

    rows = page("/jobs?state=observing").text.partition("<tbody")[2]

    assert "watching" in rows
    assert "only watches" in rows
    assert "running" not in rows.replace("only watches", "")
