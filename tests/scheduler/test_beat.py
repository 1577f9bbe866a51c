"""The scheduler's tick as a whole."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.scheduler.beat import JobsScheduler
from tests.factories import NOON, make_job


@pytest.fixture
def scheduler(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[JobsScheduler]:
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        redis_prefix=f"test-{uuid4()}:",
        data_dir=tmp_path,
    )
    opened = JobsScheduler(make_celery(settings))
    yield opened
    opened.close()


def test_no_fire_waits_until_all_entries_are_written_anew(
    database: Database, scheduler: JobsScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_app.scheduler.redbeat_repair.BATCH", 2)
    jobs = [make_job(database, cron="0 12 * * *") for _ in range(5)]

    scheduler.tick()

    with database.reading() as session:
        jobs_with_runs = session.scalar(select(func.count(Run.job_id.distinct())))
    assert jobs_with_runs == len(jobs)
    assert not has_all_entries(scheduler)
    scheduler.tick()
    scheduler.tick()
    assert has_all_entries(scheduler)


def has_all_entries(scheduler: JobsScheduler) -> bool:
    """Return whether Redis is known to hold all entries."""
    return scheduler._projection.due(at=NOON, limit=1)[2]
