"""Restores: the same rows on any database, whole or not at all, and nothing runs in a burst."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from jobs_app.core.settings import Settings
from jobs_app.core.states import JobState, RunState
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.db.models.secrets import Secret
from jobs_app.jobs import service
from jobs_app.jobs.backup import write_backup
from jobs_app.jobs.restore import Restored, restore
from jobs_app.runs import fires
from jobs_app.secrets import store
from jobs_app.secrets.encryption import load_cipher
from tests.factories import DAY, HOUR, MINUTE, NOON, claim, make_job, make_run, make_worker

#: Each restore migrates a new database twice, which takes a second.
ON_SQLITE = pytest.mark.parametrize(
    "database_url, unmigrated_database_url", [("sqlite", "sqlite")], indirect=True
)

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def source(database_url: str, tmp_path: Path) -> Settings:
    """The settings of the installation that is backed up."""
    return Settings(data_dir=tmp_path / "source", database_url=database_url)


@pytest.fixture
def target(unmigrated_database_url: str, tmp_path: Path) -> Settings:
    """The settings of a new installation."""
    return Settings(data_dir=tmp_path / "target", database_url=unmigrated_database_url)


def _order(row: tuple[Any, ...]) -> str:
    return f"{row[0]:>9}" if isinstance(row[0], int) else repr(row)


def backed_up(settings: Settings, tmp_path: Path, *, with_key: bool = False) -> bytes:
    file = tmp_path / "jobs.gz"
    write_backup(settings, file, with_key=with_key, replaces=True, at=NOON)
    return file.read_bytes()


def restored(settings: Settings, data: bytes, **options: Any) -> Restored:
    wanted: dict[str, Any] = {"is_paused": False, "replaces": False, "at": NOON} | options
    return restore(settings, io.BytesIO(data), **wanted)


def all_rows(settings: Settings) -> Rows:
    """Return the rows of all tables, as a program of ours reads them."""
    database = Database(settings.effective_database_url)
    found: Rows = {}
    with database.reading() as session:
        for mapper in Job.registry.mappers:
            rows = session.execute(select(mapper.local_table)).all()
            found[str(mapper.local_table)] = sorted((tuple(row) for row in rows), key=_order)
    database.close()
    return found


def add_history(database: Database) -> Job:
    """Add a job with runs, a log, a secret and odd texts."""
    job = make_job(database, name="a", at=NOON, cron="0 * * * *", description='Ü "\\\n\t😀')
    first = make_run(database, job, state=RunState.SUCCEEDED, at=NOON)
    second = make_run(database, job, state=RunState.FAILED, at=NOON + MINUTE)
    with database.session() as session:
        session.get_one(Run, first).result = {"b": 1, "a": None}
        session.get_one(Run, second).retry_of = first
        chunk = {"run_id": first, "attempt": 1, "seq": 0, "stream": "stdout", "at": NOON}
        session.add(LogChunk(**chunk, text="a line\\N\t\r\n"))
        session.commit()
    return job


@pytest.mark.parametrize(
    "database_url, unmigrated_database_url",
    [
        ("sqlite", "postgresql"),
        ("postgresql", "sqlite"),
        pytest.param("sqlite", "sqlite", marks=pytest.mark.nightly),
        pytest.param("postgresql", "postgresql", marks=pytest.mark.nightly),
    ],
    indirect=True,
)
def test_all_rows_are_the_same_on_the_other_database(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    add_history(database)
    before = all_rows(source)

    done = restored(target, backed_up(source, tmp_path))

    after = all_rows(target)
    *events, event = after.pop("audit_events")
    assert events == before.pop("audit_events")
    assert "restore_backup" in event
    assert after == before
    assert done.rows > 4


@ON_SQLITE
def test_an_id_is_not_given_twice(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    make_job(database, name="a")
    last = make_job(database, name="b")
    with database.session() as session:
        session.execute(text("DELETE FROM job_revisions"))
        session.execute(text("DELETE FROM jobs WHERE name = 'b'"))
        session.commit()

    restored(target, backed_up(source, tmp_path))

    copy = Database(target.effective_database_url)
    assert make_job(copy, name="c").id == last.id + 1
    copy.close()


@ON_SQLITE
def test_fires_since_the_backup_are_missed_and_do_not_run(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    make_job(database, name="a", at=NOON, cron="0 * * * *")
    make_job(database, name="later", at=NOON, cron="0 0 1 1 *")
    at = NOON + 3 * DAY + 30 * MINUTE

    done = restored(target, backed_up(source, tmp_path), at=at)

    copy = Database(target.effective_database_url)
    with copy.session() as session:
        runs = list(session.scalars(select(Run)))
        job = session.scalars(select(Job).where(Job.name == "a")).one()
        overdue = fires.overdue_jobs(session, at=at, limit=10)
    copy.close()
    assert done.late_jobs == 1
    assert {run.state for run in runs} == {RunState.MISSED}
    assert sum(run.fires for run in runs) == 72
    assert job.next_fire_at == NOON + 3 * DAY + HOUR
    assert overdue == []


@ON_SQLITE
def test_a_paused_copy_starts_nothing_and_has_an_id_of_its_own(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    job = make_job(database, name="a", at=NOON, cron="0 * * * *")
    paused = make_job(database, name="b", at=NOON, cron="0 * * * *")
    with database.session() as session:
        service.pause(session, paused, reason=None, by="ann", at=NOON, until=NOON + DAY)
    for state in (RunState.WAITING, RunState.QUEUED, RunState.SUCCEEDED):
        make_run(database, job, state=state)
    claim(database, make_run(database), make_worker(database))
    before = all_rows(source)

    done = restored(target, backed_up(source, tmp_path), is_paused=True, at=NOON + DAY)

    copy = Database(target.effective_database_url)
    with copy.reading() as session:
        jobs = {one.name: one for one in session.scalars(select(Job))}
        states = sorted(session.scalars(select(Run.state)))
        reasons = set(session.scalars(select(Run.reason)))
    copy.close()
    assert done.paused_jobs == 1
    assert {one.state for one in jobs.values()} == {JobState.PAUSED}
    assert {one.next_fire_at for one in jobs.values()} == {None}
    assert jobs["a"].paused_at == NOON
    assert jobs["b"].paused_until is None
    ended = [RunState.CANCELLED, RunState.CANCELLED, RunState.LOST, RunState.SUCCEEDED]
    assert states == ended
    assert reasons == {"restored_paused", None}
    assert all_rows(target)["installation"] != before["installation"]


@ON_SQLITE
def test_a_backup_that_is_not_whole_changes_nothing(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    add_history(database)
    data = backed_up(source, tmp_path)

    with pytest.raises(BackupError):
        restored(target, data[:-9])

    other = Database(target.effective_database_url)
    with other.engine.connect() as connection:
        assert table_copy.tables(connection) == []
    other.close()


def test_a_database_that_has_jobs_is_replaced_only_if_asked(
    database: Database, source: Settings, tmp_path: Path
) -> None:
    make_job(database, name="old")
    data = backed_up(source, tmp_path)
    make_job(database, name="new")
    database.close()

    with pytest.raises(BackupError, match="not empty"):
        restored(source, data)
    done = restored(source, data, replaces=True)

    assert [row[1] for row in all_rows(source)["jobs"]] == ["old"]
    if done.replaced is not None:
        kept = Settings(data_dir=tmp_path, database_url=f"sqlite:///{done.replaced}")
        assert len(all_rows(kept)["jobs"]) == 2


def test_a_database_in_use_is_refused(database: Database, source: Settings, tmp_path: Path) -> None:
    make_job(database, name="old")
    data = backed_up(source, tmp_path)

    with database.reading() as session:
        session.execute(select(Job)).all()
        with pytest.raises(BackupError, match="uses the database"):
            restored(source, data, replaces=True)

    assert len(all_rows(source)["jobs"]) == 1


@ON_SQLITE
def test_a_backup_of_a_newer_version_is_refused(
    database: Database, source: Settings, target: Settings, tmp_path: Path
) -> None:
    data = gzip.decompress(backed_up(source, tmp_path))
    revision = data.split(b'"revision":"')[1][:4]
    newer = gzip.compress(data.replace(revision, b"9999", 1))

    with pytest.raises(BackupError, match="newer version"):
        restored(target, newer)


@ON_SQLITE
@pytest.mark.parametrize("with_key, has_other_key", [(True, False), (True, True), (False, True)])
def test_secrets_can_be_read_if_the_key_came_along(
    database: Database,
    source: Settings,
    target: Settings,
    tmp_path: Path,
    with_key: bool,
    has_other_key: bool,
) -> None:
    with database.session() as session:
        cipher = load_cipher(source, makes_key=True)
        options: dict[str, Any] = {"description": None, "version": None, "by": "ann", "at": NOON}
        store.put(session, "db", value="hunter2", cipher=cipher, **options)
    if has_other_key:
        load_cipher(target, makes_key=True)

    done = restored(target, backed_up(source, tmp_path, with_key=with_key))

    assert done.unreadable == (0 if with_key else 1)
    copy = Database(target.effective_database_url)
    with copy.reading() as session:
        encrypted = session.scalars(select(Secret.encrypted)).one()
    copy.close()
    if with_key:
        assert load_cipher(target).decrypt(encrypted) == "hunter2"
