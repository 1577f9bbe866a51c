"""The page of a run: how it went, and the forms that cancel or repeat it."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.runs import Attempt
from jobs_app.web import session as web_session
from tests.web.api.test_run_logs import chunk
from tests.web.conftest import NOW, Api, Page, a_run
from tests.web.pages.html_forms import forms_of

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Store = Callable[..., None]


def test_a_failed_run_shows_its_attempts_error_and_reason(page: Page, store: Store) -> None:
    error = {"type": "OperationalError", "message": "no <db>", "traceback": "Traceback…"}
    run = a_run(
        RunState.FAILED,
        attempt=2,
        max_attempts=2,
        error=error,
        exit_code=2,
        started_at=NOW + timedelta(seconds=150),
        finished_at=NOW + timedelta(seconds=250),
        triggered_by="ana",
    )
    first = Attempt(
        run_id=run.id,
        attempt=1,
        state=RunState.FAILED,
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=120),
        error=error,
    )
    store(run, first)

    text = page(f"/runs/{run.id}").text

    assert "Started by hand by ana" in text
    assert "attempt 2 of 2" in text
    assert "exit code 2" in text
    assert "attempt 1 failed, 2 min; waited 30 s; attempt 2 failed, 1 min 40 s" in text
    assert "no &lt;db&gt;" in text
    assert "Traceback…" in text
    assert f"/runs/{run.id}/retry" in text
    assert f"/runs/{run.id}/cancel" not in text


def test_a_result_is_a_tree_with_exact_numbers(page: Page, store: Store) -> None:
    run = a_run(result={"rows": 12345678901234567890, "deep": [{"a": {"b": {"c": 1}}}]})
    store(run)

    text = page(f"/runs/{run.id}").text

    assert "12345678901234567890" in text
    result = text.partition('id="run-result"')[2].partition('id="run-arguments"')[0]
    assert result.count('<details class="tree" open>') == 3
    assert result.count('<details class="tree">') == 2


def test_a_result_can_be_had_as_json(page: Page, store: Store) -> None:
    run, none = a_run(result={"rows": 12345678901234567890, "b": 1, "a": "ü"}), a_run()
    store(run, none)

    answer = page(f"/runs/{run.id}/result.json")

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json == {"rows": 12345678901234567890, "b": 1, "a": "ü"}
    assert f"/runs/{run.id}/result.json" in page(f"/runs/{run.id}").text
    assert page(f"/runs/{none.id}/result.json").json is None


def test_arguments_are_masked_for_whoever_may_not_see_them(
    page: Page, store: Store, page_of: Callable[..., Page]
) -> None:
    run = a_run(kwargs={"duration": 4711})
    store(run)

    assert "4711" in page(f"/runs/{run.id}").text
    viewer = page_of("viewer").get(f"/runs/{run.id}").text
    assert "duration" in viewer
    assert "4711" not in viewer
    assert "retry" not in viewer


def test_a_run_that_was_asked_to_end_says_until_when(page: Page, store: Store) -> None:
    run = a_run(RunState.RUNNING, started_at=NOW, kill_grace_seconds=7)
    store(run)

    answer = page.post(f"/runs/{run.id}/cancel", {"mode": "graceful", "reason": "too slow"})

    assert (answer.status_code, answer.headers["Location"]) == (303, f"/runs/{run.id}")
    text = page(f"/runs/{run.id}").text
    assert "page-admin asked this run to end" in text
    assert "it is killed" in text
    assert "Kill…" in text
    form = page(f"/runs/{run.id}/cancel").text
    assert 'value="kill" checked' in form


def test_a_kill_that_did_not_happen_is_not_announced(page: Page, store: Store) -> None:
    long_ago = clock.now() - timedelta(minutes=5)
    run = a_run(RunState.RUNNING, started_at=NOW, cancel_mode="graceful", cancelled_by="ana")
    event_row = AuditEvent(at=long_ago, actor="ana", action="cancel", run_id=run.id, detail={})
    store(run, event_row)

    text = page(f"/runs/{run.id}").text

    assert "its worker was to kill it" in text
    assert "it is killed" not in text


def test_a_queued_run_is_cancelled_at_once(api: Api, page: Page, store: Store) -> None:
    run = a_run(RunState.QUEUED)
    store(run)

    assert "cancelled at once" in page(f"/runs/{run.id}/cancel").text
    page.post(f"/runs/{run.id}/cancel", {"reason": "not needed"})

    shown = api.get(f"/runs/{run.id}").json
    assert (shown["state"], shown["reason"]) == ("cancelled", "not needed")
    # Somebody who was slower sees how it ended.
    assert page.post(f"/runs/{run.id}/cancel").status_code == 303


def test_a_bad_cancel_comes_back_with_what_was_typed(api: Api, page: Page, store: Store) -> None:
    run = a_run(RunState.RUNNING, started_at=NOW)
    store(run)

    answer = page.post(f"/runs/{run.id}/cancel", {"mode": "kill", "reason": "x" * 2001})

    assert answer.status_code == 422
    assert "x" * 2001 in answer.text
    assert 'id="reason-error"' in answer.text
    assert 'value="kill" checked' in answer.text
    assert api.get(f"/runs/{run.id}").json["state"] == RunState.RUNNING


def test_a_retry_pressed_twice_makes_one_run(api: Api, page: Page, store: Store) -> None:
    run = a_run(RunState.FAILED)
    store(run)
    form = forms_of(page(f"/runs/{run.id}/retry").text)[f"/runs/{run.id}/retry"]

    first = page.post(f"/runs/{run.id}/retry", form | {"note": "again"})
    second = page.post(f"/runs/{run.id}/retry", form | {"note": "again"})

    assert (first.status_code, second.status_code) == (303, 303)
    assert first.headers["Location"] == second.headers["Location"]
    repeated = api.get(first.headers["Location"]).json
    assert (repeated["retry_of"], repeated["note"]) == (str(run.id), "again")
    assert repeated["kwargs"] == {"duration": 1}
    assert len(api.get("/runs").json["items"]) == 2


def test_a_retry_may_replace_an_argument(api: Api, page: Page, store: Store) -> None:
    run = a_run(RunState.FAILED)
    store(run)
    form = forms_of(page(f"/runs/{run.id}/retry").text)[f"/runs/{run.id}/retry"]

    made = page.post(f"/runs/{run.id}/retry", form | {"/kwargs/duration": "5"})
    wrong = page.post(f"/runs/{run.id}/retry", form | {"/kwargs/duration": "five", "key": ""})

    assert api.get(made.headers["Location"]).json["kwargs"] == {"duration": 5}
    assert wrong.status_code == 422
    assert 'value="five"' in wrong.text


def test_an_operator_is_asked_for_named_arguments_only(
    api: Api, page_of: Callable[..., Page]
) -> None:
    api.make_job(
        task="http",
        kwargs={"url": "https://example.org", "method": "GET"},
        run_arguments=["method"],
    )
    run_id = api.post("/jobs/nightly/runs", {}).json["id"]
    operator = page_of("operator")
    api.post(f"/runs/{run_id}/cancel", {})

    form = operator.get(f"/runs/{run_id}/retry").text
    refused = operator.post(f"/runs/{run_id}/retry", {"/kwargs/url": "https://example.com"})
    viewer = page_of("viewer").post(f"/runs/{run_id}/retry")

    assert "/kwargs/method" in form
    assert "/kwargs/url" not in form
    # It is no field of this caller's form.
    assert api.get(refused.headers["Location"]).json["kwargs"]["url"] == "https://example.org"
    assert viewer.status_code == 403


def test_a_run_of_another_team_is_not_found(api: Api, page_of: Callable[..., Page]) -> None:
    api.make_job(tags=["billing"])
    run_id = api.post("/jobs/nightly/runs", {}).json["id"]
    other = page_of("editor", tags=("infra",))

    for path in ("", "/log", "/log.txt", "/log/stream", "/result.json", "/cancel", "/retry"):
        assert other.get(f"/runs/{run_id}{path}").status_code == 404
    for path in ("/cancel", "/retry"):
        assert other.post(f"/runs/{run_id}{path}").status_code == 404


def test_an_error_that_came_before_says_how_often(api: Api, page: Page, store: Store) -> None:
    facts = {"job_id": api.make_job()["id"], "error": {"type": "E", "message": "no <db> 7"}}
    runs = [
        a_run(RunState.FAILED, created_at=NOW + timedelta(minutes=n), **facts) for n in range(3)
    ]
    store(*runs)

    text = page(f"/runs/{runs[2].id}").text

    assert '<a href="/runs?job=nightly&amp;state=failed">3rd time</a> since <time' in text
    assert "time</a> since" not in page(f"/runs/{runs[0].id}").text


def test_a_run_leads_to_its_older_and_newer_ones_and_to_the_job_of_then(
    api: Api, page: Page, store: Store
) -> None:
    job_id = api.make_job()["id"]
    at = clock.now()
    runs = [a_run(job_id=job_id, created_at=at + timedelta(seconds=n)) for n in range(1, 4)]
    store(*runs)

    text = page(f"/runs/{runs[1].id}").text

    assert f'href="/runs/{runs[0].id}" data-key="["' in text
    assert f'href="/runs/{runs[2].id}" data-key="]"' in text
    assert '<a href="/jobs/nightly/changes/1">revision 1</a>' in text
    assert page("/jobs/nightly/changes/1").status_code == 200
    assert 'data-key="["' not in page(f"/runs/{runs[0].id}").text
    assert 'data-key="]"' not in page(f"/runs/{runs[2].id}").text


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.FAILED])
def test_the_page_costs_few_statements(
    api: Api, page: Page, store: Store, app: Flask, state: RunState
) -> None:
    error = {"type": "E", "message": "x"} if state is RunState.FAILED else None
    facts = {"job_id": api.make_job()["id"], "log_bytes": 1, "error": error}
    run = a_run(state, attempt=2, started_at=NOW, cancel_mode="graceful", **facts)
    first = Attempt(run_id=run.id, attempt=1, state=RunState.FAILED, finished_at=NOW)
    store(run, first, chunk(run, 0, "x", attempt=2))
    with app.app_context():
        engine = web_session.database.engine
    # The look at the parts of jobs-app is one for all pages and some seconds.
    page("/me")
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))

    assert page(f"/runs/{run.id}").status_code == 200

    statements = [text for text in sent if not text.startswith(("BEGIN", "PRAGMA"))]
    assert len(statements) <= 8, statements


def test_a_run_that_did_not_run_has_no_log(page: Page, store: Store) -> None:
    run = a_run(RunState.MISSED, reason="scheduler_down", trigger="schedule", scheduled_for=NOW)
    store(run)

    text = page(f"/runs/{run.id}").text

    assert "no scheduler was running when it was due" in text
    assert "there is no log" in text
    assert "attempt 1" not in text
