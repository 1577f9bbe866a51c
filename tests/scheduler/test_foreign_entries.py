"""Entries of RedBeat that are not jobs: by permission, or as the code declares them."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery.schedules import schedule
from cryptography.fernet import Fernet
from redbeat import RedBeatScheduler, RedBeatSchedulerEntry
from redbeat.schedulers import get_redis

from jobs_app.celery_app import JobsCelery, make_celery
from jobs_app.core.settings import Settings
from jobs_app.scheduler.foreign_entries import ForeignEntries
from tests.servers import ValkeyServer


@pytest.fixture
def app(valkey: ValkeyServer) -> Iterator[JobsCelery]:
    settings = Settings(
        redis_url=valkey.url,
        redis_prefix=f"{uuid4()}:",
        secret_key=Fernet.generate_key().decode(),
    )
    made = make_celery(settings)
    made.conf.beat_schedule = {"static": {"task": "in.code", "schedule": 3.0}}
    yield made
    made.close()


def save(app: JobsCelery, name: str, task: str, seconds: float) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        entry = RedBeatSchedulerEntry(
            name, task, schedule(seconds), app=app, last_run_at=datetime(2026, 1, 1, tzinfo=UTC)
        ).save()
    return str(entry.key)


def sent(app: JobsCelery) -> list[str]:
    """Take the messages out of the default queue and return their tasks."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        messages = iter(lambda: channel.basic_get("default"), None)
        return [message.headers["task"] for message in messages]


def entries(app: JobsCelery, *, are_allowed: bool) -> ForeignEntries:
    return ForeignEntries(RedBeatScheduler(app, lazy=True), are_allowed=are_allowed)


def test_an_entry_that_was_found_too_early_says_how_long_to_wait(app: JobsCelery) -> None:
    key, other = save(app, "foreign", "some.task", 3), save(app, "other", "other.task", 60)
    foreign = entries(app, are_allowed=True)

    first = foreign.send([key, other])
    second = foreign.send([key, other])

    assert sent(app) == ["some.task", "other.task"]
    assert first == timedelta(seconds=3)
    assert second is not None
    assert timedelta(0) < second < timedelta(seconds=3)


def test_without_permission_an_entry_is_left_alone(
    app: JobsCelery, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [save(app, f"foreign-{number}", "some.task", 1) for number in range(20)]
    foreign = entries(app, are_allowed=False)

    assert foreign.send(keys) is None
    assert foreign.send(keys) is None

    assert sent(app) == []
    assert get_redis(app).zscore(f"{app.settings.redis_prefix}redbeat::schedule", keys[0])
    [warning] = [record.getMessage() for record in caplog.records]
    assert "count=20" in warning
    assert "foreign-0" in warning


def test_an_entry_of_the_code_is_sent_as_the_code_has_it(app: JobsCelery) -> None:
    key = save(app, "static", "forged.task", 1)

    assert entries(app, are_allowed=False).send([key]) == timedelta(seconds=3)

    assert sent(app) == ["in.code"]
