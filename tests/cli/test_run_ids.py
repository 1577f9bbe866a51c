"""A run is named by its id, or by its job for the newest one."""

from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]


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


def test_the_beginning_of_an_id_is_refused_with_both_ways_to_name_a_run(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", "/runs", page())
    server.on("GET", "/jobs", page(a_job()))
    server.on(
        "GET", "/jobs/0193583e", problem(404, code="job_not_found", detail="There is no such job.")
    )

    result = run("run", "show", "0193583e")

    assert result.exit_code == 3
    assert "There is no such job." in result.stderr
    assert "all 36 characters of its id, or by its job" in result.stderr


def test_an_attempt_that_there_was_not_has_no_log(server: CannedServer, run: Run) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run()))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b""))

    missing, silent = run("run", "log", RUN_ID, "--attempt", "9"), run("run", "log", RUN_ID)

    assert (missing.exit_code, silent.exit_code) == (3, 0)
    assert "There is no attempt 9: this run has had 1 attempt." in missing.stderr
