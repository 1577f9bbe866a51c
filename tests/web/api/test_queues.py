"""/queues, /workers and /concurrency: who works, on what, and what waits for whom."""

from datetime import timedelta
from typing import Any

import pytest

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.processes import Worker
from jobs_app.web.api import pagination
from tests.web.conftest import NOW, Api, a_job, a_run


def a_worker(name: str = "w1@host", **facts: Any) -> Worker:
    plain = {"id": new_run_id(), "pid": 7, "queues": ["default"], "pool": "prefork"}
    stamps = {"started_at": NOW, "seen_at": NOW}
    return Worker(**({"name": name, "concurrency": 2} | plain | stamps | facts))


def test_queues_show_their_workers_and_waiting_runs(api: Api, store) -> None:
    api.make_job(queue="slow")
    store(
        a_worker(),
        a_run(RunState.QUEUED),
        a_run(RunState.WAITING),
        a_run(RunState.RETRYING),
        a_run(RunState.SUCCEEDED),
        a_run(RunState.RUNNING, queue="other"),
    )

    default, other, slow = api.get("/queues").json["items"]

    assert default == {
        "name": "default",
        "served": True,
        "workers": 1,
        "slots": 2,
        "jobs": 0,
        "waiting": 1,
        "queued": 1,
        "parked": 0,
        "running": 0,
        "retrying": 1,
        "oldest_queued_at": None,
        "oldest_queued_seconds": None,
        "warning": None,
    }
    assert (other["name"], other["running"], other["warning"]) == ("other", 1, None)
    assert (slow["name"], slow["served"], slow["jobs"]) == ("slow", False, 1)


@pytest.mark.parametrize(
    "jobs, queued, warning",
    [
        (1, 0, "No worker serves the queue 'slow': 1 job names it, 0 runs wait."),
        (0, 1, "No worker serves the queue 'slow': 0 jobs name it, 1 run waits."),
        (2, 3, "No worker serves the queue 'slow': 2 jobs name it, 3 runs wait."),
    ],
)
def test_a_queue_that_is_needed_and_not_served_is_marked(
    api: Api, store, jobs: int, queued: int, warning: str
) -> None:
    for number in range(jobs):
        api.make_job(f"job-{number}", queue="slow")
    store(a_worker(), *(a_run(RunState.QUEUED, queue="slow") for _ in range(queued)))

    (slow,) = [queue for queue in api.get("/queues").json["items"] if queue["name"] == "slow"]

    assert slow["warning"] == warning


def test_a_queue_says_for_how_long_its_oldest_run_has_waited(api: Api, store) -> None:
    since = clock.now() - timedelta(seconds=90)
    store(
        a_run(RunState.QUEUED, queued_at=since, send_at=NOW),
        a_run(RunState.QUEUED, queued_at=clock.now(), reason="Waits.", **KEYED),
    )

    (queue,) = api.get("/queues").json["items"]

    assert 90 <= queue["oldest_queued_seconds"] < 120
    assert (queue["queued"], queue["parked"]) == (2, 1)


KEYED = {"concurrency_key": "db-main", "concurrency_limit": 2}


def test_a_worker_shows_its_runs_and_its_free_slots(api: Api, store) -> None:
    worker = a_worker(concurrency=3, messages_dropped=4)
    began = clock.now() - timedelta(seconds=30)
    busy = a_run(RunState.RUNNING, worker_id=worker.id, started_at=began)
    store(worker, busy, a_run(RunState.SUCCEEDED, worker_id=worker.id))

    (view,) = api.get("/workers").json["items"]

    assert (view["name"], view["queues"], view["pid"]) == ("w1@host", ["default"], 7)
    assert (view["concurrency"], view["free"], view["messages_dropped"]) == (3, 2, 4)
    (run,) = view["runs"]
    assert (run["id"], run["job"], run["task"]) == (str(busy.id), None, "sleep")
    assert 30 <= run["running_seconds"] < 60
    assert view["seen_seconds_ago"] > 0


def test_workers_that_are_gone_are_listed_only_if_they_are_asked_for(api: Api, store) -> None:
    store(a_worker(), a_worker("w0", gone_at=NOW))

    living = api.get("/workers").json["items"]
    everyone = api.get("/workers?include=gone").json["items"]

    assert [worker["name"] for worker in living] == ["w1@host"]
    assert [(worker["name"], worker["free"]) for worker in everyone] == [("w1@host", 2), ("w0", 0)]
    assert everyone[1]["gone_at"] == NOW.isoformat().replace("+00:00", "Z")


def test_keys_show_their_limits_and_waiting_runs(api: Api, store) -> None:
    api.make_job("a", **KEYED)
    api.make_job("b", concurrency_key="db-main", concurrency_limit=3)
    api.make_job("c", concurrency_key="idle")
    since = clock.now() - timedelta(seconds=90)
    store(
        a_run(RunState.RUNNING, concurrency_slot=1, **KEYED),
        a_run(RunState.QUEUED, queued_at=since, **KEYED),
        a_run(RunState.SUCCEEDED, **KEYED),
        a_run(RunState.QUEUED),
    )

    busy, idle = api.get("/concurrency").json["items"]

    assert 90 <= busy.pop("oldest_queued_seconds") < 120
    assert busy.pop("oldest_queued_at")
    assert busy == {"key": "db-main", "limits": [2, 3], "jobs": 2, "running": 1, "queued": 1}
    assert (idle["key"], idle["limits"], idle["running"], idle["queued"]) == ("idle", [1], 0, 0)


def pages(api: Api, path: str, field: str) -> list[list[str]]:
    """Return the names on each page of two items."""
    listed: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = api.get(f"{path}?limit=2{cursor and f'&cursor={cursor}'}").json
        listed.append([item[field] for item in answer["items"]])
        cursor = answer["next_cursor"]
    return listed


def test_queues_and_keys_come_in_pages(api: Api, store) -> None:
    api.make_job("a", queue="Q", concurrency_key="Q", concurrency_limit=1)
    api.make_job("b", queue="a-b", concurrency_key="a-b", concurrency_limit=1)
    keyed = ({"queue": name, "concurrency_key": name, "concurrency_limit": 1} for name in "ac")
    store(
        a_worker(queues=["b", "d", "a"]),
        *(a_run(RunState.QUEUED, **one, reason="Waits.") for one in keyed),
    )

    assert pages(api, "/queues", "name") == [["Q", "a"], ["a-b", "b"], ["c", "d"]]
    assert pages(api, "/concurrency", "key") == [["Q", "a"], ["a-b", "c"]]


@pytest.mark.parametrize("path", ["/queues", "/concurrency"])
def test_the_cursor_of_another_list_is_refused(api: Api, path: str) -> None:
    for cursor in (pagination.encode("jobs", "a"), pagination.encode(path[1:], "a\0")):
        answer = api.get(f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json["code"]) == (400, "bad_cursor")


def test_a_job_for_a_queue_that_nobody_serves_says_so_wherever_it_is_shown(api: Api, store) -> None:
    store(a_worker())
    warning = (
        "No worker serves the queue 'slow': its runs will wait. The running workers serve: default"
        " (JOBS_WORKER_QUEUES)."
    )

    preview = api.post("/jobs?dry_run=true", a_job(queue="slow")).json
    saved = api.make_job(queue="slow")
    edited = api.patch("/jobs/nightly", {"description": "x"}).json
    (listed,) = api.get("/jobs").json["items"]

    assert warning in preview["effect"]["warnings"]
    assert [preview["job"]["warnings"], saved["warnings"], edited["warnings"]] == [[warning]] * 3
    assert listed["warnings"] == api.get("/jobs/nightly").json["warnings"] == [warning]
    assert api.patch("/jobs/nightly", {"queue": "default"}).json["warnings"] == []


@pytest.mark.parametrize(
    "pools, job, is_warned",
    [
        (["threads"], {}, True),
        (["solo", "threads"], {}, True),
        (["threads", "prefork"], {}, False),
        (["threads"], {"time_limit_seconds": None}, False),
        (["threads"], {"task": "shell", "kwargs": {"command": "true"}}, False),
    ],
)
def test_a_time_limit_that_no_worker_of_the_queue_can_enforce_gets_a_warning(
    api: Api, store, pools: list[str], job: dict[str, Any], is_warned: bool
) -> None:
    register_python_task(api)
    store(*(a_worker(f"w{n}", pool=pool) for n, pool in enumerate(pools)))
    python: dict[str, Any] = {"task": "tests.compute", "kwargs": {}, "time_limit_seconds": 60}

    warnings = api.make_job(**(python | job))["warnings"]

    assert [warning.partition(" on ")[0] for warning in warnings] == (
        ["The time limit of 60 s cannot be enforced"] if is_warned else []
    )


@pytest.mark.parametrize(
    "fields, is_warned",
    [
        ({"result_backend": "rpc://"}, True),
        ({}, False),
    ],
)
def test_a_job_that_may_wait_for_ever_for_workers_elsewhere_has_a_warning(
    api: Api, fields: dict[str, Any], is_warned: bool
) -> None:
    api.put("/secrets/broker", {"value": "redis://redis.example/0"})
    kwargs = {"broker": "${secret:broker}", "task": "shop.report"} | fields
    job: dict[str, Any] = {"task": "celery", "kwargs": kwargs, "time_limit_seconds": None}

    unlimited = api.make_job(name="unlimited", **job)["warnings"]
    limited = api.make_job(name="limited", **job | {"time_limit_seconds": 60})["warnings"]

    assert any("There is no time limit" in warning for warning in unlimited) == is_warned
    assert not any("There is no time limit" in warning for warning in limited)


def register_python_task(api: Api) -> None:
    """Let the application of *api*, which other tests use too, know a task of a user's own."""

    def compute() -> None:
        """Compute."""

    celery = api.app.extensions["jobs_app"].app
    if "tests.compute" not in celery.tasks:
        celery.task(compute, name="tests.compute", shared=False)


def test_a_key_with_another_limit_elsewhere_gets_a_warning(api: Api, store) -> None:
    store(a_worker())
    api.make_job("first", **KEYED)
    api.make_job("same", **KEYED)

    warnings = api.make_job("other", concurrency_key="db-main", concurrency_limit=5)["warnings"]

    assert warnings == [
        "The concurrency key 'db-main' has another limit elsewhere: 2 in the job 'first',"
        " and 1 more. Each run keeps to that of its own job."
    ]
    assert len(api.get("/jobs/same").json["warnings"]) == 1


def test_readyz_names_the_queues_that_jobs_wait_in_for_nobody(api: Api, store) -> None:
    assert api.get("//readyz").json["checks"]["queues"] == {"status": "ok"}

    api.make_job("a", queue="slow")
    api.make_job("b")
    store(a_worker())

    ready = api.get("//readyz")
    assert ready.status_code == 200
    assert ready.json["checks"]["queues"] == {"status": "no worker", "unserved": ["slow"]}


def test_a_deleted_job_needs_no_worker(api: Api) -> None:
    api.make_job("a", queue="slow")
    api.delete("/jobs/a")

    assert api.get("//readyz").json["checks"]["queues"] == {"status": "ok"}
    assert api.get("/queues").json["items"] == []
