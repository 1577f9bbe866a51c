"""`jobs-app job list` and `show`: what is asked for and what is printed."""

import json
from collections.abc import Callable

from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, a_run, page

Run = Callable[..., Result]

BROKEN = {"at": "2026-11-01T00:00:00Z", "by": "admin", "reason": "broken"}


def test_a_pipe_gets_aligned_columns_with_exact_times(server: CannedServer, run: Run) -> None:
    last = {"id": RUN_ID, "state": "failed", "finished_at": "2026-11-01T00:00:03.059384Z"}
    ticks = a_job(name="a-longer-name", schedule={"interval_seconds": 300}, last_run=last)
    server.on("GET", "/jobs", page(a_job(), ticks))

    result = run("job", "list")

    assert result.stdout.splitlines() == [
        "NAME           STATE   SCHEDULE                 NEXT RUN              LAST RUN  "
        "LAST RUN AT",
        "hello          active  30 2 * * * Europe/Paris  2030-01-01T01:30:00Z  -         -",
        "a-longer-name  active  every 5 min              2030-01-01T01:30:00Z  failed    "
        "2026-11-01T00:00:03Z",
    ]


def test_an_empty_list_says_what_to_do_and_prints_nothing(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page())

    result = run("job", "list")

    assert result.stdout == ""
    assert "jobs-app job create" in result.stderr


def test_the_filters_of_a_list_are_sent(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page())

    run("job", "list", "--state", "paused", "--tag", "billing", "--q", "night", "--queue", "slow")

    assert server.requests[0].query == {
        "state": "paused",
        "tag": "billing",
        "q": "night",
        "queue": "slow",
        "limit": "50",
    }


def test_json_is_the_answer_of_the_api(server: CannedServer, run: Run) -> None:
    job = a_job(description="a \x9b31m b\u202e, naïve", surprise={"kept": [1, None]})
    server.on("GET", "/jobs/hello", Canned(job))

    result = run("job", "show", "hello", "--json")

    assert json.loads(result.stdout) == job
    assert "\x9b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "naïve" in result.stdout


def test_show_prints_the_job_its_next_fires_and_its_latest_runs(
    server: CannedServer, run: Run
) -> None:
    fire = {"at": "2030-01-01T01:30:00Z", "local": "2030-01-01T02:30:00+01:00", "dst": None}
    server.on("GET", "/jobs/hello", Canned(a_job(description="Says \x1b[1mhello\x1b[0m.")))
    server.on("GET", "/jobs/hello/next", Canned({"items": [fire]}))
    server.on("GET", "/runs", page(a_run()))

    result = run("job", "show", "hello")

    assert "Says hello." in result.stdout
    assert "Tue 2030-01-01 02:30:00 +01:00" in result.stdout
    assert RUN_ID in result.stdout


def test_a_paused_job_shows_who_paused_it_and_why(server: CannedServer, run: Run) -> None:
    paused = a_job(state="paused", paused=BROKEN, next_run_at=None)
    server.on("GET", "/jobs/hello", Canned(paused))
    server.on("GET", "/runs", page())

    result = run("job", "show", "hello")

    assert "paused by admin: broken" in result.stdout
