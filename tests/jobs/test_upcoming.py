"""The next fires of all jobs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.jobs.upcoming import NextFires, moved_jobs, upcoming
from jobs_app.schedules.clock_changes import clock_changes
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import HOUR, NOON, make_job


def test_jobs_that_fire_together_are_named_together(database: Database) -> None:
    for name in ("b", "a"):
        make_job(database, name=name, at=NOON, cron="0 * * * *")
    make_job(database, name="later", at=NOON, cron="0 15 * * *")
    make_job(database, name="by-hand", schedule=None)
    paused = make_job(database, name="paused", at=NOON, cron="0 * * * *")
    with database.session() as session:
        service.pause(session, paused, reason=None, by="ann", at=NOON)

    with database.reading() as session:
        fires = upcoming(session, limit=9).fires
        first = upcoming(session, limit=1).fires

    assert fires == [NextFires(NOON + HOUR, ("a", "b")), NextFires(NOON + 3 * HOUR, ("later",))]
    assert first == fires[:1]


def test_jobs_whose_times_the_clock_moves_are_counted(database: Database) -> None:
    at = datetime(2027, 3, 27, 12, tzinfo=UTC)
    schedules: dict[str, dict[str, Any]] = {
        "first": {"cron": "30 2 * * *"},
        "second": {"cron": "30 2 * * *"},
        "other-zone": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        "far-zone": {"cron": "30 2 * * *", "timezone": "Asia/Tokyo"},
        "hashed": {"cron": "H 2 * * *"},
        "hourly": {"cron": "0 * * * *"},
        "later": {"cron": "0 4 * * *"},
        "daily": {"every": "1 day", "anchor_at": datetime(2027, 1, 1, 1, 10, tzinfo=UTC)},
        "paused": {"cron": "30 2 * * *"},
        "resumes": {"cron": "30 2 * * *"},
        "last-run": {"cron": "30 2 * * *"},
        "ran-out": {"cron": "30 1,2 * * *"},
    }
    max_runs = {"last-run": 1, "ran-out": 1}
    for name, facts in schedules.items():
        schedule = Schedule(**{"timezone": "Europe/Paris", "seed": name, **facts})
        job = make_job(database, name=name, at=at, schedule=schedule, max_runs=max_runs.get(name))
        until = at + HOUR if name == "resumes" else None
        if name in ("paused", "resumes"):
            with database.session() as session:
                service.pause(session, job, reason=None, by="ann", at=at, until=until)
    changes = clock_changes(["Europe/Paris", "Europe/Berlin"], after=at)

    with database.reading() as session:
        moved = moved_jobs(session, changes, after=at)

    assert [change.timezone for change in changes] == ["Europe/Berlin", "Europe/Paris"]
    # In Paris: first, second, hashed, daily, resumes, last-run.
    assert moved == [1, 6]


def test_the_clock_moves_a_job_by_any_of_its_schedules_once(database: Database) -> None:
    at = datetime(2027, 3, 27, 12, tzinfo=UTC)
    in_paris = Schedule(cron="30 2 * * *", timezone="Europe/Paris")
    parts = (Schedule(interval_seconds=3600), in_paris, replace(in_paris, cron="15 2 * * *"))
    make_job(database, at=at, schedule=Schedules(parts))
    make_job(database, at=at, schedule=Schedules((Schedule(cron="0 4 * * *"), *parts[:1])))

    with database.reading() as session:
        zones = upcoming(session, limit=9).timezones
        changes = clock_changes(zones, after=at)
        moved = moved_jobs(session, changes, after=at)

    assert zones == {"UTC", "Europe/Paris"}
    assert moved == [1]
