"""The definition of an entry: stock RedBeat reads it."""

from typing import Any

import pytest
from redbeat.schedulers import RedBeatSchedulerEntry

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import make_job


@pytest.mark.parametrize(
    "when, shown",
    [
        ({"cron": "*/5 9-17 * * 1-5"}, "<crontab: */5 9-17 * * 1-5 (m/h/dM/MY/d)>"),
        ({"interval_seconds": 90}, "<freq: 1.50 minutes>"),
        ({"every": "2 weeks"}, "<freq: 14.00 days>"),
        ({"cron": "0 3 L * *"}, "<freq: 1.00 day>"),
        ({"cron": "0 3 1W,L-3 * *"}, "<freq: 1.00 day>"),
        # An entry holds one schedule.
        (
            {"schedule": Schedules((Schedule(interval_seconds=90), Schedule(cron="@daily")))},
            "<freq: 1.50 minutes>",
        ),
    ],
)
def test_redbeats_own_loader_reads_an_entry(
    database: Database,
    projection: Projection,
    redis_settings: Settings,
    when: dict[str, Any],
    shown: str,
) -> None:
    job = make_job(database, name="nightly", **when)
    projection.write([job])

    entry = RedBeatSchedulerEntry.from_key(projection.key(job.id), app=make_celery(redis_settings))

    assert (entry.name, entry.args, entry.options["shadow"]) == (
        f"job:{job.id}",
        [job.id],
        "nightly",
    )
    assert repr(entry.schedule) == shown
