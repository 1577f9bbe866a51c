"""The fires of a job on the command line, and their explanation."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.cli.canned import Canned, CannedServer, a_job

Run = Callable[..., Result]


def test_the_help_of_explain_names_no_date_that_a_new_job_does_not_know(run: Run) -> None:
    shown = run("job", "explain", "--help").stdout

    assert '--at "yesterday 02:30"' in shown
    assert not re.search(r"\d{4}-\d\d-\d\d", shown)


@pytest.mark.parametrize("line, shown", [(None, ""), ("no db1", "Its last line: no db1\n")])
def test_explain_ends_with_the_last_line_of_a_failed_run(
    server: CannedServer, run: Run, line: str | None, shown: str
) -> None:
    answer = {"sentence": "It failed.", "last_line": line}
    server.on("GET", "/jobs/hello/explain", Canned(answer))

    assert run("job", "explain", "hello").stdout == f"It failed.\n{shown}"


def test_next_marks_the_fires_that_daylight_saving_moves(server: CannedServer, run: Run) -> None:
    gap = {"at": "2026-03-08T07:00:00Z", "local": "2026-03-08T03:00:00-04:00", "dst": "gap"}
    server.on("GET", "/jobs/hello/next", Canned({"items": [gap]}))

    result = run("job", "next", "hello", "--count", "1")

    assert server.requests[0].query == {"count": "1"}
    assert "Sun 2026-03-08 03:00:00 -04:00  2026-03-08 07:00:00" in result.stdout
    assert "go forward" in result.stdout


@pytest.mark.parametrize(
    "facts, sentence",
    [
        ({"state": "paused", "paused": {"by": "ann", "reason": "Move"}}, "paused by ann: Move."),
        ({"schedule": None, "next_run_at": None}, "no schedule; run it with"),
        ({"state": "ended"}, "ended."),
    ],
)
def test_a_job_without_a_next_fire_says_why(
    server: CannedServer, run: Run, facts: dict[str, Any], sentence: str
) -> None:
    server.on("GET", "/jobs/hello/next", Canned({"items": []}))
    server.on("GET", "/jobs/hello", Canned(a_job(**facts)))

    result = run("job", "next", "hello")

    assert (result.stdout, result.exit_code) == ("", 0)
    assert f"No fire: {sentence}" in result.stderr
