"""Stock RedBeat and ours in one Redis: each reads, and neither disturbs, the other's entries."""

import warnings
from collections.abc import Callable

import pytest
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import get_redis

from tests.faults.installation import Installation
from tests.faults.stock_tasks import FILE_VARIABLE, STATIC
from tests.servers import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def installation(make_installation: Callable[..., Installation], database_url: str) -> Installation:
    """An installation whose user has tasks and a schedule of plain Celery."""
    installation = make_installation(database_url, imports="tests.faults.stock_tasks")
    installation.environment[FILE_VARIABLE] = str(installation.directory / "stock")
    return installation


def words(installation: Installation) -> list[str]:
    file = installation.directory / "stock"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_redbeats_own_loader_reads_our_entries(installation: Installation) -> None:
    hourly = installation.create(cron="30 2 * * 1-5", name="nightly")
    often = installation.create(interval_seconds=90)
    beyond_celery = installation.create(cron="0 0 L * *")

    entries = {
        job.id: RedBeatSchedulerEntry.from_key(
            installation.projection.key(job.id), app=installation.app
        )
        for job in (hourly, often, beyond_celery)
    }

    assert entries[hourly.id].schedule == crontab.from_string("30 2 * * 1-5")
    assert entries[hourly.id].options["shadow"] == "nightly"
    assert entries[often.id].schedule == schedule(90)
    assert {entry.args[0] for entry in entries.values()} == set(entries)
    redis = get_redis(installation.app)
    for entry in entries.values():
        assert entry.enabled
        assert redis.zscore(installation.projection.schedule_key, entry.key) is not None


def test_foreign_and_static_entries_fire_beside_our_jobs(installation: Installation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        RedBeatSchedulerEntry(
            "foreign", "stock.note", schedule(1), args=["foreign"], app=installation.app
        ).save()
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()

    wait_until(
        lambda: min(words(installation).count(word) for word in ("foreign", STATIC)) >= 4,
        "foreign and static entries fire",
        timeout_seconds=15,
    )

    installation.wait_for_runs(job, 2)
    installation.assert_right(job)
    foreign = RedBeatSchedulerEntry.from_key(
        f"{installation.settings.redis_prefix}redbeat:foreign", app=installation.app
    )
    assert foreign.last_run_at is not None
    assert foreign.total_run_count >= 4


def test_an_entry_that_nobody_can_send_stops_no_other(installation: Installation) -> None:
    redis, app = get_redis(installation.app), installation.app
    prefix = f"{installation.settings.redis_prefix}redbeat:"
    schedule_key = installation.projection.schedule_key
    broken = RedBeatSchedulerEntry("broken", "stock.note", schedule(1), app=app).save()
    redis.hset(broken.key, "definition", "not JSON")
    redis.zadd(schedule_key, {f"{prefix}gone": 1.0})
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()

    installation.wait_for_runs(job, 3)

    installation.assert_right(job)
    assert redis.zscore(schedule_key, f"{prefix}gone") is None
