"""Pause, resume, run and delete: several jobs with one command."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]

GONE = problem(404, code="job_not_found", detail="There is no job 'gone'.")
DOWN = problem(503, code="unavailable", detail="The database does not answer.")
OTHER_ID = "0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d11"
TAGGED = page(a_job(name="a"), a_job(name="b"))


def serve(server: CannedServer) -> None:
    """Serve the jobs a and b, which have the tag night, and no job gone."""
    server.on("GET", "/jobs", TAGGED)
    server.on("GET", "/jobs/gone", GONE)
    server.on("POST", "/jobs/gone/runs", GONE)
    for name, run_id in (("a", RUN_ID), ("b", OTHER_ID)):
        after = a_job(name=name, version=4)
        server.on("GET", f"/jobs/{name}", Canned(a_job(name=name), headers={"ETag": '"3"'}))
        paused = after | {"state": "paused", "paused": {"by": "admin"}, "next_run_at": None}
        server.on("POST", f"/jobs/{name}/pause", Canned(paused))
        server.on("POST", f"/jobs/{name}/resume", Canned(after))
        server.on("POST", f"/jobs/{name}/runs", Canned(a_run("queued", id=run_id, job=name), 202))
        server.on("DELETE", f"/jobs/{name}", Canned(None, 204))


def writes(server: CannedServer) -> list[str]:
    return [request.path for request in server.requests if request.method != "GET"]


# What is typed, the path below the job that is sent, and the line about a job.
ACTIONS: dict[str, tuple[list[str], str, str]] = {
    "pause": (["pause"], "/pause", "Paused {}: paused by admin."),
    "resume": (["resume"], "/resume", "Resumed {}: At 02:30. Next run"),
    "run": (["run"], "/runs", " of {} is queued."),
    "delete": (["delete", "--yes"], "", "Deleted {}; the runs of {} stay on record."),
}


@pytest.mark.parametrize("typed, below, line", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("which", [["a", "b", "a"], ["--tag", "night"]], ids=["names", "tag"])
def test_each_of_several_jobs_is_done_and_reported(
    server: CannedServer, run: Run, typed: list[str], below: str, line: str, which: list[str]
) -> None:
    serve(server)

    result = run("job", *typed, *which)

    assert result.exit_code == 0, result.stderr
    assert writes(server) == [f"/api/v1/jobs/a{below}", f"/api/v1/jobs/b{below}"]
    for name in "ab":
        assert line.replace("{}", name) in result.stdout
    if "--tag" in which:
        assert server.requests[0].query["tag"] == "night"


@pytest.mark.parametrize("typed, below, line", ACTIONS.values(), ids=ACTIONS)
def test_a_job_that_is_refused_does_not_stop_the_others(
    server: CannedServer, run: Run, typed: list[str], below: str, line: str
) -> None:
    serve(server)

    result = run("job", *typed, "a", "gone", "b")

    assert result.exit_code == 3
    assert "gone: There is no job 'gone'." in result.stderr
    assert line.replace("{}", "b") in result.stdout
    assert {f"/api/v1/jobs/a{below}", f"/api/v1/jobs/b{below}"} <= set(writes(server))


@pytest.mark.parametrize("typed", [action[0] for action in ACTIONS.values()], ids=ACTIONS)
@pytest.mark.parametrize("which", [[], ["a", "--tag", "night"]])
def test_jobs_are_named_or_have_a_tag(
    server: CannedServer, run: Run, typed: list[str], which: list[str]
) -> None:
    result = run("job", *typed, *which)

    assert (result.exit_code, server.requests) == (2, [])
    assert "Name jobs, or all jobs of a tag with --tag." in result.stderr


def test_a_tag_that_no_job_has_is_code_3(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page())

    result = run("job", "pause", "--tag", "nihgt")

    assert (result.exit_code, writes(server)) == (3, [])
    assert "No job has the tag 'nihgt'." in result.stderr


def test_without_a_server_the_rest_is_named(server: CannedServer, run: Run) -> None:
    serve(server)
    server.on("POST", "/jobs/a/pause", DOWN)

    result = run("job", "pause", "gone", "a", "b", "--json")

    assert result.exit_code == 6
    assert result.stderr.splitlines()[-2:] == [
        "Not tried: b.",
        "Paused 0 jobs; 3 were not, as said above.",
    ]
    items = json.loads(result.stdout)["items"]
    assert [(item["name"], item["failure"].split(" ")[0]) for item in items] == [
        ("gone", "There"),
        ("a", "The"),
        ("b", "Not"),
    ]


def test_json_of_one_job_is_its_document_and_of_several_a_list(
    server: CannedServer, run: Run
) -> None:
    serve(server)

    one, two = (json.loads(run("job", "pause", *names, "--json").stdout) for names in ("a", "ab"))

    assert one["name"] == "a"
    assert [item["name"] for item in two["items"]] == ["a", "b"]


def test_a_delete_asks_once_about_all_that_there_are(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    asked: list[str] = []

    def refuse(question: str, **_: Any) -> None:
        asked.append(question)
        raise SystemExit(1)

    monkeypatch.setattr("jobs_app.cli.commands.job_actions.confirm_deletion", refuse)

    run("job", "delete", "a", "gone", "b", "--purge")

    assert asked == ["Delete 2 jobs (a, b) and all their runs?"]
    assert writes(server) == []


def test_several_runs_are_waited_for_and_the_worst_outcome_is_the_exit_code(
    server: CannedServer, run: Run
) -> None:
    serve(server)
    failed = a_run("failed", job="a", exit_code=7, error={"type": "E", "message": "7"})
    failed["log"] = {"bytes": 8, "truncated": False}
    server.on("GET", f"/runs/{RUN_ID}", Canned(failed))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"no luck\n"))
    server.on("GET", f"/runs/{OTHER_ID}", Canned(a_run("succeeded", id=OTHER_ID, job="b")))

    result = run("job", "run", "a", "gone", "b", "--wait")
    paths = [request.path for request in server.requests]
    as_json = run("job", "run", "a", "gone", "b", "--wait", "--json")

    assert (result.exit_code, as_json.exit_code) == (7, 7)
    assert f"Run {RUN_ID} failed after 2.00 s" in result.stdout
    assert f"Run {OTHER_ID} succeeded after 2.00 s." in result.stdout
    states = [item.get("state", item.get("name")) for item in json.loads(as_json.stdout)["items"]]
    assert states == ["failed", "succeeded", "gone"]
    notes = result.stderr.splitlines()
    assert "Started 2 runs; 1 was not, as said above." in notes
    assert notes[-1] == "2 runs ended: 1 failed, 1 succeeded."
    # All are started before the first one is waited for.
    assert paths.index("/api/v1/jobs/b/runs") < paths.index(f"/api/v1/runs/{RUN_ID}")


def test_the_output_of_several_runs_is_not_followed(server: CannedServer, run: Run) -> None:
    result = run("job", "run", "a", "b", "--wait", "--follow")

    assert (result.exit_code, server.requests) == (2, [])
    assert "--follow prints the output of one run: name one job." in result.stderr
