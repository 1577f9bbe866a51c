"""A run is named by its id, or by its job for the newest one."""

from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]

OTHER_ID = "0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d11"


def test_the_name_of_a_job_means_its_newest_run(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(a_run()))
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run()))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"all is well\n"))

    shown, log = run("run", "show", "hello"), run("run", "log", "hello")

    assert server.requests[0].query == {"job": "hello", "limit": "1"}
    assert RUN_ID in shown.stdout
    assert log.stdout == "all is well\n"
    assert f"The newest run of hello is {RUN_ID}." in log.stderr


def test_an_id_is_read_without_a_look_at_jobs(server: CannedServer, run: Run) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run()))

    assert run("run", "show", RUN_ID).exit_code == 0

    assert [request.path for request in server.requests] == [f"/api/v1/runs/{RUN_ID}"]


@pytest.mark.parametrize("command", ["show", "log"])
def test_a_job_that_never_ran_says_so(server: CannedServer, run: Run, command: str) -> None:
    server.on("GET", "/runs", page())
    server.on("GET", "/jobs/hello", Canned(a_job()))

    result = run("run", command, "hello")

    assert (result.exit_code, result.stdout) == (3, "")
    assert "hello has no run on record." in result.stderr


COMMANDS = {
    "show": ("GET", "", 200),
    "log": ("GET", "/log", 200),
    "cancel": ("POST", "/cancel", 200),
    "retry": ("POST", "/retry", 202),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_the_beginning_of_an_id(
    server: CannedServer, run: Run, command: str
) -> None:
    method, below, status = COMMANDS[command]
    server.on("GET", "/runs", *([page()] * (2 if command == "cancel" else 1)), page(a_run()))
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run()))
    server.on(method, f"/runs/{RUN_ID}{below}", Canned(a_run(), status))

    result = run("run", command, "0193583e")

    assert result.exit_code == 0, result.stderr
    lookup = [request for request in server.requests if "id_prefix" in request.query]
    assert [request.query["id_prefix"] for request in lookup] == ["0193583e"]
    assert server.requests[-1].path.startswith(f"/api/v1/runs/{RUN_ID}")


def test_the_name_of_a_job_comes_before_the_beginning_of_an_id(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", "/runs", page(a_run(job="deadbeef")))
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run(job="deadbeef")))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"of the job\n"))

    result = run("run", "log", "deadbeef")

    assert (result.stdout, result.exit_code) == ("of the job\n", 0)
    assert f"The newest run of deadbeef is {RUN_ID}." in result.stderr


def test_runs_with_the_same_beginning_are_listed(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(), page(a_run(), a_run(id=OTHER_ID, job="nightly")))

    result = run("run", "show", "0193583e")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "The ids of several runs begin with 0193583e:" in result.stderr
    assert f"  {RUN_ID}  hello  succeeded  2026-11-01T00:00:00Z" in result.stderr
    assert f"  {OTHER_ID}  nightly  succeeded" in result.stderr
    assert "and more" not in result.stderr


@pytest.mark.parametrize("typed", ["0193583e", "nightly", "0193583"])
def test_a_name_that_is_neither_says_how_to_name_a_run(
    server: CannedServer, run: Run, typed: str
) -> None:
    server.on("GET", "/runs", page())
    server.on("GET", "/jobs", page(a_job(name="nightly-report")))
    server.on("GET", f"/jobs/{typed}", problem(404, code="job_not_found", detail="No such job."))

    result = run("run", "show", typed)

    assert result.exit_code == 3
    if typed == "0193583e":
        assert "No job is called 0193583e, and no id of a run begins so." in result.stderr
    else:
        assert "No such job." in result.stderr
        assert "by its id, the first 8 digits or more of it, or by its job." in result.stderr


def test_a_cancel_by_job_means_its_only_run_that_has_not_ended(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", "/runs", page(a_run("running")))
    server.on("POST", f"/runs/{RUN_ID}/cancel", Canned(a_run("running"), 202))

    result = run("run", "cancel", "hello")

    assert server.requests[0].query["state"] == "waiting,queued,running,retrying"
    assert f"Run {RUN_ID} is running; its worker will end it." in result.stdout


def test_a_cancel_by_job_chooses_none_of_several_runs(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(a_run("running"), a_run("queued", id=OTHER_ID)))

    result = run("run", "cancel", "hello")

    assert result.exit_code == 2
    assert "hello has more than one run that has not ended:" in result.stderr
    assert {request.method for request in server.requests} == {"GET"}


def test_an_attempt_that_there_was_not_has_no_log(server: CannedServer, run: Run) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run()))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b""))

    missing, silent = run("run", "log", RUN_ID, "--attempt", "9"), run("run", "log", RUN_ID)

    assert (missing.exit_code, silent.exit_code) == (3, 0)
    assert "There is no attempt 9: this run has had 1 attempt." in missing.stderr
