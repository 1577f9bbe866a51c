"""Stock RedBeat and ours in one Redis: each reads, and neither disturbs, the other's entries."""

import warnings
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import pytest
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import get_redis

from tests.faults.installation import Installation
from tests.faults.stock_tasks import FILE_VARIABLE, STATIC
from tests.profiles import postgresql_nightly
from tests.servers import wait_until

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def installation(
    request: pytest.FixtureRequest,
    make_installation: Callable[..., Installation],
    database_url: str,
) -> Installation:
    """An installation whose user has tasks and a schedule of plain Celery."""
    settings = getattr(request, "param", {"foreign_entries": True})
    installation = make_installation(database_url, imports="tests.faults.stock_tasks", **settings)
    installation.environment[FILE_VARIABLE] = str(installation.directory / "stock")
    return installation


def words(installation: Installation) -> list[str]:
    return [word for word, _ in notes(installation)]


def notes(installation: Installation) -> list[tuple[str, float]]:
    """Return the words that tasks wrote, each with its time."""
    file = installation.directory / "stock"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(word, float(at)) for word, at in map(str.split, lines)]


def save_entry(installation: Installation, name: str, seconds: float) -> RedBeatSchedulerEntry:
    """Write an entry that writes its name, as a program with stock RedBeat would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return RedBeatSchedulerEntry(
            name, "stock.note", schedule(seconds), args=[name], app=installation.app
        ).save()


@on_sqlite
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


@postgresql_nightly
def test_foreign_and_static_entries_fire_beside_our_jobs(installation: Installation) -> None:
    save_entry(installation, "foreign", 1)
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


@on_sqlite
def test_foreign_entries_fire_at_the_rate_of_stock_redbeat(installation: Installation) -> None:
    for name, seconds in (("each", 1), ("third", 3)):
        save_entry(installation, name, seconds)
    installation.start_ready("worker")
    installation.start_ready("scheduler")

    wait_until(lambda: words(installation).count("third") >= 5, "entries fire", timeout_seconds=40)

    # The median: a busy machine may delay one of them.
    for name, seconds in (("each", 1), ("third", 3)):
        times = [at for word, at in notes(installation) if word == name]
        assert median(b - a for a, b in pairwise(times)) < seconds + 0.5


@postgresql_nightly
@pytest.mark.parametrize("installation", [{}], indirect=True)
def test_without_permission_only_the_entries_of_the_code_fire_and_as_the_code_has_them(
    installation: Installation,
) -> None:
    save_entry(installation, "foreign", 1)
    forged = RedBeatSchedulerEntry(
        "static-entry", "stock.note", schedule(1), args=["forged"], app=installation.app
    )
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    wait_until(lambda: STATIC in words(installation), "the entry of the code fires")
    forged.save()
    before = words(installation).count(STATIC)

    wait_until(
        lambda: words(installation).count(STATIC) > before + 2, "it goes on", timeout_seconds=20
    )

    assert set(words(installation)) == {STATIC}
    log = installation.log("scheduler")
    assert log.count("foreign_entries_ignored count=1 names=['foreign']") == 1


@on_sqlite
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
