"""Schedulers and workers of other versions, or with other settings, as their rows say."""

from typing import Any

import pytest
from sqlalchemy import update

from jobs_app import __version__
from jobs_app.core import reported_settings
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs.doctor import processes
from jobs_app.jobs.doctor.findings import Finding
from jobs_app.runs import workers
from jobs_app.runs.workers import Registration
from jobs_app.scheduler.process_row import ProcessRow
from tests.factories import MINUTE, NOON


def add_scheduler(database: Database, pid: int = 1, **values: Any) -> None:
    row = ProcessRow(database, Settings(**values))
    row.note(NOON, is_active=False)
    with database.session() as session, session.begin():
        changed = {"name": "scheduler@a", "pid": pid}
        session.execute(
            update(SchedulerProcess).where(SchedulerProcess.id == row._id).values(changed)
        )


def add_worker(
    database: Database,
    name: str,
    *,
    queues: tuple[str, ...] = ("default",),
    version: str = __version__,
    **values: Any,
) -> None:
    settings = reported_settings.of_worker(Settings(**values))
    registration = Registration(name, 1, queues, 2, "prefork", version=version, settings=settings)
    with database.session() as session:
        workers.register(session, registration, at=NOON)


def found(database: Database, web_server: Settings | None = None) -> list[Finding]:
    own = None if web_server is None else reported_settings.of_web_server(web_server)
    with database.reading() as session:
        living = processes.living(session, web_server=own, at=NOON)
    return [*processes.versions(living), *processes.settings(living)]


def test_processes_that_agree_are_no_finding(database: Database) -> None:
    add_scheduler(database, 1)
    add_scheduler(database, 2)
    add_worker(database, "a")
    add_worker(database, "b", worker_concurrency=9)

    assert found(database, Settings()) == []


def test_processes_of_other_versions_are_named(database: Database) -> None:
    add_scheduler(database)
    add_worker(database, "new@a", version="99.0")
    add_worker(database, "this@a")
    with database.session() as session:
        workers.register(session, Registration("old@b", 1, ("q",), 1, "prefork"), at=NOON)

    (finding,) = found(database)

    assert (finding.check, finding.level) == ("versions", "warning")
    assert f"jobs-app {__version__}," in finding.sentence
    assert finding.sentence.endswith(": 99.0: new@a; an older one: old@b.")


def test_a_scheduler_that_is_gone_is_not_compared(database: Database) -> None:
    add_scheduler(database, 1)
    add_scheduler(database, 2, keep_days=7)
    with database.session() as session, session.begin():
        gone = update(SchedulerProcess).where(SchedulerProcess.pid == 2)
        session.execute(gone.values(ticked_at=NOON - 2 * MINUTE))

    assert found(database) == []


def test_schedulers_with_other_settings_are_named_with_their_values(database: Database) -> None:
    add_scheduler(database, 1)
    add_scheduler(database, 2, keep_days=7)

    (finding,) = found(database)

    assert (finding.check, finding.level) == ("settings", "warning")
    assert "JOBS_KEEP_DAYS is not the same" in finding.sentence
    assert "7: scheduler@a (process 2); 90: scheduler@a (process 1)." in finding.sentence
    assert "Set the same JOBS_KEEP_DAYS" in finding.remedy


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_web_server_is_compared_where_it_uses_a_setting(database: Database) -> None:
    add_scheduler(database, timezone="Europe/Paris", lost_seconds=40, notify_per_minute=3)

    (finding,) = found(database, Settings())

    assert "JOBS_TIMEZONE" in finding.sentence
    assert "Europe/Paris: scheduler@a (process 1); UTC: the web server." in finding.sentence


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_prefix_is_an_error(database: Database) -> None:
    add_scheduler(database)
    add_worker(database, "a", redis_prefix="other:")

    (finding,) = found(database)

    assert finding.level == "error"
    assert "JOBS_REDIS_PREFIX" in finding.sentence


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_workers_are_compared_with_those_of_their_queues(database: Database) -> None:
    add_worker(database, "a", queues=("default", "mail"), shells="/bin/bash, /bin/zsh")
    add_worker(database, "same", shells="/bin/bash,/bin/zsh")
    add_worker(database, "other", queues=("reports",), shells="/bin/dash")
    assert found(database) == []

    add_worker(database, "b", queues=("mail",), shells="")
    (finding,) = found(database)

    assert "JOBS_SHELLS" in finding.sentence
    assert ": /bin/bash,/bin/zsh: a; empty: b." in finding.sentence


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seconds, count", [(19.5, 0), (20, 1)])
def test_a_fence_that_is_not_shorter_than_the_wait_of_a_scheduler(
    database: Database, seconds: float, count: int
) -> None:
    add_scheduler(database, lost_seconds=20, fence_seconds=10)
    add_worker(database, "slow", fence_seconds=seconds)

    findings = found(database)

    assert [finding.level for finding in findings] == ["error"] * count
    assert all("slow" in finding.sentence for finding in findings)
