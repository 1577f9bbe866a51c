"""Filters that take several values."""

import pytest

from tests.cli.canned import CannedServer, page
from tests.cli.conftest import Run

FILTERS = {
    "states of jobs": ("job list", "state", "failing", "late,running"),
    "last states of jobs": ("job list", "last-state", "failed", "lost,timed_out"),
    "states of runs": ("run list", "state", "lost", "skipped,missed"),
    "triggers": ("run list", "trigger", "manual", "catchup,retry_of"),
    "states of notifications": ("notification list", "state", "failed", "sent,pending"),
    "events": ("notification list", "event", "recovered", "failed,lost"),
    "actions": ("audit", "action", "pause", "resume,sign_in"),
    "ways": ("audit", "via", "page", "api,system"),
}


@pytest.mark.parametrize("command, name, one, two", FILTERS.values(), ids=FILTERS)
def test_a_filter_takes_several_values(
    server: CannedServer, run: Run, command: str, name: str, one: str, two: str
) -> None:
    path = {"job": "/jobs", "run": "/runs", "notification": "/notifications", "audit": "/audit"}
    server.on("GET", path[command.split()[0]], page())

    result = run(*command.split(), f"--{name}", two, f"--{name}", one)

    assert result.exit_code == 0, result.output
    assert server.requests[0].query[name.replace("-", "_")] == f"{two},{one}"


def test_a_filter_names_the_value_that_is_none(server: CannedServer, run: Run) -> None:
    result = run("run", "list", "--state", "skipped,gone")

    assert (result.exit_code, server.requests) == (2, [])
    assert "'gone'" in result.stderr
