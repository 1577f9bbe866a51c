"""The events about a run's message are about the run."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from jobs_app.celery_app import RUN_TASK, make_celery
from jobs_app.core.settings import Settings
from jobs_app.worker.celery_hooks.events import EventRequest
from jobs_app.worker.run_events import REVOKED, RunEvent, packed

FAILED = RunEvent("task-failed", {"exception": "ValueError('no')", "traceback": ""})


class Eventer:
    """Keeps the events that it is asked to send."""

    enabled = True

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, type_: str, **fields: Any) -> None:
        self.sent.append((type_, fields))


@pytest.fixture
def request_of_a_run() -> EventRequest:
    """The message of a run of `shop.report` in a worker."""
    app = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))
    run_id = str(uuid4())
    headers = {"id": run_id, "task": RUN_TASK, "shadow": "shop.report", "retries": 0}
    message = SimpleNamespace(headers=headers, body="", delivery_info={}, properties={})
    body: Any = ((run_id, 1), {}, {})
    task = SimpleNamespace(send_events=True, ignore_result=True)
    options: Any = {"app": app, "task": task, "eventer": Eventer(), "decoded": True}
    return EventRequest(message, body=body, **options)


@pytest.mark.parametrize("event", [FAILED, REVOKED])
def test_the_event_of_the_run_takes_the_place_of_the_success_of_its_message(
    request_of_a_run: Any, event: RunEvent
) -> None:
    request_of_a_run.send_event("task-succeeded", result=repr(packed(event)), runtime=1)

    [(type_, fields)] = request_of_a_run.eventer.sent
    assert (type_, fields) == (event.type, event.fields | {"uuid": request_of_a_run.id})


def test_a_dropped_message_is_no_success(request_of_a_run: Any) -> None:
    request_of_a_run.send_event("task-succeeded", result="None", runtime=1)

    assert request_of_a_run.eventer.sent == []


def test_the_event_of_a_received_message_names_the_task_of_the_job(request_of_a_run: Any) -> None:
    request_of_a_run.send_received()

    [(type_, fields)] = request_of_a_run.eventer.sent
    assert (type_, fields["name"]) == ("task-received", "shop.report")
