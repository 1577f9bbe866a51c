"""`audit`: a line for each event, with the token and the address."""

from typing import Any

from tests.cli.canned import RUN_ID, CannedServer, page
from tests.cli.conftest import Run


def an_event(action: str, **facts: Any) -> dict[str, Any]:
    """Return an event as the API writes it."""
    return {
        "id": 1,
        "at": "2026-11-01T00:00:00.5Z",
        "actor": "ci",
        "token_id": 7,
        "remote_address": "192.0.2.7",
        "action": action,
        "job_id": None,
        "job": None,
        "run_id": None,
        "detail": {},
    } | facts


def test_each_event_says_what_was_done_to_what_by_whom_and_from_where(
    server: CannedServer, run: Run
) -> None:
    server.on(
        "GET",
        "/audit",
        page(
            an_event("change", job_id=1, job="nightly"),
            an_event("delete", job_id=2),
            an_event("cancel", run_id=RUN_ID),
            an_event("set_secret", detail={"secret": "KEY"}),
            an_event(
                "pause",
                job_id=1,
                job="nightly",
                actor="jobs-app",
                token_id=None,
                remote_address=None,
            ),
        ),
    )

    lines = run("audit", "--job", "nightly").stdout.splitlines()

    assert [line.split() for line in lines] == [
        ["WHEN", "ACTION", "OF", "BY", "TOKEN", "FROM"],
        ["2026-11-01T00:00:00Z", "change", "nightly", "ci", "7", "192.0.2.7"],
        ["2026-11-01T00:00:00Z", "delete", "job", "2", "ci", "7", "192.0.2.7"],
        ["2026-11-01T00:00:00Z", "cancel", "run", RUN_ID, "ci", "7", "192.0.2.7"],
        ["2026-11-01T00:00:00Z", "set_secret", "KEY", "ci", "7", "192.0.2.7"],
        ["2026-11-01T00:00:00Z", "pause", "nightly", "jobs-app", "-", "-"],
    ]
    assert server.requests[0].query["job"] == "nightly"


def test_the_audit_can_be_filtered(server: CannedServer, run: Run) -> None:
    server.on("GET", "/audit", page())
    filters = ("--person", "ann", "--action", "pause", "--via", "page")
    times = ("--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z")

    result = run("audit", *filters, *times)

    query = server.requests[0].query
    assert result.exit_code == 0
    assert query == query | {
        "person": "ann",
        "action": "pause",
        "via": "page",
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-11-02T00:00:00Z",
    }
