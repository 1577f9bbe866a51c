"""The problems of the API, in the words of the one who typed."""

import pytest

from jobs_app.cli.problem_text import name_hint
from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, problem
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    "options, pointer, name",
    [
        (["--every", "0"], "/schedule/interval_seconds", "--every"),
        (["--cron", "61 * * * *"], "/schedule/cron", "--cron"),
        (["--cron", "@daily", "--timezone", "CEST"], "/schedule/timezone", "--timezone"),
        (["--every", "5m", "--jitter", "1h"], "/schedule/jitter_seconds", "--jitter"),
        (["--max-attempts", "0"], "/retry/max_attempts", "--max-attempts"),
        (["--retry-on", "failed"], "/retry/on/0", "--retry-on"),
        (["--time-limit", "0"], "/time_limit_seconds", "--time-limit"),
        (["--keep-runs", "0"], "/retention/keep_runs", "--keep-runs"),
        (["--tag", "a b"], "/tags/0", "--tag"),
        (["--queue", "a b"], "/queue", "--queue"),
        (["--notify", "desk"], "/notify/0/channel", "--notify"),
        (["--arg", "cwd=5"], "/kwargs/cwd", "--arg"),
        (["--arg", 'env={"A": 5}'], "/kwargs/env/A", "--arg"),
        ([], "/kwargs/command", "--command"),
        ([], "/kwargs/env/A", "/kwargs/env/A"),
        ([], "/queue", "/queue"),
        ([], "/schedule/interval_seconds", "/schedule/interval_seconds"),
        ([], "/not/known", "/not/known"),
    ],
)
def test_an_invalid_field_is_called_by_the_option_that_was_typed(
    server: CannedServer, run: Run, options: list[str], pointer: str, name: str
) -> None:
    errors = [{"pointer": pointer, "code": "invalid", "detail": "It is wrong."}]
    refused = problem(422, code="invalid_input", detail="It is wrong.", errors=errors)
    server.on("POST", "/jobs", refused)

    result = run("job", "create", "x", "--command", "date", *options)

    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"  {name}: It is wrong."


@pytest.mark.parametrize(
    "command, request_, error, name",
    [
        (("job", "create", "X", "--command", "x"), ("POST", "/jobs"), {"pointer": "/name"}, "NAME"),
        (
            ("schedule", "preview", "61 * * * *"),
            ("POST", "/schedules/preview"),
            {"pointer": "/schedule/cron"},
            "EXPRESSION",
        ),
        (
            ("job", "explain", "hello", "--at", "noon"),
            ("GET", "/jobs/hello/explain"),
            {"pointer": "", "parameter": "at"},
            "--at",
        ),
        (
            ("notification", "list", "--run", RUN_ID),
            ("GET", "/notifications"),
            {"pointer": "", "parameter": "run"},
            "--run",
        ),
        (("run", "list"), ("GET", "/runs"), {"pointer": "", "parameter": "limit"}, "limit"),
    ],
)
def test_an_argument_and_a_parameter_are_called_as_they_were_typed(
    server: CannedServer,
    run: Run,
    command: tuple[str, ...],
    request_: tuple[str, str],
    error: dict[str, str],
    name: str,
) -> None:
    errors = [error | {"code": "invalid", "detail": "It is wrong."}]
    refused = problem(422, code="invalid_input", detail="It is wrong.", errors=errors)
    server.on(*request_, refused)

    assert run(*command).stderr.splitlines()[-1] == f"  {name}: It is wrong."


def test_a_name_without_a_neighbour_gets_no_suggestion(server: CannedServer, run: Run) -> None:
    missing = problem(404, code="job_not_found", detail="There is no job 'zzz'.")
    server.on("GET", "/jobs/zzz", missing)
    server.on("GET", "/jobs", Canned({"items": [a_job()], "next_cursor": None}))

    assert run("job", "show", "zzz").stderr == "jobs-app: There is no job 'zzz'.\n"


def test_a_detail_that_repeats_the_first_of_several_errors_is_not_printed(
    server: CannedServer, run: Run
) -> None:
    errors = [
        {"pointer": "/schedule/cron", "code": "syntax", "detail": f"{field} cannot be read."}
        for field in ("minute", "hour")
    ]
    refused = problem(422, code="invalid_schedule", detail="minute cannot be read.", errors=errors)
    server.on("POST", "/schedules/preview", refused)

    result = run("schedule", "preview", "X Y * * *")

    assert result.stderr.splitlines()[-2:] == [
        "  EXPRESSION: minute cannot be read.",
        "  EXPRESSION: hour cannot be read.",
    ]
    assert result.stderr.count("minute cannot be read.") == 1


@pytest.mark.parametrize(
    "path, hint",
    [
        ("/api/v1/jobs/helo", " Did you mean 'hello'?"),
        ("/api/v1/jobs/helo/revisions/9", " Did you mean 'hello'?"),
        ("/api/v1/jobs/hello/revisions/9", ""),
    ],
)
def test_a_name_that_exists_is_no_hint(path: str, hint: str) -> None:
    assert name_hint(path, lambda _: ["hello"]) == hint
