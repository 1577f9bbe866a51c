"""`jobs-app job stats`: what a person reads of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.cli.canned import RUN_ID, Canned, CannedServer

Run = Callable[..., Result]

SPREAD = {"p50": 1.0, "p95": 62.0, "max": 3600.0}
STATS: dict[str, Any] = {
    "job": "hello",
    "runs": {"total": 12_346, "by_state": {"succeeded": 12_000, "timed_out": 346}},
    "success_rate": 0.97197,
    "recent": {
        "runs": 100,
        "success_rate": 1.0,
        "duration_seconds": SPREAD,
        "delay_seconds": SPREAD,
    },
    "failures_in_a_row": 2,
    "last_success": {"id": RUN_ID, "state": "succeeded", "finished_at": "2026-11-01T00:00:03Z"},
    "last_failure": None,
    "kept": {
        "runs": 10_000,
        "oldest_at": "2026-10-01T00:00:00Z",
        "keep_runs": 10_000,
        "keep_days": 90,
        "keep_failed_days": 365,
        "keep_log_days": 90,
    },
}


def test_stats_are_read_as_sentences(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello/stats", Canned(STATS))

    result = run("job", "stats", "hello", "--last", "100")

    assert server.requests[0].query == {"last": "100"}
    for part in (
        "12,346: 12,000 succeeded, 346 timed out",
        "97.2%",
        "half within 1.00 s, 95 % within 1 min 2 s, at most 1 h 0 min",
        f"run {RUN_ID}",
        "none on record",
        "10,000 runs, 90 days, failed ones 365 days, logs 90 days",
    ):
        assert part in result.stdout


def test_stats_of_a_job_that_never_ran_say_so(server: CannedServer, run: Run) -> None:
    nothing = {
        "runs": {"total": 0, "by_state": {}},
        "success_rate": None,
        "recent": {
            "runs": 0,
            "success_rate": None,
            "duration_seconds": None,
            "delay_seconds": None,
        },
        "last_success": None,
        "kept": STATS["kept"] | {"runs": 0, "oldest_at": None},
    }
    server.on("GET", "/jobs/hello/stats", Canned(STATS | nothing))

    result = run("job", "stats", "hello")

    assert result.exit_code == 0
    assert "none so far" in result.stdout


def test_stats_count_one_in_the_singular(server: CannedServer, run: Run) -> None:
    limits = {"keep_runs": 1, "keep_days": 1, "keep_failed_days": 1, "keep_log_days": 1}
    server.on(
        "GET", "/jobs/hello/stats", Canned(STATS | {"kept": STATS["kept"] | {"runs": 1} | limits})
    )

    output = run("job", "stats", "hello").stdout

    assert "1 run since 2026-10-01" in output
    assert "1 run, 1 day, failed ones 1 day, logs 1 day" in output


@pytest.mark.parametrize("options", [["--json"]])
def test_stats_can_be_read_by_programs(server: CannedServer, run: Run, options: list[str]) -> None:
    server.on("GET", "/jobs/hello/stats", Canned(STATS))

    assert json.loads(run("job", "stats", "hello", *options).stdout) == STATS
