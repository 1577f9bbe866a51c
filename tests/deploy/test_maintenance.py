"""The commands of docs/maintenance.md, run as they stand there."""

import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from jobs_app.accounts import tokens
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from tests.factories import NOON

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, migrated_sqlite: Path) -> Path:
    """A home directory with the database of an installation."""
    folder = tmp_path / ".local/share/jobs-app"
    folder.mkdir(parents=True)
    shutil.copyfile(migrated_sqlite, folder / "jobs.db")
    return tmp_path


def back_up(home: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands of the section about backups."""
    page = (ROOT / "docs/maintenance.md").read_text()
    block = re.search(r"## Backups.*?```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["/bin/sh", "-euc", block[1]], env=environment, capture_output=True, text=True, check=False
    )


def test_a_backup_has_what_only_the_log_of_the_database_has(home: Path) -> None:
    folder = home / ".local/share/jobs-app"
    database = Database(Settings(data_dir=folder).effective_database_url)
    with database.session() as session:
        tokens.create(session, "ci", at=NOON)
    assert (folder / "jobs.db-wal").stat().st_size > 0
    shutil.copyfile(folder / "jobs.db", folder / "only-the-file.db")

    answer = back_up(home)

    assert answer.returncode == 0, answer.stderr
    backup = folder / "jobs-backup.db"
    assert names_of_tokens(backup) == ["ci"]
    assert names_of_tokens(folder / "only-the-file.db") == []
    assert backup.stat().st_mode & 0o077 == 0
    database.close()


def test_a_backup_replaces_no_other(home: Path) -> None:
    assert back_up(home).returncode == 0

    assert "already exists" in back_up(home).stderr


def names_of_tokens(file: Path) -> list[str]:
    connection = sqlite3.connect(file)
    try:
        return [name for (name,) in connection.execute("SELECT name FROM tokens")]
    finally:
        connection.close()
