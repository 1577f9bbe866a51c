"""One warning names the periodic tasks that nothing starts, until they are jobs."""

import logging

import pytest
from celery import Celery

from jobs_app.db.engine import Database
from jobs_app.scheduler.ignored_schedules import warn_of_ignored_schedules
from jobs_app.tasks import user_apps
from jobs_app.tasks.user_apps import IgnoredSchedules
from tests.factories import make_job

APP = Celery("ours", set_as_current=False)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def warnings(
    database: Database,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ignored: IgnoredSchedules | None,
) -> list[str]:
    monkeypatch.setattr(user_apps, "ignored_schedules", lambda *_: ignored)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        warn_of_ignored_schedules(APP, ["shop.celery"], database)
    return [record.getMessage() for record in caplog.records]


def test_one_warning_has_the_names_and_the_command(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = IgnoredSchedules(["Nightly report", "sync"], ["shop.celery"], 0)

    (text,) = warnings(database, caplog, monkeypatch, ignored)

    assert "count=2 names=Nightly report, sync" in text
    assert "jobs-app import beat shop.celery" in text
    assert warnings(database, caplog, monkeypatch, None) == []


def test_what_was_imported_is_not_named_again(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = IgnoredSchedules(["Nightly report", "sync"], ["shop.celery"], 1)
    make_job(database, name="shop-nightly-report-2", origin="beat shop.celery")
    make_job(database, name="sync")

    (text,) = warnings(database, caplog, monkeypatch, ignored)
    make_job(database, name="sync-2", origin="beat shop.celery")

    assert "count=1 names=sync" in text
    assert warnings(database, caplog, monkeypatch, ignored) == []


def test_functions_that_wait_in_vain_are_warned_of(
    database: Database, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored = IgnoredSchedules([], ["shop.celery"], 2)

    (text,) = warnings(database, caplog, monkeypatch, ignored)

    assert "waiting_functions=2" in text
