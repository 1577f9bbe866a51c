"""/tasks has the tasks that only workers know, and jobs of them are checked."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from jobs_app.db.engine import Database
from jobs_app.runs import workers
from jobs_app.runs.workers import Registration
from jobs_app.tasks.task_info import TaskInfo
from jobs_app.web import extension
from tests.factories import NOON
from tests.web.conftest import Api, Page, a_job

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"country": {"type": "string"}},
    "required": ["country"],
    "additionalProperties": False,
}
INFO = TaskInfo("shop.report", "Adds up.", SCHEMA, ["country"], {}, [])
LOST = "No worker of the queue {!r} has the task 'shop.report': its runs fail."


@pytest.fixture
def register(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., UUID]:
    """Register a worker, whose tasks the next request knows."""
    monkeypatch.setattr(extension, "REPORT_SECONDS", 0.0)

    def register(*tasks: TaskInfo, queue: str = "shop") -> UUID:
        registration = Registration("worker@test", 1, (queue,), 2, "prefork", tasks)
        with database.session() as session:
            return workers.register(session, registration, at=NOON)

    return register


def listed(api: Api) -> dict[str, Any]:
    return {task["name"]: task for task in api.get("/tasks").json["items"]}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_task_that_only_a_worker_has_can_be_a_job(
    api: Api, database: Database, register: Callable[..., UUID]
) -> None:
    assert "shop.report" not in listed(api)
    worker = register(INFO)
    register(queue="default")

    task = listed(api)["shop.report"]
    assert (task["description"], task["schema"]) == ("Adds up.", SCHEMA)
    assert (task["declared"], task["has_worker"]) == ({"queue": "shop"}, True)

    job = a_job(task="shop.report", kwargs={"county": "fr"})
    errors = api.post("/jobs", job).json["errors"]
    assert [error["code"] for error in errors] == ["missing_argument", "unknown_argument"]
    created = api.post("/jobs", job | {"kwargs": {"country": "fr"}}).json
    assert (created["queue"], created["warnings"]) == ("shop", [])
    elsewhere = api.patch("/jobs/nightly", {"queue": "default"}).json
    assert elsewhere["warnings"] == [LOST.format("default") + " Workers that have it serve: shop."]

    with database.session() as session:
        workers.give_up(session, worker, beats=None, at=NOON)
    assert listed(api)["shop.report"]["has_worker"] is False
    assert api.get("/jobs/nightly").json["warnings"] == [LOST.format("default")]
    assert listed(api)["shell"]["has_worker"] is True


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_form_of_a_job_has_the_fields_of_a_reported_task(
    page_of: Callable[..., Page], register: Callable[..., UUID]
) -> None:
    register(INFO)

    form = page_of("admin").get("/new-job?task=shop.report")

    assert "shop.report" in form.text
    assert "country" in form.text
