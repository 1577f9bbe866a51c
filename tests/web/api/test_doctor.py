"""GET /doctor: what the web server finds, for admins."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import update

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.scheduler.process_row import ProcessRow
from jobs_app.tasks.user_apps import BrokenModule
from jobs_app.web import extension
from tests.web.conftest import Api


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_admin_reads_what_is_wrong_and_others_do_not(api_of: Callable[..., Api]) -> None:
    answer = api_of("admin").get("/doctor")
    refused = api_of("editor").get("/doctor")

    assert answer.status_code == 200
    found = {item["check"]: item for item in answer.json["findings"]}
    assert found["scheduler"]["level"] == answer.json["level"] == "error"
    assert found["redis"]["docs"] == "docs/doctor.md#redis"
    assert "migrations" in answer.json["passed"]
    assert {"check": "redis_password", "reason": "no Redis is configured"} in answer.json["skipped"]
    assert refused.status_code == 403


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_web_server_compares_itself_with_what_a_scheduler_reports(
    database: Database, api_of: Callable[..., Api]
) -> None:
    row = ProcessRow(database, Settings(timezone="Asia/Tokyo"))
    row.note(clock.now(), is_active=True)
    with database.session() as session, session.begin():
        session.execute(update(SchedulerProcess).values(version="0.0.9"))

    answer = api_of("admin").get("/doctor")

    found = {item["check"]: item["sentence"] for item in answer.json["findings"]}
    assert "0.0.9: scheduler@" in found["versions"]
    assert "; UTC: the web server." in found["settings"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_module_that_the_server_cannot_load_is_a_finding_with_its_error(
    app: Flask, api_of: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        celery = extension.current().app
    broken = {"shop": BrokenModule("shop", ValueError("half a file"))}
    monkeypatch.setattr(celery, "broken_modules", broken, raising=False)

    answer = api_of("admin").get("/doctor")

    (finding,) = [item for item in answer.json["findings"] if item["check"] == "imports"]
    assert finding["level"] == "warning"
    assert finding["sentence"] == (
        "The module 'shop' of JOBS_IMPORTS cannot be imported: ValueError: half a file."
    )
