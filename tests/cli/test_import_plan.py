"""A step creates, changes or keeps one job."""

import pytest

from jobs_app.cli.client import Client
from jobs_app.cli.failure import Failure
from jobs_app.cli.import_plan import carry_out, plan
from tests.cli.canned import Canned, CannedServer, a_job, problem


def effect(**facts: object) -> Canned:
    return Canned({"job": a_job(**facts), "effect": {"warnings": []}})


def test_a_job_that_is_missing_is_created_and_can_wait(server: CannedServer) -> None:
    server.on("POST", "/jobs", effect(), Canned(a_job(), 201))
    client = Client()

    step = plan(client, {"name": "hello", "task": "shell"})
    carry_out(client, step, is_paused=True)

    assert (step.name, step.action, step.etag) == ("hello", "create", None)
    assert [request.query for request in server.requests if request.method == "POST"] == [
        {"dry_run": "true"},
        {"paused": "true"},
    ]
    client.close()


@pytest.mark.parametrize("cron, action", [("30 2 * * *", "keep"), ("1 * * * *", "change")])
def test_a_present_job_is_changed_only_if_it_differs(
    server: CannedServer, cron: str, action: str
) -> None:
    schedule = a_job()["schedule"] | {"cron": cron}
    server.on("GET", "/jobs/hello", Canned(a_job(), headers={"ETag": '"3"'}))
    server.on("PUT", "/jobs/hello", effect(schedule=schedule), Canned(a_job()))
    client = Client()

    step = plan(client, {"name": "hello", "task": "shell"})
    carry_out(client, step)

    assert step.action == action
    puts = [request for request in server.requests if request.method == "PUT"]
    assert len(puts) == (2 if action == "change" else 1)
    assert {request.headers["If-Match"] for request in puts} == {'"3"'}
    client.close()


def test_a_job_that_the_server_refuses_raises_its_sentence(server: CannedServer) -> None:
    server.on("POST", "/jobs", problem(422, code="invalid", detail="No such task."))
    client = Client()

    with pytest.raises(Failure, match="No such task"):
        plan(client, {"name": "hello", "task": "x"})
    client.close()
