"""The zone in which commands read and write times."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import time_machine
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]

NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)
BERLIN = Canned({"timezone": "Europe/Berlin"})
TOKYO = a_job(schedule={"cron": "0 3 * * *", "timezone": "Asia/Tokyo", "jitter_seconds": 0})

# The schedule of a new job: what is typed, and its instant. The server is in Berlin.
CREATED = {
    "the next 02:30": (["--at", "02:30"], "at", "2026-11-30T01:30:00Z"),
    "in a zone": (["--at", "02:30", "--timezone", "Asia/Tokyo"], "at", "2026-11-29T17:30:00Z"),
    "tomorrow": (["--at", "tomorrow 09:00"], "at", "2026-11-30T08:00:00Z"),
    "from now": (["--at", "5m"], "at", "2026-11-29T08:35:00Z"),
    "a date": (["--every", "1d", "--start-at", "2026-12-04"], "start_at", "2026-12-03T23:00:00Z"),
    "the zone of the cron expression": (
        ["--cron", "0 3 * * *", "--timezone", "Asia/Tokyo", "--end-at", "2026-12-04"],
        "end_at",
        "2026-12-03T15:00:00Z",
    ),
    "a zone in front of it": (
        ["--cron", "TZ=Asia/Tokyo 0 3 * * *", "--end-at", "2026-12-04"],
        "end_at",
        "2026-12-03T15:00:00Z",
    ),
}


@pytest.mark.parametrize("typed, field, instant", CREATED.values(), ids=CREATED)
def test_a_time_of_a_new_job_is_read_in_its_zone_or_that_of_the_server(
    server: CannedServer, run: Run, typed: list[str], field: str, instant: str
) -> None:
    server.on("GET", "/me", BERLIN)
    server.on("POST", "/jobs", Canned(a_job(), 201))

    with time_machine.travel(NOW, tick=False):
        result = run("job", "create", "hello", "--command", "date", *typed)

    assert result.exit_code == 0, result.stderr
    (sent,) = [request.body for request in server.requests if request.method == "POST"]
    assert sent["schedule"][field] == instant


@pytest.mark.parametrize(
    "typed, note",
    [
        (
            "2027-03-28 02:30",
            "Note: The clock of Europe/Paris skips 02:30 that day: 2027-03-28 03:00 is meant.\n",
        ),
        ("2027-03-28 03:30", ""),
        ("2027-10-31 02:30", ""),
        ("2027-03-28T02:30:00Z", ""),
        ("2027-03-28", ""),
    ],
)
def test_a_time_that_the_clock_skips_has_a_note(
    server: CannedServer, run: Run, typed: str, note: str
) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    with time_machine.travel(NOW, tick=False):
        options = ("--at", typed, "--timezone", "Europe/Paris")
        result = run("job", "create", "hello", "--command", "date", *options)

    assert result.exit_code == 0
    assert result.stderr == note


def test_an_edit_reads_times_in_the_zone_of_the_job(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(TOKYO, headers={"ETag": '"3"'}))
    server.on("PATCH", "/jobs/hello", Canned(TOKYO))

    run("job", "edit", "hello", "--end-at", "2026-12-04")

    (sent,) = [request.body for request in server.requests if request.method == "PATCH"]
    assert sent == {"schedule": {"end_at": "2026-12-03T15:00:00Z"}}


def test_a_pause_ends_by_the_clock_of_the_job(server: CannedServer, run: Run) -> None:
    paused = {"by": "admin", "reason": None, "until": "2026-11-29T21:00:00Z", "at": None}
    server.on("GET", "/jobs/hello", Canned(TOKYO))
    server.on("POST", "/jobs/hello/pause", Canned(TOKYO | {"state": "paused", "paused": paused}))

    with time_machine.travel(NOW, tick=False):
        result = run("job", "pause", "hello", "--until", "06:00")

    assert server.requests[1].body == {"until": "2026-11-29T21:00:00Z"}
    assert "until 2026-11-30 06:00:00 JST" in result.stdout


LISTS = {
    "of a job": (
        ["run", "list", "--job", "hello"],
        "2026-11-28T13:00:00Z",
        "2026-11-28 22:00 JST (Asia/Tokyo)",
    ),
    "of all": (["run", "list"], "2026-11-28T21:00:00Z", "2026-11-28 22:00 CET (Europe/Berlin)"),
    "of the audit": (["audit"], "2026-11-28T21:00:00Z", "2026-11-28 22:00 CET (Europe/Berlin)"),
}


@pytest.mark.parametrize("typed, instant, zone", LISTS.values(), ids=LISTS)
def test_a_period_is_read_in_one_zone_which_is_named(
    server: CannedServer, run: Run, typed: list[str], instant: str, zone: str
) -> None:
    server.on("GET", "/me", BERLIN)
    server.on("GET", "/jobs/hello", Canned(TOKYO))
    server.on("GET", "/runs", page(a_run()))
    server.on("GET", "/audit", page())

    with time_machine.travel(NOW, tick=False):
        result = run(*typed, "--from", "22:00", "--to", "1h")

    assert server.requests[-1].query["from"] == instant
    assert server.requests[-1].query["to"] == "2026-11-29T07:30:00Z"
    assert f"Read as --from {zone}." in result.stderr


def test_a_period_without_a_local_time_asks_for_no_zone(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(a_run()))

    result = run("run", "list", "--from", "2h", "--to", "2030-01-01T00:00:00Z")

    assert [request.path for request in server.requests] == ["/api/v1/runs"]
    assert "Read as" not in result.stderr


def test_a_run_is_shown_in_the_zone_of_its_job(server: CannedServer, run: Run) -> None:
    server.on("GET", f"/runs/{RUN_ID}", Canned(a_run(timezone="Asia/Tokyo")))

    shown = run("run", "show", RUN_ID).stdout

    assert "2026-11-01 09:00:01 JST" in shown


def test_a_job_by_hand_is_shown_in_the_zone_of_the_server(server: CannedServer, run: Run) -> None:
    server.on("GET", "/me", BERLIN)
    server.on("GET", "/jobs/hello", Canned(a_job(schedule=None)))
    server.on("GET", "/runs", page())

    assert "2026-11-01 01:00:00 CET (version 3)" in run("job", "show", "hello").stdout


def test_a_server_that_does_not_say_its_zone_leaves_that_of_the_terminal(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", "/me", problem(404, code="not_found", detail="No such route."))
    server.on("GET", "/jobs/hello", Canned(a_job(schedule=None)))
    server.on("GET", "/runs", page())

    assert "2026-11-01 00:00:00 UTC" in run("job", "show", "hello").stdout


@pytest.mark.parametrize(
    "typed, meant", [("Europe/Pariss", "Europe/Paris"), ("PST", "America/Los_Angeles")]
)
def test_a_zone_that_does_not_exist_is_refused(
    server: CannedServer, run: Run, typed: str, meant: str
) -> None:
    result = run("schedule", "preview", "--at", "02:30", "--timezone", typed)

    assert result.exit_code == 2
    assert f"'{typed}' is not an IANA time zone. Did you mean {meant}?" in result.stderr
    assert server.requests == []
