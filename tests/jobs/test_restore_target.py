"""The database that a restore fills: what a wrecked one has left does no harm."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs_app.core.settings import Settings
from jobs_app.db.backup_file import BackupError
from jobs_app.jobs.restore_target import new_sqlite

#: A process that has a database open, and says so; its rows are in the WAL file.
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode = WAL")
connection.executescript("CREATE TABLE things (name); INSERT INTO things VALUES ('old');")
print("ready", flush=True)
sys.stdin.read()
"""

WRECKED = {"emptied": b"", "overwritten": b"no database" * 1000}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def wreck(file: Path, how: str) -> None:
    """Remove a database, or write something else over it."""
    if how == "removed":
        file.unlink()
    else:
        file.write_bytes(WRECKED[how])


def holder(file: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def fill(settings: Settings, file: Path, *, replaces: bool = True) -> None:
    with new_sqlite(settings, file, replaces=replaces) as (connection, _):
        connection.execute(text("CREATE TABLE things (name)"))
        connection.execute(text("INSERT INTO things VALUES ('new')"))


def things(file: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(file)
    found = connection.execute("SELECT name FROM things").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_the_log_of_a_wrecked_database_is_not_replayed(
    settings: Settings, file: Path, how: str
) -> None:
    with holder(file) as process:
        process.kill()
    log = log_of(file).read_bytes()
    assert log
    wreck(file, how)

    fill(settings, file)

    assert things(file) == [("new",)]
    # Whoever wants to rescue rows from it has it.
    assert log_of(file).with_name("jobs.db-wal.before-restore").read_bytes() == log


def test_a_damaged_database_is_replaced_only_if_asked(settings: Settings, file: Path) -> None:
    wreck(file, "overwritten")

    with pytest.raises(BackupError, match="damaged"):
        fill(settings, file, replaces=False)
    fill(settings, file)

    assert things(file) == [("new",)]
    assert file.with_name("jobs.db.before-restore").read_bytes() == WRECKED["overwritten"]


@pytest.mark.parametrize("how", ["removed", "overwritten"])
def test_a_wrecked_database_in_use_is_refused(settings: Settings, file: Path, how: str) -> None:
    with holder(file) as process:
        wreck(file, how)
        with pytest.raises(BackupError, match="uses the database"):
            fill(settings, file)
        process.communicate()
