"""The steps of several sources: one refusal stops no other line, and names never collide."""

import pytest

from jobs_app.cli.client import Client
from jobs_app.cli.failure import Failure
from jobs_app.cli.import_sources import Item, Source, carry_out_all, plan_sources, steps_to_do
from jobs_app.jobs.importers.drafts import Defaults, Draft
from tests.cli.canned import Canned, CannedServer, a_job, page, problem


def source(name: str) -> Source:
    draft = Draft("hello", "shell", {"command": name}, {"cron": "@daily"}, None, ())
    return Source(
        name, "form", f"crontab {name}", [Item(1, "", "blank"), Item(2, name, "job", draft)]
    )


def test_two_sources_never_get_one_name(server: CannedServer) -> None:
    server.on("GET", "/jobs", page(a_job(name="hello", origin=None)))
    server.on("POST", "/jobs", Canned({"job": a_job(), "effect": {"warnings": []}}))
    sources = [source("a"), source("b")]
    client = Client()

    plan_sources(client, sources, Defaults("", "UTC"))

    assert [step.name for step in steps_to_do(sources)] == ["hello-2", "hello-3"]
    assert "belongs to another job" in sources[0].items[1].note
    client.close()


def test_what_the_server_refuses_is_a_problem_of_its_line(server: CannedServer) -> None:
    server.on("GET", "/jobs", page())
    refusal = problem(422, code="invalid", detail="No.")
    server.on("POST", "/jobs", refusal, Canned({"job": a_job(), "effect": {"warnings": []}}))
    sources = [source("a"), source("b")]
    client = Client()

    plan_sources(client, sources, Defaults("", "UTC"))

    assert sources[0].items[1].problem == "The server refuses it: No."
    assert [item.action for one in sources for item in one.items] == ["", "refuse", "", "create"]
    client.close()


def test_a_failure_names_the_job_and_how_to_go_on(server: CannedServer) -> None:
    server.on("GET", "/jobs", page())
    server.on(
        "POST",
        "/jobs",
        Canned({"job": a_job(), "effect": {"warnings": []}}),
        problem(409, code="name_taken", detail="The name is taken."),
    )
    sources = [source("a")]
    client = Client()
    plan_sources(client, sources, Defaults("", "UTC"))

    with pytest.raises(Failure, match="hello: The name is taken") as raised:
        carry_out_all(client, sources, is_paused=False)

    assert "The same import again" in raised.value.message
    assert raised.value.exit_code == 4
    client.close()


def test_a_periodic_task_that_is_a_job_from_elsewhere_is_left_out(server: CannedServer) -> None:
    present = a_job(
        name="report", origin="beat shop", task="t", kwargs={"x": 1}, schedule={"cron": "@daily"}
    )
    server.on("GET", "/jobs", page(present))
    server.on("POST", "/jobs", Canned({"job": a_job(), "effect": {"warnings": []}}))
    drafts = [
        Draft(name, "t", {"x": x}, {"cron": "@daily"}, zone, None, is_named=True)
        for name, x, zone in (("nightly", 1, None), ("other", 2, None), ("far", 1, "Asia/Tokyo"))
    ]
    items = [Item(n, draft.name, "entry", draft) for n, draft in enumerate(drafts, 1)]
    one = Source("Redis", "form", "redbeat cache", items)
    client = Client()

    plan_sources(client, [one], Defaults("", "UTC"))

    assert [item.action for item in items] == ["", "create", "create"]
    assert items[0].note == (
        "the job report, from beat shop, does the same, so that no other one is made"
    )
    client.close()


def test_a_job_whose_entry_is_refused_now_is_named_there(server: CannedServer) -> None:
    jobs = [a_job(name=name, origin="beat shop") for name in ("report-2", "gone")]
    server.on("GET", "/jobs", page(*jobs))
    item = Item(1, "report", "entry", problem="No.", name="report")
    one = Source("shop", "form", "beat shop", [item])
    client = Client()

    plan_sources(client, [one], Defaults("", "UTC"))

    assert item.problem == "No. The job report-2, which it was before, stays as it is."
    assert one.missing == ["gone"]
    client.close()


def test_the_job_of_a_refused_line_is_found_by_its_command_first(server: CannedServer) -> None:
    kwargs = {"x": "a", "x-2": "b", "x-3": "c"}
    jobs = [
        a_job(name=name, kwargs={"command": command}, origin="crontab a")
        for name, command in kwargs.items()
    ]
    server.on("GET", "/jobs", page(*jobs))
    items = [
        Item(number, "x", "refused", problem="No.", name="x", command=command)
        for number, command in enumerate("bd", 1)
    ]
    one = Source("a", "form", "crontab a", items)
    client = Client()

    plan_sources(client, [one], Defaults("", "UTC"))

    names = [item.problem.split()[3] for item in items]
    assert (names, one.missing) == (["x-2,", "x,"], ["x-3"])
    client.close()


def test_a_present_job_that_the_server_refuses_to_change_is_named(server: CannedServer) -> None:
    job = a_job(name="x", kwargs={"command": "x"}, origin="crontab a")
    server.on("GET", "/jobs", page(job))
    server.on("GET", "/jobs/x", Canned(job))
    server.on("PUT", "/jobs/x", problem(422, code="invalid", detail="The shell is not allowed."))
    draft = Draft("x", "shell", {"command": "x"}, {"cron": "@daily"}, None, ())
    item = Item(1, "x", "job", draft)
    client = Client()

    plan_sources(client, [Source("a", "form", "crontab a", [item])], Defaults("", "UTC"))

    assert "The shell is not allowed." in item.problem
    assert "The job x, which it was before, stays as it is." in item.problem
    client.close()
