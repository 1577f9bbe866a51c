"""The values of /metrics, on both databases."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.core.job_series import JobSeries
from jobs_app.db.columns import new_run_id
from jobs_app.db.counters import INFINITE, Key, add_to
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.runs.counting import SETTLING, RunCounter
from jobs_app.web import metric_families
from jobs_app.web.metric_families import PREFIX, Family, families
from tests.factories import MINUTE, NOON, SECOND, claim, finish, make_job, make_run, make_worker
from tests.plans import plans

ALL_JOBS = JobSeries(100)
DOCUMENT = Path(__file__).parents[2] / "docs" / "observing.md"


def read(database: Database) -> dict[str, Family]:
    with database.reading() as session:
        return {family.name: family for family in families(session, at=NOON)}


def samples(family: Family, suffix: str = "") -> dict[tuple[str, ...], float]:
    """Return the values of the samples with *suffix*, by the values of their labels."""
    return {
        tuple(labels.values()): value
        for ending, labels, value in family.samples
        if ending == suffix
    }


def count_runs(database: Database, series: JobSeries = ALL_JOBS) -> None:
    """Count all runs that there are: the counting begins before them."""
    counter = RunCounter(database, series)
    counter.step(at=clock.now() - timedelta(hours=1))
    counter.step(at=clock.now() + SETTLING + SECOND)


def test_the_document_names_each_metric(database: Database) -> None:
    names = {
        PREFIX + name + ("_total" if family.kind == "counter" else "")
        for name, family in read(database).items()
    } | {PREFIX + "web_requests_total"}

    documented = set(re.findall(rf"^\| `({PREFIX}\w+)`", DOCUMENT.read_text(), re.MULTILINE))

    assert names == documented


def test_finished_runs_are_shown_by_job_and_state(database: Database) -> None:
    job, worker_id = make_job(database, name="nightly"), make_worker(database)
    for state_job in (job, None):
        run_id = make_run(database, state_job)
        claim(database, run_id, worker_id)
        finish(database, run_id, at=NOON + 2 * SECOND)
    count_runs(database)

    metrics = read(database)

    finished = samples(metrics["runs_finished"], "_total")
    assert {key: value for key, value in finished.items() if value} == {
        ("nightly", "succeeded"): 1,
        ("(none)", "succeeded"): 1,
    }
    # Prometheus sees the first failure only if the series was there before it.
    assert finished["nightly", "failed"] == finished["nightly", "lost"] == 0
    buckets = samples(metrics["run_duration_seconds"], "_bucket")
    assert (buckets["nightly", "1"], buckets["nightly", "5"], buckets["nightly", INFINITE]) == (
        (0, 1, 1)
    )
    assert samples(metrics["run_duration_seconds"], "_count")["nightly",] == 1
    assert samples(metrics["run_duration_seconds"], "_sum")["nightly",] == pytest.approx(
        2, abs=0.01
    )
    success = samples(metrics["job_last_success_timestamp_seconds"])
    assert success == {("nightly",): (NOON + 2 * SECOND).timestamp()}


def test_jobs_beyond_the_limit_share_their_metrics(database: Database) -> None:
    worker_id = make_worker(database)
    for _ in range(2):
        run_id = make_run(database, make_job(database))
        claim(database, run_id, worker_id)
        finish(database, run_id)

    count_runs(database, JobSeries(0))

    finished = samples(read(database)["runs_finished"], "_total")
    assert {key: value for key, value in finished.items() if value} == {("(other)", "succeeded"): 2}


def test_queues_tell_what_waits_and_who_serves_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_id = make_worker(database)
    make_run(database, at=NOON - MINUTE)
    running = make_run(database, at=NOON - MINUTE)
    claim(database, running, worker_id)
    make_run(database, queue="slow", at=NOON - 2 * MINUTE)

    metrics = read(database)

    runs = samples(metrics["runs"])
    assert {key: value for key, value in runs.items() if value} == {
        ("default", "queued"): 1,
        ("default", "running"): 1,
        ("slow", "queued"): 1,
    }
    assert samples(metrics["queue_oldest_wait_seconds"]) == {("default",): 60, ("slow",): 120}
    assert samples(metrics["queue_workers"]) == {("default",): 1, ("slow",): 0}
    assert samples(metrics["queue_slots"]) == {("default",): 2, ("slow",): 0}
    monkeypatch.setattr(metric_families, "MOST_QUEUES", 1)
    folded = samples(read(database)["runs"])
    assert folded["(other)", "queued"] == 1


def test_schedulers_and_workers_are_shown(database: Database, store: Callable[..., None]) -> None:
    row: dict[str, Any] = {"name": "scheduler@a", "pid": 1, "started_at": NOON - MINUTE}
    make_worker(database)
    store(
        SchedulerProcess(id=new_run_id(), is_active=True, ticked_at=NOON - SECOND, **row),
        SchedulerProcess(id=new_run_id(), is_active=False, ticked_at=NOON - 9 * SECOND, **row),
        SchedulerProcess(id=new_run_id(), is_active=True, ticked_at=NOON - 2 * MINUTE, **row),
    )
    with database.session() as session, session.begin():
        session.execute(update(Worker).values(messages_dropped=3))

    metrics = read(database)

    last_tick = samples(metrics["scheduler_last_tick_timestamp_seconds"])
    assert last_tick == {(): (NOON - SECOND).timestamp()}
    assert samples(metrics["schedulers"]) == {("active",): 1, ("standby",): 1}
    assert samples(metrics["workers"]) == {(): 1}
    assert samples(metrics["worker_messages_dropped"], "_total") == {("worker@test",): 3}


def test_a_fire_that_is_due_and_not_on_record_is_overdue(database: Database) -> None:
    make_job(database, cron="0 * * * *", at=NOON - MINUTE)
    late = make_job(database, cron="0 * * * *", at=NOON - MINUTE)
    with database.session() as session, session.begin():
        values = {"next_fire_at": NOON - MINUTE, "next_due_at": NOON - MINUTE}
        session.execute(update(Job).where(Job.id == late.id).values(**values))

    assert samples(read(database)["fires_overdue"]) == {(): 1}


def test_counters_of_the_scheduler_are_shown_by_their_labels(database: Database) -> None:
    with database.session() as session:
        amounts = {Key("janitor_actions", 0, "resend"): 2, Key("notifications", 0, "sent"): 5}
        add_to(
            session, amounts | {Key("schedule_lag", 0, "0.05"): 1, Key("schedule_lag", 0, "1"): 2}
        )
        session.commit()

    metrics = read(database)

    assert samples(metrics["janitor_actions"], "_total") == {("resend",): 2}
    notifications = samples(metrics["notifications"], "_total")
    assert (notifications["sent",], notifications["failed",]) == (5, 0)
    lag = samples(metrics["schedule_lag_seconds"], "_bucket")
    assert (lag["0.05",], lag["0.5",], lag["1",], lag[INFINITE,]) == (1, 1, 3, 3)


def test_no_statement_reads_the_history(long_history: Database) -> None:
    """20,000 finished runs, of which the counting reads those since its last step."""
    count_runs(long_history)

    scrape = plans(long_history, lambda session: list(families(session, at=NOON)))

    assert "runs" in scrape
    assert not re.search(r"Seq Scan on runs|SCAN runs(?! USING)", scrape), scrape
