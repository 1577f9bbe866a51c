"""/jobs/{name}/stats: how a job has done, by HTTP."""

from datetime import timedelta

import pytest

from jobs_app.core.states import RunState
from tests.web.conftest import NOW, Api, a_run


def test_stats_include_how_long_history_is_kept(api: Api, store) -> None:
    made = api.make_job(retention={"keep_days": 7})
    ended = {
        "job_id": made["id"],
        "started_at": NOW + timedelta(seconds=1),
        "finished_at": NOW + timedelta(seconds=3),
    }
    store(a_run(**ended), a_run(**ended), a_run(RunState.FAILED, **ended))

    stats = api.get("/jobs/nightly/stats?last=2").json

    assert stats["job"] == "nightly"
    assert stats["runs"] == {"total": 3, "by_state": {"succeeded": 2, "failed": 1}}
    assert stats["success_rate"] == 0.666667
    assert stats["recent"] == {
        "runs": 2,
        "success_rate": 0.5,
        "duration_seconds": {"p50": 2.0, "p95": 2.0, "max": 2.0},
        "delay_seconds": {"p50": 1.0, "p95": 1.0, "max": 1.0},
    }
    assert (stats["failures_in_a_row"], stats["last_failure"]["state"]) == (0, "failed")
    assert stats["kept"] == {
        "runs": 3,
        "oldest_at": "2026-11-23T12:00:00Z",
        "keep_runs": 10_000,
        "keep_days": 7,
        "keep_failed_days": 365,
        "keep_log_days": 90,
    }


def test_stats_of_a_job_that_never_ran_are_empty(api: Api) -> None:
    api.make_job()

    stats = api.get("/jobs/nightly/stats").json

    assert stats["runs"] == {"total": 0, "by_state": {}}
    assert (stats["success_rate"], stats["last_success"]) == (None, None)
    assert stats["recent"] == {
        "runs": 0,
        "success_rate": None,
        "duration_seconds": None,
        "delay_seconds": None,
    }


@pytest.mark.parametrize("path, status", [("none/stats", 404), ("No!/stats", 404)])
def test_there_are_no_stats_of_no_job(api: Api, path: str, status: int) -> None:
    assert api.get(f"/jobs/{path}").status_code == status


@pytest.mark.parametrize("last", ["0", "1001", "x"])
def test_stats_are_about_a_number_of_runs_that_makes_sense(api: Api, last: str) -> None:
    api.make_job()

    assert api.get(f"/jobs/nightly/stats?last={last}").status_code == 422


def test_a_job_that_only_watches_counts_what_it_observes(api: Api, store) -> None:
    watching = api.make_job(observe=True, schedule={"cron": "0 * * * *"})
    api.make_job("running")
    fire = {"job_id": watching["id"], "trigger": "schedule"}
    store(a_run(RunState.OBSERVED, scheduled_for=NOW, **fire))

    stats = api.get("/jobs/nightly/stats").json

    assert stats["runs"]["by_state"] == {"observed": 1}
    assert (stats["success_rate"], stats["recent"]["runs"]) == (None, 0)
    since = watching["observing_since"]
    assert stats["observation"].pop("until") >= since
    counts = {"expected": 0, "observed": 0, "missed": 0}
    assert stats["observation"] == {"since": since, "begin": since} | counts
    assert api.get("/jobs/running/stats").json["observation"] is None
