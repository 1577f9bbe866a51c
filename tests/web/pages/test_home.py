"""The first page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.accounts import tokens
from jobs_app.accounts.tokens import Limits
from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Person
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.schedules.clock_changes import ClockChange, clock_changes
from jobs_app.web.pages import home
from tests.factories import write_log
from tests.plans import captured
from tests.web.conftest import Api, a_run
from tests.web.pages.conftest import Page

Store = Callable[..., None]


@pytest.fixture
def _healthy(store: Store) -> None:
    """A scheduler that has just looked, and a worker."""
    now = clock.now()
    store(
        SchedulerProcess(name="s", pid=1, is_active=True, started_at=now, ticked_at=now),
        Worker(name="w", pid=1, queues=["default"], started_at=now, seen_at=now),
    )


def part(answer: Any, name: str) -> str:
    """Return the part of the page with the heading *name*."""
    begin = answer.text.partition(f'aria-labelledby="{name}"')[2]
    text: str = begin.partition("</section>")[0]
    return text


def test_an_empty_installation_says_how_to_begin(page: Page, page_of: Callable[..., Page]) -> None:
    answer = page("/")

    assert answer.status_code == 200
    assert "No scheduler runs: no job fires." in part(answer, "attention")
    assert "jobs-app scheduler" in part(answer, "attention")
    assert "jobs-app job create hello" in part(answer, "first")
    assert "An editor makes them." in part(page_of("viewer")("/"), "first")


@pytest.mark.usefixtures("_healthy")
def test_where_all_is_well_one_line_says_so(api: Api, page: Page, store: Store) -> None:
    job_id = api.make_job("invoices")["id"]
    long_ago = clock.now() - timedelta(days=3)
    failed = a_run(RunState.FAILED, job_id=job_id, created_at=long_ago, finished_at=long_ago)
    store(failed)

    attention = part(page("/"), "attention")

    assert "Nothing needs you." in attention
    assert "Last failure" in attention
    assert f"/runs/{failed.id}" in attention


@pytest.mark.usefixtures("_healthy")
def test_a_failing_job_comes_with_its_error_and_what_helps(
    api: Api, page: Page, page_of: Callable[..., Page], store: Store, database: Database
) -> None:
    job_id = api.make_job("nightly")["id"]
    error = {"type": "OSError", "message": "<b>No disk</b>"}
    failed = a_run(RunState.FAILED, job_id=job_id, error=error, exit_code=2)
    store(failed)
    write_log(database, failed.id, "cannot reach <i>db1</i>\n")
    with database.session() as session:
        session.execute(update(Job).values(failures_in_a_row=3, failing_since=clock.now()))
        session.commit()

    for_admin, for_viewer = (part(see("/"), "attention") for see in (page, page_of("viewer")))

    assert "Failed 3 times in a row." in for_admin
    assert "exit code 2, OSError: &lt;b&gt;No disk&lt;/b&gt;" in for_admin
    assert "cannot reach &lt;i&gt;db1&lt;/i&gt;" in for_admin
    assert f'href="/runs/{failed.id}/retry"' in for_admin
    assert f'href="/runs/{failed.id}"' in for_viewer
    assert "retry" not in for_viewer


def test_what_runs_shows_its_progress_or_what_is_usual(api: Api, page: Page, store: Store) -> None:
    job_id = api.make_job("backup")["id"]
    start = clock.now() - timedelta(minutes=2)
    past: dict[str, Any] = {
        "started_at": start - timedelta(days=1),
        "finished_at": start - timedelta(hours=23),
    }
    running: dict[str, Any] = {"state": RunState.RUNNING, "started_at": start, "job_id": job_id}
    store(
        a_run(job_id=job_id, **past),
        a_run(**running),
        a_run(**running, progress={"fraction": 0.61, "message": "on", "at": "x"}),
        a_run(RunState.QUEUED, queued_at=start),
    )

    text = part(page("/"), "running")

    assert "~ 1 h" in text
    assert "61 %" in text
    assert "1 queued" in text
    assert "0 waiting" in text


def test_what_is_next_names_the_jobs(api: Api, page: Page) -> None:
    api.make_job("early", schedule={"cron": "* * * * *"})
    for name in ("a", "b", "c"):
        api.make_job(name, schedule={"cron": "0 0 1 1 *"})

    text = part(page("/"), "next")

    assert text.index("early") < text.index("3 jobs")


def test_today_counts_the_outcomes_and_links_to_them(page: Page, store: Store) -> None:
    now = clock.now()
    store(*(a_run(state, created_at=now) for state in (RunState.SUCCEEDED, RunState.MISSED)))

    text = part(page("/"), "today")

    assert "1 succeeded" in text
    assert "/runs?state=missed&amp;from=" in text
    assert '<rect class="bar warn"' in text
    assert "1 succeeded, 1 missed</title>" in text


def test_a_person_sees_only_jobs_with_their_tags(
    api: Api, page_of: Callable[..., Page], store: Store
) -> None:
    mine, theirs = (api.make_job(tag, tags=[tag])["id"] for tag in ("mine", "theirs"))
    for job_id in (mine, theirs):
        running = {"job_id": job_id, "started_at": clock.now()}
        store(a_run(RunState.RUNNING, **running), a_run(RunState.FAILED, job_id=job_id))

    text = page_of("operator", tags=("mine",))("/").text

    assert "mine" in text
    assert "theirs" not in text


@pytest.mark.usefixtures("_healthy")
def test_the_page_takes_at_most_eight_statements(
    api: Api, page: Page, store: Store, app_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also in the week before the clock changes.
    spring = partial(clock_changes, after=datetime(2027, 3, 27, 12, tzinfo=UTC))
    monkeypatch.setattr(home, "clock_changes", lambda names, after: spring(names))
    kwargs = {"command": "true", "env": {"A": "${secret:known}"}}
    assert api.send("PUT", "/secrets/known", json={"value": "abcdefgh"}).status_code == 201
    job_id = api.make_job("nightly", kwargs=kwargs)["id"]
    store(a_run(RunState.RUNNING, job_id=job_id, started_at=clock.now()), a_run(job_id=job_id))

    # The line about what is down is read once in five seconds, and not for this page.
    page("/me")
    with captured(app_database, "SELECT") as statements:
        assert "02:00 to 03:00 is left out" in page("/").text

    assert len(statements) <= 8


def test_a_change_of_the_clock_is_announced_for_the_jobs_that_one_sees(
    api: Api, page_of: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    for tag, zone in (("mine", "Europe/Paris"), ("theirs", "Europe/Berlin")):
        schedule = {"cron": "0 2 * * *", "timezone": zone}
        api.make_job(tag, tags=[tag], schedule=schedule)
    sees_some = page_of("viewer", tags=("mine",))
    seen: list[frozenset[str]] = []

    def changes(names: frozenset[str], *, after: datetime) -> list[ClockChange]:
        seen.append(names)
        return clock_changes(names, after=datetime(2027, 3, 27, 12, tzinfo=UTC))

    monkeypatch.setattr(home, "clock_changes", changes)
    text = part(sees_some("/"), "next")

    assert "Sun 28 Mar: the clock changes in Europe/Paris" in text
    assert "02:00 to 03:00 is left out; 1 job fires at 03:00." in text
    assert seen == [frozenset({"Europe/Paris"})]


@pytest.mark.parametrize(
    "after, jobs, words",
    [
        (datetime(2027, 3, 27, tzinfo=UTC), 0, "is left out; no job has a time in it."),
        (datetime(2027, 3, 27, tzinfo=UTC), 12, "is left out; 12 jobs fire at 03:00."),
        (datetime(2027, 10, 30, tzinfo=UTC), 1, "comes twice; 1 job fires the first time."),
    ],
)
def test_a_change_of_the_clock_says_what_it_does(after: datetime, jobs: int, words: str) -> None:
    (change,) = clock_changes(["Europe/Paris"], after=after)

    assert home.clock_words(change, jobs) == f"02:00 to 03:00 {words}"


def test_the_end_of_a_token_is_announced_to_its_owner_and_to_admins(
    page: Page, page_of: Callable[..., Page], database: Database
) -> None:
    ann, ben = page_of("viewer", name="ann"), page_of("viewer", name="ben")
    now = clock.now()
    with database.session() as session:
        owner = session.query(Person).filter(Person.name == "ann").one()
        for name, days in (("soon", 6), ("later", 8)):
            limits = Limits(None, None, now + timedelta(days=days))
            tokens.create(session, name, owner=owner, limits=limits, by="ann", at=now)
        session.commit()

    shown = [part(see("/"), "next") for see in (ann, page, ben)]

    assert ["ann/soon" in text for text in shown] == [True, True, False]
    assert not any("later" in text for text in shown)
