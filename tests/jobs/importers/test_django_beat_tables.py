"""A row is read as django-celery-beat reads it, or is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs_app.jobs.importers.django_beat_tables import entries_of
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
#: As PostgreSQL has it: aware, and in the zone of the session.
LATER = (AT + timedelta(days=1)).astimezone(ZoneInfo("Europe/Paris"))
EARLIER = "2026-11-29 09:00:00"

ROW: dict[str, Any] = {
    "id": 1,
    "name": "a",
    "task": "t",
    "args": "[]",
    "kwargs": "{}",
    "enabled": True,
    "interval_id": 1,
}
TABLES = {
    "django_celery_beat_intervalschedule": [
        {"id": 1, "every": 10, "period": "minutes"},
        {"id": 2, "every": 500, "period": "microseconds"},
    ],
    "django_celery_beat_crontabschedule": [
        {
            "id": 1,
            "minute": "0",
            "hour": "9",
            "day_of_week": "mon",
            "day_of_month": "1-7",
            "month_of_year": "*",
            "timezone": ZoneInfo("Europe/Paris"),
        },
        {
            "id": 2,
            "minute": "0",
            "hour": "9",
            "day_of_week": "7",
            "day_of_month": "*",
            "month_of_year": "*",
        },
    ],
    "django_celery_beat_clockedschedule": [
        {"id": 1, "clocked_time": EARLIER},
        {"id": 2, "clocked_time": LATER},
    ],
    "django_celery_beat_solarschedule": [{"id": 1, "event": "sunset"}],
}


def entry(**fields: Any) -> PeriodicEntry:
    (made,) = entries_of(TABLES | {"django_celery_beat_periodictask": [ROW | fields]}, at=AT)
    return made


def schedule(**fields: Any) -> Any:
    made = entry(**fields)
    assert made.timing is not None, made.problem
    return made.timing.schedule


CRONTAB = {"interval_id": None, "crontab_id": 1}
CLOCKED = {"interval_id": None, "clocked_id": 2, "one_off": True}


def test_each_kind_of_schedule_is_read() -> None:
    assert schedule() == {"interval_seconds": 600}
    assert schedule(last_run_at=EARLIER) == {
        "interval_seconds": 600,
        "anchor_at": "2026-11-29T09:00:00Z",
    }
    assert schedule(**CRONTAB) == {"cron": "0 9 * * 1#1"}
    monday = entry(**CRONTAB)
    assert monday.timing is not None
    assert monday.timing.timezone == "Europe/Paris"
    assert schedule(**CLOCKED, expires="2099-01-01", start_time=LATER) == {
        "at": "2026-12-01T09:00:00Z"
    }


def test_the_window_and_one_off_are_those_of_the_job() -> None:
    made = entry(**CRONTAB, start_time=LATER, expires="2099-01-01 00:00:00", one_off=1)

    assert made.timing is not None
    assert made.timing.schedule == {
        "cron": "0 9 * * 1#1",
        "start_at": "2026-12-01T09:00:00Z",
        "end_at": "2099-01-01T00:00:00Z",
    }
    assert made.fields == {"max_runs": 1}
    # beat looks for a start in the thirty years before.
    assert "once at its start_time" in made.differences[0]
    assert "start_at" not in schedule(**CRONTAB, start_time=EARLIER)


def test_options_description_and_state_are_those_of_the_job() -> None:
    made = entry(
        queue="slow",
        priority=2,
        expire_seconds=60,
        headers='{"a": 1}',
        description="Nightly",
        enabled=0,
    )

    assert made.fields == {"queue": "slow", "priority": 2}
    assert (made.description, made.is_paused) == ("Nightly", True)
    assert [text.partition("is")[0] for text in made.differences] == [
        "Its option expires (60) ",
        "Its options headers are of the message, and are not followed.",
    ]


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"interval_id": None}, "has no schedule"),
        ({"interval_id": 9}, "not in the database"),
        ({"interval_id": 2}, "0.0005 s is no whole number"),
        ({"interval_id": None, "crontab_id": 2}, "beat itself cannot read its crontab"),
        ({"interval_id": None, "solar_id": 1}, "follows the sun"),
        ({"interval_id": None, "clocked_id": 1, "one_off": True}, "has passed"),
        ({**CLOCKED, "expires": LATER}, "It has expired"),
        ({"expires": EARLIER}, "It has expired (2026-11-29T09:00:00Z)"),
        ({"expires": "soon"}, "'soon' is no time"),
        ({"args": "[1"}, "Its args are no JSON"),
        ({"kwargs": "[]"}, "no JSON object"),
        ({"task": "celery.chord"}, "workflow"),
    ],
)
def test_what_has_no_fires_here_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in entry(**fields).problem


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "celery.backend_cleanup"},
        {"one_off": True, "total_run_count": 1},
        {"interval_id": None, "clocked_id": 1, "one_off": True, "enabled": False},
    ],
)
def test_what_is_over_is_left_out(fields: dict[str, Any]) -> None:
    made = entry(**fields)

    assert made.left_out
    assert not made.problem
