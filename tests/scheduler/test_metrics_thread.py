"""The thread that counts for /metrics."""

import pytest
from sqlalchemy import select

from jobs_app.core.job_series import JobSeries
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.db.models.metrics import MetricCounter, RunCounting
from jobs_app.scheduler.metrics_thread import MetricsThread


def test_a_step_writes_what_the_process_counted_and_begins_to_count_runs(
    database: Database,
) -> None:
    counts = PendingCounts()
    counts.add("janitor_actions", "resend")

    MetricsThread(database, counts, JobSeries(100)).step()

    with database.reading() as session:
        assert session.scalars(select(MetricCounter.label)).all() == ["resend"]
        assert session.scalar(select(RunCounting.next_id)) is not None


def test_what_was_counted_last_is_written_when_it_stops(database: Database) -> None:
    counts = PendingCounts()
    thread = MetricsThread(database, counts, JobSeries(100))
    thread.start()
    counts.add("janitor_actions", "resend")

    thread.stop()

    with database.reading() as session:
        assert session.scalars(select(MetricCounter.label)).all() == ["resend"]


def test_without_a_database_it_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    gone = Database("sqlite:////nowhere/at/all.db")
    thread = MetricsThread(gone, PendingCounts(), JobSeries(100))

    assert thread._step_or_log() is False
    assert "metrics_wait_for_database error=OperationalError" in caplog.text
