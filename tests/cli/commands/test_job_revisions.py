"""`jobs-app job changes` and `job restore`: what a person reads of them."""

import json
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import Result

from jobs_app.cli.completion import revision_numbers
from jobs_app.cli.failure import CONFLICT, USAGE
from tests.cli.canned import Canned, CannedServer, problem

Run = Callable[..., Result]

PATH = "/jobs/hello/revisions"


def summary(number: int, **values: Any) -> dict[str, Any]:
    return {
        "number": number,
        "at": "2026-11-01T00:00:00Z",
        "by": "ann",
        "via": "cli",
        "note": None,
        "changed": ["priority"],
    } | values


def revision(number: int, priority: int, **values: Any) -> dict[str, Any]:
    definition = {"name": "hello", "task": "shell", "priority": priority}
    return summary(number) | {"previous": number - 1 or None, "definition": definition} | values


def job(version: int, priority: int) -> dict[str, Any]:
    return {
        "name": "hello",
        "version": version,
        "state": "active",
        "task": "shell",
        "priority": priority,
        "schedule": None,
        "next_run_at": None,
    }


EFFECT = {
    "fires_before": [],
    "fires_after": [],
    "would_run_now": False,
    "recorded_runs": {},
    "catchup_runs": 0,
    "cancelled_runs": 0,
    "warnings": [],
}


RESTORED = (Canned({"job": job(8, 1), "effect": EFFECT}), Canned(job(8, 1)))


@pytest.fixture
def restorable(server: CannedServer) -> CannedServer:
    """A server whose job differs from its revision 3 in its priority."""
    server.on("GET", "/jobs/hello", Canned(job(7, 5), headers={"ETag": '"7"'}))
    server.on("POST", f"{PATH}/3/restore", *RESTORED)
    return server


def test_changes_are_a_table(server: CannedServer, run: Run) -> None:
    first = summary(1, by=None, via=None, changed=[], note="The state before.")
    server.on("GET", PATH, Canned({"items": [summary(2), first], "next_cursor": None}))

    lines = run("job", "changes", "hello").stdout.splitlines()

    assert lines[0].split() == ["NUMBER", "WHEN", "BY", "VIA", "CHANGED", "NOTE"]
    assert lines[1].split()[0] == "2"
    assert lines[1].split()[-4:] == ["ann", "cli", "priority", "-"]
    assert lines[2].endswith("The state before.")


def test_a_change_is_compared_with_the_one_before(server: CannedServer, run: Run) -> None:
    server.on("GET", f"{PATH}/7", Canned(revision(7, 5, previous=4)))
    server.on("GET", f"{PATH}/4", Canned(revision(4, 1)))

    output = run("job", "changes", "hello", "7").stdout

    assert output.splitlines()[0].startswith("Revision 7, 2026-11-01")
    assert "by ann (cli)" in output
    assert "  priority: 1 -> 5" in output


def test_two_changes_are_compared_in_the_order_that_is_typed(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", f"{PATH}/7", Canned(revision(7, 5)))
    server.on("GET", f"{PATH}/2", Canned(revision(2, 1)))

    assert "priority: 5 -> 1" in run("job", "changes", "hello", "7", "2").stdout
    answer = json.loads(run("job", "changes", "hello", "2", "7", "--json").stdout)
    assert [item["number"] for item in answer["items"]] == [2, 7]


def test_the_oldest_change_and_a_masked_one_say_so(server: CannedServer, run: Run) -> None:
    server.on("GET", f"{PATH}/1", Canned(revision(1, 1)))
    masked = revision(2, 1, changed=["kwargs.password"])
    server.on("GET", f"{PATH}/2", Canned(masked))

    assert "nothing to compare" in run("job", "changes", "hello", "1").stderr
    assert "What differs is masked: kwargs.password." in run("job", "changes", "hello", "2").stderr


def test_a_restore_shows_what_would_change_and_then_saves(
    restorable: CannedServer, run: Run
) -> None:
    result = run("job", "restore", "hello", "3", "--yes")

    dry, real = [request for request in restorable.requests if request.method == "POST"]
    assert (dry.query, real.query) == ({"dry_run": "true"}, {})
    assert {request.headers["If-Match"] for request in (dry, real)} == {'"7"'}
    assert "  priority: 5 -> 1" in result.stdout
    assert "Nothing was changed" not in result.stdout
    assert "Restored revision 3 of hello: no schedule" in result.stdout


@pytest.mark.parametrize(
    "options, exit_code, text",
    [(["--dry-run"], 0, "Nothing was changed."), ([], USAGE, "Add --yes to restore")],
)
def test_without_a_yes_nothing_is_restored(
    restorable: CannedServer, run: Run, options: list[str], exit_code: int, text: str
) -> None:
    result = run("job", "restore", "hello", "3", *options)

    assert result.exit_code == exit_code
    assert text in result.output
    assert restorable.requests[-1].query == {"dry_run": "true"}


def test_a_restore_can_be_read_by_programs(restorable: CannedServer, run: Run) -> None:
    dry = run("job", "restore", "hello", "3", "--dry-run", "--json")
    restorable.on("POST", f"{PATH}/3/restore", *RESTORED)
    real = run("job", "restore", "hello", "3", "--yes", "--json")

    assert json.loads(dry.stdout)["effect"] == EFFECT
    assert json.loads(real.stdout)["version"] == 8


def test_a_restore_of_the_present_state_changes_nothing(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(job(7, 5), headers={"ETag": '"7"'}))
    server.on("POST", f"{PATH}/3/restore", Canned({"job": job(8, 5), "effect": EFFECT}))

    result = run("job", "restore", "hello", "3", "--yes")

    assert (result.exit_code, result.stderr) == (0, "Nothing to change.\n")
    assert server.requests[-1].query == {"dry_run": "true"}


def test_a_change_in_the_meantime_ends_a_restore(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(job(7, 5), headers={"ETag": '"7"'}))
    stale = problem(412, code="stale_version", detail="The job is at version 8, not 7.")
    server.on("POST", f"{PATH}/3/restore", Canned({"job": job(8, 1), "effect": EFFECT}), stale)

    assert run("job", "restore", "hello", "3", "--yes").exit_code == CONFLICT


def test_the_tab_key_completes_numbers_of_the_job(server: CannedServer) -> None:
    items = [summary(number) for number in (12, 11, 9)]
    server.on("GET", PATH, Canned({"items": items, "next_cursor": None}))
    context = click.Context(click.Command("changes"))
    context.params["name"] = "hello"

    assert revision_numbers(context, click.Argument(["number"]), "1") == ["12", "11"]
    context.params["name"] = "no/such"
    assert revision_numbers(context, click.Argument(["number"]), "") == []
