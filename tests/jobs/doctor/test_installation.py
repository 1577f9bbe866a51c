"""Installations that are set up wrong on purpose, as the database knows them."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.jobs.doctor import installation
from jobs_app.jobs.doctor.findings import Finding
from jobs_app.schedules import zone_data
from jobs_app.secrets import store
from jobs_app.secrets.encryption import load_cipher
from tests.factories import MINUTE, NOON, SECOND, make_job, make_run, make_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def levels(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, str(finding.level)) for finding in findings]


def add_scheduler(database: Database, **values: object) -> None:
    facts = {"name": "scheduler@a", "pid": 1, "started_at": NOON - MINUTE, "ticked_at": NOON}
    with database.session() as session:
        session.add(SchedulerProcess(**(facts | {"id": new_run_id(), "is_active": True} | values)))
        session.commit()


@pytest.mark.parametrize("revision, sentence", [("0022", "needs"), ("9999", "newer version")])
def test_another_schema(database: Database, revision: str, sentence: str) -> None:
    with database.session() as session:
        session.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        session.commit()

    with database.reading() as session:
        (found,) = installation.migrations(session)

    assert (found.check, found.level) == ("migrations", "error")
    assert sentence in found.sentence


def test_no_scheduler_looks(database: Database) -> None:
    with database.reading() as session:
        assert levels(installation.schedulers(session, Settings(), at=NOON)) == [
            ("scheduler", "error")
        ]
    add_scheduler(database)
    with database.reading() as session:
        assert levels(installation.schedulers(session, Settings(), at=NOON)) == []


@pytest.mark.parametrize("seconds, silence, count", [(8, 13, 1), (8, 11, 0), (2, 0, 1), (2, 7, 2)])
def test_a_lock_that_is_shorter_than_a_tick(
    database: Database, seconds: int, silence: int, count: int
) -> None:
    add_scheduler(database)
    settings = Settings(scheduler_lock_seconds=seconds)

    with database.reading() as session:
        found = levels(installation.schedulers(session, settings, at=NOON + silence * SECOND))

    assert found == [("scheduler_lock", "warning")] * count


def test_a_scheduler_that_was_killed_is_in_no_tick(database: Database) -> None:
    add_scheduler(database)
    add_scheduler(database, started_at=NOON + 5 * SECOND, ticked_at=NOON + 30 * SECOND)

    with database.reading() as session:
        found = list(installation.schedulers(session, Settings(), at=NOON + 30 * SECOND))

    assert found == []


def test_a_database_without_a_schema_needs_no_backup_first(database: Database) -> None:
    with database.session() as session:
        session.execute(text("DELETE FROM alembic_version"))
        (found,) = installation.migrations(session)

    assert (found.check, found.level) == ("migrations", "error")
    assert "backup" not in found.remedy
    assert "jobs-app restore" in found.remedy


def test_a_queue_without_a_worker(database: Database) -> None:
    make_worker(database)
    idle = make_job(database, name="idle", queue="nobody")
    busy = make_job(database, name="busy", queue="waiting")
    make_job(database, name="served")
    make_run(database, busy, state=RunState.QUEUED)

    with database.reading() as session:
        found = list(installation.queues(session))

    assert levels(found) == [("queues", "warning"), ("queues", "error")]
    assert "'nobody': 1 job names it" in found[0].sentence
    assert "jobs-app worker --queues waiting" in found[1].remedy
    assert idle.queue == "nobody"


def test_a_worker_that_cannot_import_its_tasks(database: Database) -> None:
    worker_id = make_worker(database)
    with database.session() as session:
        session.get_one(Worker, worker_id).problem = "It cannot import shop."
        session.commit()

    with database.reading() as session:
        assert levels(installation.workers(session)) == [("workers", "warning")]


def test_zone_data_of_different_versions(database: Database) -> None:
    add_scheduler(database, tzdata="1999z")

    with database.reading() as session:
        (found,) = installation.zone_data_versions(session, "this process", at=NOON)

    assert (found.check, found.level) == ("zone_data", "warning")
    assert "1999z: scheduler@a" in found.sentence
    assert f"{zone_data.version()}: this process" in found.sentence
    add_scheduler(database, name="old", tzdata="1998z", ticked_at=NOON - 10 * MINUTE)
    with database.reading() as session:
        (found,) = installation.zone_data_versions(session, "this process", at=NOON)
    assert "1998z" not in found.sentence


def test_a_password_in_plain_arguments(database: Database) -> None:
    arguments = {"url": "https://example.org", "headers": {"Authorization": "Bearer abcdef"}}
    make_job(database, name="plain", task="http", kwargs=arguments)
    make_job(database, name="fine", task="shell", kwargs={"command": 'mysql -p"$DB"'})
    make_job(database, name="dump", task="shell", kwargs={"command": "mysqldump -pfedcba shop"})

    with database.reading() as session:
        (found,) = installation.secrets(session)

    assert (found.check, found.level) == ("secrets", "warning")
    places = "dump (-p of mysqldump in the command), plain (kwargs.headers.Authorization)"
    assert f"2 jobs have a password or a token in plain text: {places}." == found.sentence


def test_a_worker_whose_clock_is_ahead(database: Database, tmp_path: Path) -> None:
    make_worker(database, at=NOON + timedelta(minutes=5))

    with database.reading() as session:
        (reading,) = installation.process_clocks(session, at=NOON)

    assert reading.ahead == 300


def test_secrets_that_no_key_reads(database: Database, tmp_path: Path) -> None:
    old, new = (Settings(data_dir=tmp_path / name) for name in ("old", "new"))
    with database.session() as session:
        assert list(installation.secret_key(session, new)) == []
        cipher = load_cipher(old, makes_key=True)
        store.put(
            session,
            "db",
            value="hunter2",
            description=None,
            version=None,
            cipher=cipher,
            by="ann",
            at=NOON,
        )

    with database.reading() as session:
        assert list(installation.secret_key(session, old)) == []
        (missing,) = installation.secret_key(session, new)
        load_cipher(new, makes_key=True)
        (other,) = installation.secret_key(session, new)

    assert levels([missing, other]) == [("secret_key", "error")] * 2
    assert "There is no key" in missing.sentence
    assert "1 encrypted value" in other.sentence


@pytest.mark.parametrize("is_file", [True, False])
def test_a_key_that_is_none_is_named_before_anything_is_encrypted(
    database: Database, tmp_path: Path, is_file: bool
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=None if is_file else "short")
    if is_file:
        settings.secret_key_file.write_text("short")
        settings.secret_key_file.chmod(0o600)

    with database.reading() as session:
        (found,) = installation.secret_key(session, settings)

    assert (found.check, found.level) == ("secret_key", "error")
    assert "is no key" in found.sentence
