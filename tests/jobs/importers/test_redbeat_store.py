"""Entries that RedBeat itself wrote are read as it reads them, and nothing is written."""

import json
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import RedBeatScheduler, get_redis
from redbeat.schedules import rrule

from jobs_app.jobs import redbeat_definition
from jobs_app.jobs.importers import redbeat_store
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry
from jobs_app.jobs.importers.redbeat_store import StoredEntry, entries_of, read_store
from tests.servers import ValkeyServer

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
LAST = datetime(2026, 11, 30, 8, 59, 30, 500, tzinfo=UTC)


@pytest.fixture
def app(valkey: ValkeyServer) -> Iterator[Celery]:
    app = Celery("theirs", set_as_current=False)
    app.conf.update(
        redbeat_redis_url=valkey.url,
        redbeat_redis_options={},
        redbeat_key_prefix=f"{uuid4()}:",
        beat_schedule={"in code": {"task": "t", "schedule": 3.0}},
    )
    yield app
    get_redis(app).close()
    app.close()


def save(app: Celery, name: str, beat_schedule: Any, **fields: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        RedBeatSchedulerEntry(
            name, "shop.tasks.t", beat_schedule, app=app, **{"last_run_at": LAST, **fields}
        ).save()


def contents(app: Celery) -> dict[str, Any]:
    client = get_redis(app)
    prefix = app.conf["redbeat_key_prefix"]
    return {
        key: client.hgetall(key)
        for key in client.scan_iter(f"{prefix}*")
        if client.type(key) == "hash"
    } | {"zset": client.zrange(f"{prefix}:schedule", 0, -1, withscores=True)}


def read(app: Celery, *, timezone: str = "UTC") -> dict[str, PeriodicEntry]:
    stored = read_store(app.conf["redbeat_redis_url"], app.conf["redbeat_key_prefix"])
    return {entry.key: entry for entry in entries_of(stored, timezone=timezone, at=AT)}


def test_each_entry_is_read_as_redbeat_wrote_it(app: Celery) -> None:
    RedBeatScheduler(app)
    first_monday = crontab(30, 7, day_of_month="1-7", day_of_week="mon", app=app)
    save(app, "monday", first_monday, args=[1], kwargs={"a": [2]}, options={"queue": "slow"})
    save(app, "often", schedule(60, app=app), enabled=False)
    save(app, "hourly", schedule(3600, relative=True, app=app))
    save(app, "rule", rrule("DAILY", dtstart=AT, count=3, app=app))
    save(app, "dated", schedule(60, app=app), kwargs={"since": AT})
    before = contents(app)

    entries = read(app)

    assert contents(app) == before
    monday, often, hourly = (entries[name] for name in ("monday", "often", "hourly"))
    assert monday.timing is not None
    assert monday.timing.schedule == {"cron": "30 7 * * 1#1"}
    assert (monday.timing.timezone, monday.task) == (None, "shop.tasks.t")
    assert (monday.args, monday.kwargs, monday.fields) == ([1], {"a": [2]}, {"queue": "slow"})
    assert often.timing is not None
    # It goes on as beat would: 60 seconds after the last start.
    assert often.timing.schedule == {
        "interval_seconds": 60,
        "anchor_at": "2026-11-30T08:59:30Z",
    }
    assert (often.is_paused, monday.is_paused) == (True, False)
    assert hourly.timing is not None
    assert hourly.timing.schedule == {"cron": "0 * * * *"}
    rule = entries["rule"].timing
    assert rule is not None
    assert rule.schedule == {"cron": "0 9 * * *", "end_at": "2026-12-02T09:00:01Z"}
    assert rule.timezone == "UTC"
    assert entries["dated"].kwargs == {"since": AT}
    assert redbeat_store.STATIC in entries["in code"].differences
    assert redbeat_store.STATIC not in monday.differences


def entry(definition: object, meta: str | None = None) -> PeriodicEntry:
    text = definition if isinstance(definition, str | None) else json.dumps(definition)
    (made,) = entries_of([StoredEntry("a", text, meta, False)], timezone="UTC", at=AT)
    return made


@pytest.mark.parametrize(
    "definition, words",
    [
        (None, "no definition"),
        ("{", "RedBeat itself cannot read it"),
        ("[]", "no object of JSON"),
        ({"task": "t"}, "has no schedule"),
        ({"task": "t", "schedule": {"__type__": "interval", "every": "x"}}, "cannot read it"),
        ({"task": "t", "schedule": {"__type__": "crontab", "hour": "25"}}, "25"),
        ({"task": "t", "schedule": {"__type__": "weekday", "wkday": 1}}, "has no schedule"),
        ({"task": "t", "schedule": {"__type__": "rrule", "freq": 3}}, "cannot read its rule"),
        ({"task": "celery.group", "schedule": {"__type__": "interval", "every": 5}}, "workflow"),
    ],
)
def test_what_redbeat_does_not_start_is_refused(definition: object, words: str) -> None:
    problem = entry(definition).problem

    assert words in problem


def test_entries_of_celery_and_of_jobs_app_are_left_out() -> None:
    assert redbeat_store.OUR_TASK == redbeat_definition.LOOK_TASK
    for task in ("celery.backend_cleanup", redbeat_store.OUR_TASK):
        assert entry({"task": task, "schedule": {"__type__": "interval", "every": 5}}).left_out


def test_an_interval_that_never_started_has_no_anchor() -> None:
    definition = {"task": "t", "schedule": {"__type__": "interval", "every": 5}}

    for meta in (None, '{"last_run_at": null}', "{"):
        made = entry(definition, meta)
        assert made.timing is not None
        assert made.timing.schedule == {"interval_seconds": 5}


def test_a_next_start_that_redbeat_has_in_another_zone_is_named(app: Celery) -> None:
    app.conf.update(timezone="Europe/Paris")
    save(app, "daily", crontab(30, 7, app=app), last_run_at=datetime.now(UTC))

    def zone_differences(timezone: str) -> list[str]:
        texts = read(app, timezone=timezone)["daily"].differences
        return [text for text in texts if "--timezone" in text]

    (text,) = zone_differences("UTC")
    assert re.search(r"next at \S+T0[56]:30:00Z; in UTC that is \S+T07:30:00Z", text)
    assert zone_differences("Europe/Paris") == []
    # RedBeat scores a start that is overdue, or a changed entry, by the time of its look.
    client = get_redis(app)
    prefix = app.conf["redbeat_key_prefix"]
    client.zadd(f"{prefix}:schedule", {f"{prefix}daily": LAST.timestamp() + 10_000})
    assert zone_differences("UTC") == []
