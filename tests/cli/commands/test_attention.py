"""`attention`: a line for each thing that needs a person."""

from typing import Any

import pytest

from tests.cli.canned import RUN_ID, Canned, CannedServer
from tests.cli.conftest import Run


def an_item(**facts: Any) -> dict[str, Any]:
    """Return an item as the API writes it."""
    return {
        "id": "0123456789abcdef",
        "kind": "failing",
        "sentence": "Failed 3 times in a row.",
        "since": "2026-11-01T00:00:00Z",
        "job": "nightly",
        "queue": None,
        "channel": None,
        "run": RUN_ID,
        "error": "exit code 1",
        "last_line": "cannot reach db1",
        "steps": ["read_log", "retry"],
        "acknowledgement": None,
    } | facts


def test_each_line_says_what_it_is_about_and_why(server: CannedServer, run: Run) -> None:
    queue = {"kind": "no_worker", "job": None, "queue": "slow", "run": None, "since": None}
    server.on("GET", "/attention", Canned({"items": [an_item(**queue), an_item()]}))

    result = run("attention")

    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["WHAT", "OF", "SINCE", "WHY", "CAUSE", "ON", "IT", "RUN"]
    assert lines[1][:3] == ["no_worker", "slow", "-"]
    assert lines[2][:3] == ["failing", "nightly", "2026-11-01T00:00:00Z"]
    assert lines[2][-1] == RUN_ID
    assert "row.  exit code 1: cannot reach db1  -" in result.stdout
    assert result.exit_code == 0


def test_a_check_fails_if_there_is_anything(server: CannedServer, run: Run) -> None:
    server.on("GET", "/attention", Canned({"items": [an_item()]}), Canned({"items": []}))

    assert run("attention", "--check", "--json").exit_code == 1
    well = run("attention", "--check")

    assert well.exit_code == 0
    assert "Nothing needs you." in well.output


CARE = {"by": "ana", "at": "2026-11-01T08:12:00Z", "note": None}


@pytest.mark.parametrize(
    "cares, options, exit_code",
    [
        ([None], (), 1),
        ([CARE], (), 0),
        ([CARE, None], (), 1),
        ([CARE], ("--all",), 1),
        ([], ("--all",), 0),
    ],
)
def test_a_check_fails_for_what_nobody_takes_care_of(
    server: CannedServer,
    run: Run,
    cares: list[dict[str, Any] | None],
    options: tuple[str, ...],
    exit_code: int,
) -> None:
    items = [an_item(acknowledgement=care) for care in cares]
    server.on("GET", "/attention", Canned({"items": items}))

    assert run("attention", "--check", *options).exit_code == exit_code


def test_all_without_a_check_is_refused(run: Run) -> None:
    assert run("attention", "--all").exit_code == 2


def test_one_takes_care_of_all_lines_about_a_job(server: CannedServer, run: Run) -> None:
    care = {"by": "ana", "at": "2026-11-01T08:12:00Z", "note": "asked the DBAs"}
    other = an_item(id="other", job="weekly")
    item = an_item(acknowledgement=care)
    server.on("GET", "/attention", Canned({"items": [other, item]}))
    for method in ("POST", "DELETE"):
        server.on(method, f"/attention/{item['id']}/acknowledgement", Canned(item))

    assert "ana, since 2026-11-01T08:12:00Z: asked the DBAs" in run("attention").stdout
    assert run("attention", "ack", "nightly", "--note", "asked the DBAs").exit_code == 0
    assert run("attention", "unack", item["id"]).exit_code == 0
    missing = run("attention", "ack", "nothing")

    sent = [request for request in server.requests if request.method != "GET"]
    assert [(request.method, request.body) for request in sent] == [
        ("POST", {"note": "asked the DBAs"}),
        ("DELETE", None),
    ]
    assert missing.exit_code == 3
    assert "about 'nothing'" in missing.stderr
