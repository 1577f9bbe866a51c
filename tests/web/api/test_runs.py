"""/runs: what happened, by HTTP."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Attempt, Run
from tests.web.conftest import NOW, Api, a_run

WORKER_ID = new_run_id()


def a_worker() -> Worker:
    return Worker(
        id=WORKER_ID, name="w1@host", pid=7, queues=["default"], started_at=NOW, seen_at=NOW
    )


def test_a_run_now_is_accepted_with_its_place(api: Api) -> None:
    api.make_job()

    answer = api.post("/jobs/nightly/runs", {"kwargs": {"cwd": "/tmp"}, "note": "by hand"})

    assert answer.status_code == 202
    run = answer.json
    assert answer.headers["Location"] == f"/api/v1/runs/{run['id']}"
    assert (run["job"], run["state"], run["trigger"]) == ("nightly", "queued", "manual")
    assert run["kwargs"] == {"command": "true", "cwd": "/tmp"}
    assert (run["note"], run["triggered_by"]) == ("by hand", "tester")
    assert UUID(run["id"]).version == 7
    assert api.get(f"/runs/{run['id']}").json == run | {
        "revision": 1,
        "timezone": "Europe/Paris",
        "same_error": None,
        "notifications": [],
    }


def test_a_second_run_now_is_refused_where_runs_may_not_overlap(api: Api) -> None:
    api.make_job()
    first = api.post("/jobs/nightly/runs", {}).json

    refused = api.post("/jobs/nightly/runs", {})
    allowed = api.post("/jobs/nightly/runs", {"overlap_policy": "allow_all"})

    assert (refused.status_code, refused.json["code"]) == (409, "overlap")
    assert first["id"] in refused.json["detail"]
    assert allowed.status_code == 202


def test_a_paused_job_can_be_run_by_hand(api: Api) -> None:
    api.make_job()
    api.post("/jobs/nightly/pause", {})

    assert api.post("/jobs/nightly/runs", {}).status_code == 202


def test_a_task_is_run_once_without_a_job(api: Api) -> None:
    answer = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}, "queue": "slow"})

    assert answer.status_code == 202
    assert (answer.json["job"], answer.json["task"]) == (None, "sleep")
    assert answer.json["queue"] == "slow"


def test_a_finished_run_shows_its_times_attempts_and_result(api: Api, store) -> None:
    run = a_run(
        scheduled_for=NOW,
        started_at=NOW + timedelta(seconds=1.5),
        finished_at=NOW + timedelta(seconds=4),
        attempt=2,
        max_attempts=3,
        worker_id=WORKER_ID,
        result={"rows": 3},
        log_bytes=12,
    )
    first = Attempt(
        run_id=run.id,
        attempt=1,
        state=RunState.LOST,
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=1),
        worker="w0@host",
        error={"type": "WorkerLost", "message": "gone", "traceback": None},
        note={"state": "failed", "exit_code": 3, "error": None, "at": "2026-11-23T12:00:03+00:00"},
    )
    store(a_worker(), run, first)

    view = api.get(f"/runs/{run.id}").json

    assert (view["duration_seconds"], view["delay_seconds"]) == (4.0, 0.0)
    assert (view["scheduled_for"], view["worker"]) == ("2026-11-23T12:00:00Z", "w1@host")
    assert (view["result"], view["error"]) == ({"rows": 3}, None)
    assert view["log"] == {"bytes": 12, "truncated": False, "deleted": False}
    assert view["attempts"] == [
        {
            "attempt": 1,
            "state": "lost",
            "started_at": "2026-11-23T12:00:00Z",
            "finished_at": "2026-11-23T12:00:01Z",
            "worker": "w0@host",
            "error": {"type": "WorkerLost", "message": "gone", "traceback": None},
            "exit_code": None,
            "late_result": {
                "state": "failed",
                "exit_code": 3,
                "error": None,
                "at": "2026-11-23T12:00:03Z",
            },
        },
        {
            "attempt": 2,
            "state": "succeeded",
            "started_at": "2026-11-23T12:00:01.500000Z",
            "finished_at": "2026-11-23T12:00:04Z",
            "worker": "w1@host",
            "error": None,
            "exit_code": None,
            "late_result": None,
        },
    ]


@pytest.mark.parametrize("state", [RunState.SKIPPED, RunState.MISSED, RunState.WAITING])
def test_a_run_that_was_never_tried_has_no_attempts(api: Api, store, state: RunState) -> None:
    run = a_run(state, reason="overlap")
    store(run)

    assert api.get(f"/runs/{run.id}").json["attempts"] == []


def test_runs_are_listed_newest_first_page_by_page(api: Api, store) -> None:
    rows = [a_run() for _ in range(5)]
    store(*rows)

    first = api.get("/runs?limit=2").json
    second = api.get("/runs", query_string={"limit": 3, "cursor": first["next_cursor"]}).json

    assert [run["id"] for run in first["items"] + second["items"]] == [
        str(row.id) for row in reversed(rows)
    ]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("query", [{}, {"state": "failed,succeeded,queued"}], ids=["all", "states"])
def test_pages_of_runs_neither_repeat_nor_leave_out_one(
    api: Api, store, query: dict[str, str]
) -> None:
    """Also where many have the same instant."""
    states = (RunState.FAILED, RunState.SUCCEEDED, RunState.QUEUED)
    rows = [
        a_run(states[number % 3], created_at=NOW + timedelta(minutes=number // 4))
        for number in range(20)
    ]
    store(*rows)

    seen, cursor = [], None
    while True:
        asked = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = api.get("/runs", query_string=asked | query).json
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    newest_first = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert seen == [str(row.id) for row in newest_first]


LATE = UUID("0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d10")

FILTERS: dict[str, tuple[str, list[str]]] = {
    "everything": ("", ["late", "manual", "early"]),
    "a job": ("job=nightly", ["late", "early"]),
    "an unknown job": ("job=none", []),
    "a state": ("state=failed", ["late"]),
    "states with commas": ("state=failed,succeeded", ["late", "early"]),
    "states repeated": ("state=failed&state=queued", ["late", "manual"]),
    "a job in a state": ("job=nightly&state=failed", ["late"]),
    "a job in states": ("job=nightly&state=succeeded,failed,queued", ["late", "early"]),
    "another trigger": ("trigger=manual", ["manual"]),
    "all at once": (
        "job=nightly&state=failed&trigger=schedule&from=2026-11-23T13:00:00Z&q=disk",
        ["late"],
    ),
    "a trigger": ("trigger=schedule", ["late", "early"]),
    "triggers": ("trigger=manual,retry_of", ["manual"]),
    "all triggers": ("trigger=manual&trigger=schedule", ["late", "manual", "early"]),
    "triggers of a job": ("job=nightly&trigger=manual,catchup", []),
    "from": ("from=2026-11-23T13:00:00Z", ["late"]),
    "to": ("to=2026-11-23T13:00:00Z", ["manual", "early"]),
    "both": ("from=2026-11-23T12:00:00Z&to=2026-11-23T12:00:01Z", ["manual", "early"]),
    "an offset": ("from=2026-11-23T14:00:00%2B01:00", ["late"]),
    "text in the error": ("q=DISK", ["late"]),
    "a tag": ("tag=night", ["late", "early"]),
    "a tag that no job has": ("tag=day", []),
    "the beginning of an id": ("id_prefix=0193583e-8F4", ["late"]),
    "another beginning": ("id_prefix=0193583e8f5&state=failed", []),
    "text in the note": ("q=manual", ["manual"]),
    "a type of error": ("q=oserror:", []),
    "text with what a pattern has": ("q=%25", []),
}


@pytest.mark.parametrize("query, notes", FILTERS.values(), ids=FILTERS)
def test_a_list_shows_what_was_asked_for(
    api: Api, store, database: Database, query: str, notes: list[str]
) -> None:
    api.make_job(tags=["night"])
    with database.reading() as session:
        job_id = session.query(Job.id).scalar()
    fire = {"job_id": job_id, "trigger": Trigger.SCHEDULE}
    error = {"type": "OSError", "message": "the disk is full", "traceback": None}
    hour = timedelta(hours=1)
    store(
        a_run(note="early", scheduled_for=NOW, **fire),
        a_run(
            RunState.FAILED,
            id=LATE,
            note="late",
            scheduled_for=NOW + hour,
            error=error,
            **fire,
        ),
        a_run(RunState.QUEUED, note="manual"),
    )

    assert [run["note"] for run in api.get(f"/runs?{query}").json["items"]] == notes


def test_a_cancelled_run_says_who_wanted_it_and_why(api: Api) -> None:
    run = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}}).json
    plain = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}}).json

    api.post(f"/runs/{run['id']}/cancel", {"reason": "the wrong month"})
    api.post(f"/runs/{plain['id']}/cancel", {})

    views = [api.get(f"/runs/{sent['id']}").json for sent in (run, plain)]
    assert [(view["cancelled_by"], view["reason"]) for view in views] == [
        ("tester", "the wrong month"),
        ("tester", "cancelled"),
    ]


def test_a_queued_run_is_cancelled_at_once(api: Api) -> None:
    api.make_job()
    run = api.post("/jobs/nightly/runs", {}).json

    answer = api.send("POST", f"/runs/{run['id']}/cancel")

    assert (answer.status_code, answer.json["state"]) == (200, "cancelled")
    assert answer.json["attempts"] == []
    assert api.post("/jobs/nightly/runs", {}).status_code == 202


def test_a_running_run_is_asked_to_end(api: Api, store, database: Database) -> None:
    run = a_run(RunState.RUNNING, started_at=NOW, worker_id=WORKER_ID)
    store(a_worker(), run)

    graceful = api.post(f"/runs/{run.id}/cancel", {})
    kill = api.post(f"/runs/{run.id}/cancel", {"mode": "kill"})
    weaker = api.post(f"/runs/{run.id}/cancel", {"mode": "graceful"})

    assert [a.status_code for a in (graceful, kill, weaker)] == [202, 202, 202]
    assert weaker.json["state"] == "running"
    with database.reading() as session:
        assert session.get_one(Run, run.id).cancel_mode == "kill"


@pytest.mark.parametrize(
    "state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED]
)
def test_a_run_that_is_over_cannot_be_cancelled(api: Api, store, state: RunState) -> None:
    run = a_run(state, finished_at=NOW)
    store(run)

    answer = api.post(f"/runs/{run.id}/cancel", {})

    assert (answer.status_code, answer.json["code"]) == (409, "run_over")
    assert api.get(f"/runs/{run.id}").json["state"] == state


def test_a_cancelled_run_lets_the_one_that_waits_go_on(api: Api) -> None:
    api.make_job(overlap_policy="buffer_one")
    first = api.post("/jobs/nightly/runs", {}).json
    second = api.post("/jobs/nightly/runs", {}).json

    api.post(f"/runs/{first['id']}/cancel", {})

    assert second["state"] == "waiting"
    assert api.get(f"/runs/{second['id']}").json["state"] == "queued"


def test_a_task_can_be_started_with_a_concurrency_key(api: Api) -> None:
    start = {"task": "sleep", "kwargs": {"duration": 1}}

    run = api.post("/runs", start | {"concurrency_key": "db-main", "concurrency_limit": 2}).json
    alone = api.post("/runs", start | {"concurrency_key": "db-main"}).json
    refused = api.post("/runs", start | {"concurrency_limit": 2})

    assert (run["concurrency_key"], run["concurrency_limit"]) == ("db-main", 2)
    assert alone["concurrency_limit"] == 1
    assert refused.json["errors"][0]["pointer"] == "/concurrency_limit"


CELERY_NAMES = {
    RunState.QUEUED: ("PENDING", None),
    RunState.RUNNING: ("STARTED", None),
    RunState.RETRYING: ("RETRY", "no luck"),
    RunState.SUCCEEDED: ("SUCCESS", {"slept_seconds": 1.0}),
    RunState.FAILED: ("FAILURE", "no luck"),
    RunState.TIMED_OUT: ("FAILURE", "no luck"),
    RunState.LOST: ("FAILURE", "no luck"),
    RunState.CANCELLED: ("REVOKED", "no luck"),
}


@pytest.mark.parametrize("state, expected", CELERY_NAMES.items())
def test_the_tutorials_status_has_celerys_names(
    api: Api, store, state: RunState, expected: tuple[str, Any]
) -> None:
    error = {"type": "OSError", "message": "no luck", "traceback": None}
    is_good = state in (RunState.SUCCEEDED, RunState.QUEUED, RunState.RUNNING)
    run = a_run(
        state, result={"slept_seconds": 1.0} if is_good else None, error=None if is_good else error
    )
    store(run)

    answer = api.get(f"//task-status/{run.id}")

    assert answer.status_code == 200
    status, result = expected
    assert answer.json == {"task_id": str(run.id), "status": status, "result": result}


@pytest.mark.parametrize("task_id", ["unknown", "0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d10"])
def test_a_task_that_nobody_knows_is_pending_as_celery_has_it(api: Api, task_id: str) -> None:
    answer = api.get(f"//task-status/{task_id}")

    assert answer.json == {"task_id": task_id, "status": "PENDING", "result": None}


def test_the_tutorials_task_is_started_as_the_tutorials_do(api: Api) -> None:
    answer = api.post("//start-task", {"duration": 10})

    assert answer.status_code == 202
    task_id = answer.json["task_id"]
    run = api.get(f"/runs/{task_id}").json
    assert answer.json == {"task_id": task_id, "status": "Task started"}
    assert (run["task"], run["kwargs"]) == ("sleep", {"duration": 10})


@pytest.mark.parametrize(
    "state", [RunState.FAILED, RunState.SUCCEEDED, RunState.SKIPPED, RunState.MISSED]
)
def test_a_run_that_has_ended_is_done_once_more_as_a_new_run(
    api: Api, store, state: RunState
) -> None:
    made = api.make_job(kwargs={"command": "false"}, queue="new", priority=2, time_limit_seconds=5)
    old = a_run(
        state,
        job_id=made["id"],
        task="shell",
        kwargs={"command": "make", "cwd": "/tmp"},
        scheduled_for=NOW,
        finished_at=NOW,
        note="nightly",
    )
    store(old)

    answer = api.post(f"/runs/{old.id}/retry", {"kwargs": {"cwd": "/srv"}, "note": "disk is free"})

    run = answer.json
    assert (answer.status_code, run["state"]) == (202, "queued")
    assert answer.headers["Location"] == f"/api/v1/runs/{run['id']}"
    assert (run["trigger"], run["triggered_by"], run["retry_of"]) == (
        "retry_of",
        "tester",
        str(old.id),
    )
    assert (run["job"], run["scheduled_for"], run["note"]) == ("nightly", None, "disk is free")
    assert run["kwargs"] == {"command": "make", "cwd": "/srv"}
    assert run["queue"] == "new"
    assert api.get(f"/runs/{old.id}").json["state"] == state
    (event,) = (e for e in api.get("/audit").json["items"] if e["action"] == "start")
    assert (event["run_id"], event["detail"]) == (run["id"], {"retry_of": str(old.id)})


def test_a_run_without_a_job_is_repeated_as_it_was(api: Api, store, database: Database) -> None:
    old = a_run(RunState.LOST, queue="slow", time_limit_seconds=7, retry={"max_attempts": 3})
    old.max_attempts = 3
    store(old)

    run = api.post(f"/runs/{old.id}/retry", {}).json

    assert (run["job"], run["task"], run["kwargs"]) == (None, "sleep", {"duration": 1})
    assert (run["queue"], run["max_attempts"], run["retry_of"]) == ("slow", 3, str(old.id))
    with database.reading() as session:
        assert session.get_one(Run, UUID(run["id"])).time_limit_seconds == 7


def test_a_run_of_a_deleted_job_is_repeated_without_a_job(api: Api, store) -> None:
    made = api.make_job()
    old = a_run(RunState.FAILED, job_id=made["id"], queue="slow", finished_at=NOW)
    store(old)
    api.delete("/jobs/nightly")

    answer = api.post(f"/runs/{old.id}/retry", {})
    refused = api.post(f"/runs/{old.id}/retry", {"overlap_policy": "allow_all"})

    assert (answer.status_code, answer.json["job"], answer.json["queue"]) == (202, None, "slow")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (422, "/overlap_policy")


@pytest.mark.parametrize(
    "state", [RunState.WAITING, RunState.QUEUED, RunState.RUNNING, RunState.RETRYING]
)
def test_a_run_that_has_not_ended_is_not_repeated(api: Api, store, state: RunState) -> None:
    run = a_run(state)
    store(run)

    answer = api.post(f"/runs/{run.id}/retry", {})

    assert (answer.status_code, answer.json["code"]) == (409, "run_not_over")
    assert state in answer.json["detail"]
    assert len(api.get("/runs").json["items"]) == 1


def test_a_repetition_keeps_to_the_overlap_policy_of_its_job(api: Api, store) -> None:
    made = api.make_job()
    old = a_run(RunState.FAILED, job_id=made["id"], finished_at=NOW)
    store(old)
    running = api.post("/jobs/nightly/runs", {}).json

    refused = api.post(f"/runs/{old.id}/retry", {})
    waiting = api.post(f"/runs/{old.id}/retry", {"overlap_policy": "buffer_one"})

    assert (refused.status_code, refused.json["code"]) == (409, "overlap")
    assert running["id"] in refused.json["detail"]
    assert waiting.json["state"] == "waiting"


def test_a_repetition_of_a_task_that_is_gone_is_refused(api: Api, store) -> None:
    old = a_run(RunState.FAILED, task="reports.gone", finished_at=NOW)
    store(old)

    answer = api.post(f"/runs/{old.id}/retry", {})

    assert answer.status_code == 422
    assert "reports.gone" in answer.json["detail"]
    assert len(api.get("/runs").json["items"]) == 1


@pytest.mark.parametrize("has_job", [True, False])
def test_a_repetition_sent_twice_with_one_key_is_one_run(api: Api, store, has_job: bool) -> None:
    made = api.make_job()
    old = a_run(RunState.FAILED, job_id=made["id"] if has_job else None, finished_at=NOW)
    store(old)

    answers = [
        api.send("POST", f"/runs/{old.id}/retry", json={}, headers={"Idempotency-Key": "k1"})
        for _ in range(2)
    ]

    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len(api.get("/runs").json["items"]) == 2
