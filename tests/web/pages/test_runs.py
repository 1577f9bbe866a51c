"""The list of runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from tests.plans import captured
from tests.web.conftest import NOW, Api, a_run
from tests.web.pages.conftest import Page

Store = Callable[..., None]


def rows(answer: Any) -> list[str]:
    """Return the rows of a list as words."""
    texts = answer.text.partition("<tbody")[2].split("<tr ")[1:]
    plain = (text.replace(">", "> ").partition("</tbody>")[0] for text in texts)
    return [" ".join(_without_tags(text).split()) for text in plain]


def _without_tags(html: str) -> str:
    return "".join(part.partition(">")[2] for part in html.split("<"))


def test_a_row_has_state_job_who_started_it_and_why_it_failed(
    api: Api, page: Page, store: Store
) -> None:
    job_id = api.make_job("nightly")["id"]
    failed = {
        "job_id": job_id,
        "triggered_by": "ann/laptop",
        "exit_code": 2,
        "error": {"type": "OSError", "message": "No disk\nat all"},
        "started_at": NOW,
        "finished_at": NOW + timedelta(seconds=72),
    }
    store(a_run(RunState.FAILED, **failed))

    (row,) = rows(page("/runs"))

    assert row.startswith("failed nightly ")
    assert "1 min 12 s by hand, ann/laptop exit code 2, OSError: No disk" in row
    assert "at all" not in row


FILTERS = {
    "job": ("job=nightly", 2),
    "state": ("state=failed", 1),
    "states": ("state=failed,missed", 2),
    "states, repeated": ("state=failed&state=missed", 2),
    "trigger": ("trigger=schedule", 1),
    "triggers": ("trigger=schedule,manual", 3),
    "who": ("by=ann", 1),
    "text": ("q=disk", 1),
    "from": ("from=2026-11-23T12:00:00Z", 2),
    "to": ("to=2026-11-23T12:00:00Z", 1),
    "all at once": ("job=nightly&state=failed&by=ann&q=disk&from=2026-11-23T12:00:00Z", 1),
    "an empty field": ("job=&state=&q=&trigger=&by=", 3),
    "what a mail adds": ("utm_source=mail", 3),
}


@pytest.mark.parametrize("query, count", FILTERS.values(), ids=FILTERS)
def test_the_filters_are_in_the_address(
    api: Api, page: Page, store: Store, query: str, count: int
) -> None:
    job_id = api.make_job("nightly")["id"]
    error = {"type": "OSError", "message": "the disk is full"}
    store(
        a_run(RunState.FAILED, job_id=job_id, triggered_by="ann", error=error),
        a_run(
            RunState.MISSED,
            job_id=job_id,
            trigger=Trigger.SCHEDULE,
            scheduled_for=NOW - timedelta(hours=1),
        ),
        a_run(RunState.SUCCEEDED, triggered_by="bob"),
    )

    assert len(rows(page(f"/runs?{query}"))) == count


def test_older_runs_follow_with_the_same_filters(page: Page, store: Store) -> None:
    ids = []
    for minutes in range(5):
        run = a_run(RunState.FAILED, created_at=NOW + timedelta(minutes=minutes))
        ids.append(str(run.id))
        store(run, a_run(created_at=NOW + timedelta(minutes=minutes)))
    first = page("/runs?state=failed&limit=2")
    link = first.text.partition('class="pager"')[2].partition('href="')[2].partition('"')[0]
    second = page(link.replace("&amp;", "&"))

    assert [run_id for run_id in ids if run_id in first.text] == ids[3:]
    assert [run_id for run_id in ids if run_id in second.text] == ids[1:3]


def test_no_run_is_not_no_match(page: Page) -> None:
    assert "Nothing has run yet." in page("/runs").text
    assert "No run matches." in page("/runs?state=failed").text


def test_a_wrong_filter_is_an_error_with_a_sentence(page: Page) -> None:
    answer = page("/runs?state=faild")

    assert answer.status_code == 422
    assert "Did you mean" in answer.text


def test_runs_of_jobs_without_the_tags_of_a_person_are_not_listed(
    api: Api, page_of: Callable[..., Page], store: Store
) -> None:
    mine, theirs = (api.make_job(tag, tags=[tag])["id"] for tag in ("mine", "theirs"))
    store(a_run(job_id=mine), a_run(job_id=theirs), a_run())

    listed = rows(page_of("operator", tags=("mine",))("/runs"))

    assert [row.split()[1] for row in listed] == ["mine"]


def test_words_of_users_are_text(api: Api, page: Page, store: Store) -> None:
    error = {"type": "E", "message": "<script>alert(1)</script>"}
    store(a_run(RunState.FAILED, error=error, triggered_by="<b>ann</b>"))

    text = page("/runs?q=<script>alert(1)</script>").text

    assert "<script>alert" not in text
    assert "<b>ann" not in text


def test_the_list_takes_at_most_eight_statements(
    api: Api, page: Page, store: Store, app_database: Any
) -> None:
    job_id = api.make_job()["id"]
    store(*(a_run(job_id=job_id) for _ in range(60)))
    # A thread looks at the parts of jobs-app, once in some seconds for all pages.
    page("/me")

    with captured(app_database, "SELECT") as statements:
        assert page("/runs?job=nightly").status_code == 200

    assert len(statements) <= 8


def polled(answer: Any) -> str:
    """Return the address that a page polls."""
    address: str = answer.text.partition('hx-get="')[2].partition('"')[0]
    return address.replace("&amp;", "&")


def poll(page: Page, address: str, tag: str = "none") -> Any:
    return page(address, **{"HX-Request": "true", "HX-PTag": tag})


@pytest.fixture
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs_app.web.pages.regions.FRESH_SECONDS", 0)


@pytest.mark.usefixtures("always_fresh")
def test_new_runs_wait_above_the_list_while_its_rows_change(
    page: Page, store: Store, database: Database
) -> None:
    runs = [a_run(RunState.RUNNING, created_at=NOW + timedelta(minutes=n)) for n in range(3)]
    store(*runs)
    loaded = page("/runs?state=running,failed,succeeded&limit=2")
    tag = loaded.text.partition('hx-ptag="')[2].partition('"')[0]
    assert poll(page, polled(loaded), tag).status_code == 304

    store(
        # Of the instant of the first row, but later.
        a_run(RunState.FAILED, created_at=runs[2].created_at),
        a_run(RunState.SUCCEEDED, created_at=NOW + timedelta(hours=1)),
        a_run(RunState.MISSED, created_at=NOW + timedelta(hours=1)),
    )
    with database.session() as session:
        ended = {"state": RunState.FAILED, "finished_at": NOW}
        session.execute(update(Run).where(Run.id == runs[2].id).values(ended))
        session.commit()
    after = poll(page, polled(loaded), tag)

    assert [row.split()[0] for row in rows(after)] == ["failed", "running"]
    assert [str(run.id) in after.text for run in runs] == [False, True, True]
    link = after.text.partition('class="news"')[2].partition("</div>")[0]
    assert ">2 new runs</a>" in link
    assert "since=" not in link
    address = link.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert [row.split()[0] for row in rows(page(address))] == ["succeeded", "failed"]


@pytest.mark.usefixtures("always_fresh")
def test_the_number_of_new_runs_has_a_bound_and_few_statements(
    api: Api, page: Page, store: Store, app_database: Any
) -> None:
    facts = {"job_id": api.make_job()["id"], "note": "disk"}
    store(a_run(**facts))
    addresses = [polled(page(f"/runs?{query}")) for query in ("job=nightly", "job=nightly&q=disk")]
    store(*(a_run(created_at=NOW + timedelta(minutes=n), **facts) for n in range(1, 25)))

    for address in addresses:
        with captured(app_database, "SELECT") as statements:
            answer = poll(page, address)
        assert ">20+ new runs</a>" in answer.text
        assert len(rows(answer)) == 1
        assert len(statements) <= 8


def test_older_pages_and_empty_lists_hold_nothing_back(page: Page, store: Store) -> None:
    assert polled(page("/runs")) == "/runs"
    store(*(a_run(created_at=NOW + timedelta(minutes=n)) for n in range(3)))
    link = page("/runs?limit=1").text.partition('class="pager"')[2].partition('href="')[2]
    address = link.partition('"')[0].replace("&amp;", "&")

    assert polled(page(address)) == address
    assert page("/runs?since=nonsense").status_code == 400
    assert poll(page, "/runs?since=nonsense").status_code == 400
