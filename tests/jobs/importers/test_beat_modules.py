"""The entries of a beat_schedule are read as beat reads them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab, schedule

from jobs_app.jobs.importers.beat_modules import entry_of
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry

AT = datetime(2026, 11, 30, 9, 41, 7, tzinfo=UTC)
APP = Celery("theirs", set_as_current=False)


def entry(**fields: Any) -> PeriodicEntry:
    return entry_of("a", fields, APP, at=AT)


def schedule_of(made: PeriodicEntry) -> dict[str, Any]:
    assert made.timing is not None, made.problem
    return made.timing.schedule


def test_an_entry_is_a_mapping_or_one_of_beats_own() -> None:
    own = ScheduleEntry(name="a", task="t", schedule=schedule(30), args=(1,), app=APP)

    assert schedule_of(entry_of("a", own, APP, at=AT)) == {"interval_seconds": 30}
    assert schedule_of(entry(task="t", schedule=30)) == {"interval_seconds": 30}
    assert schedule_of(entry(task="t", schedule=timedelta(days=1), relative=True)) == {
        "cron": "0 0 * * *"
    }


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"task": "t"}, "has no schedule"),
        ({"schedule": 30}, "names no task"),
        ({"task": "t", "schedule": "hourly"}, "Its schedule raises AttributeError"),
        ({"task": "celery.chain", "schedule": 30}, "a workflow of Celery's"),
    ],
)
def test_what_is_no_periodic_task_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in entry(**fields).problem
    assert "no entry" in entry_of("a", 3, APP, at=AT).problem


def test_the_deadline_of_beat_for_crontabs_is_followed() -> None:
    app = Celery("late", set_as_current=False)
    app.conf.beat_cron_starting_deadline = 600

    made = entry_of("a", {"task": "t", "schedule": crontab()}, app, at=AT)
    interval = entry_of("a", {"task": "t", "schedule": 30}, app, at=AT)

    assert made.fields == {"catchup_window_seconds": 600, "starting_deadline_seconds": 60}
    assert interval.fields == {}


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_an_entry_has_the_queue_that_its_application_gives_it() -> None:
    app = Celery("routed", set_as_current=False)
    app.conf.task_default_queue = "web"
    app.conf.task_routes = {"reports.*": {"queue": "reports"}}
    app.task(name="own", queue="pinned", shared=False)(schedule_of)

    def queue_of(task: str, **fields: Any) -> str | None:
        return entry_of("a", {"task": task, "schedule": 30, **fields}, app, at=AT).queue_there

    assert queue_of("other") == "web"
    assert queue_of("reports.sales") == "reports"
    assert queue_of("own") == "pinned"
    assert queue_of("other", options={"queue": "slow"}) == "slow"


def test_routes_of_the_user_that_fail_leave_the_queue_unknown() -> None:
    app = Celery("broken_routes", set_as_current=False)
    app.conf.task_routes = [lambda *_, **__: 1 / 0]

    made = entry_of("a", {"task": "t", "schedule": 30}, app, at=AT)

    assert (made.queue_there, made.problem) == (None, "")
