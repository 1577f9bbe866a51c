"""Backups of a database in use: whole, as of one instant, or not there at all."""

import errno
import os
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError, BackupReader
from jobs_app.db.engine import Database
from jobs_app.jobs.backup import snapshot, write_backup
from tests.factories import NOON, make_job


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url)


def names_in(file: Path) -> list[str]:
    """Return the names of the jobs in a backup."""
    with file.open("rb") as stream:
        reader = BackupReader(stream)
        names: list[str] = []
        for table, rows in reader.tables():
            found = [
                dict(zip((name for name, _ in table.columns), row, strict=True)) for row in rows
            ]
            if table.name == "jobs":
                names = [row["name"] for row in found]
    return names


def back_up(settings: Settings, file: Path, *, replaces: bool = False) -> None:
    write_backup(settings, file, with_key=False, replaces=replaces, at=NOON)


def test_a_backup_has_what_was_committed_and_is_private(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    make_job(database, name="a")

    back_up(settings, tmp_path / "jobs.gz")

    assert names_in(tmp_path / "jobs.gz") == ["a"]
    assert (tmp_path / "jobs.gz").stat().st_mode & 0o077 == 0


def test_a_snapshot_does_not_see_what_is_written_meanwhile_and_stops_no_writer(
    database: Database, settings: Settings
) -> None:
    make_job(database, name="a")

    with snapshot(settings) as connection:
        table_copy.tables(connection)
        make_job(database, name="b")
        jobs = table_copy.tables(connection)
        names = [row[1] for row in connection.exec_driver_sql("SELECT id, name FROM jobs")]

    assert names == ["a"]
    assert [table.name for table in jobs].index("jobs") < [t.name for t in jobs].index("runs")


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.gz"
    file.write_text("mine")

    with pytest.raises(BackupError, match="there already"):
        back_up(settings, file)
    assert file.read_text() == "mine"
    make_job(database, name="a")
    back_up(settings, file, replaces=True)

    assert names_in(file) == ["a"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_leaves_no_file(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make_job(database, name="a")
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(os, "fsync", no_room)

    with pytest.raises(BackupError, match="the disk is full"):
        back_up(settings, folder / "jobs.gz")

    assert list(folder.iterdir()) == []


def test_a_database_without_tables_is_no_backup(
    unmigrated_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=unmigrated_database_url)

    with pytest.raises(BackupError, match="no tables yet"):
        back_up(settings, tmp_path / "jobs.gz")
    assert not (tmp_path / "jobs.gz").exists()
