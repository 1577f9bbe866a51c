"""The commands of docs/maintenance.md, run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs_app.accounts import tokens
from jobs_app.core.settings import Settings
from jobs_app.db.backup_file import BackupReader
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


def run_block(heading: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the first commands below *heading*."""
    page = (ROOT / "docs/maintenance.md").read_text()
    block = re.search(rf"## {heading}\n.*?```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["/bin/sh", "-euc", block[1]], env=environment, capture_output=True, text=True, check=False
    )


def test_a_backup_has_what_only_the_log_of_the_database_has(home: Path) -> None:
    folder = home / ".local/share/jobs-app"
    database = Database(Settings(data_dir=folder).effective_database_url)
    with database.session() as session:
        tokens.create(session, "ci", at=NOON)
    assert (folder / "jobs.db-wal").stat().st_size > 0

    answer = run_block("Backups", home)

    assert answer.returncode == 0, answer.stderr
    (backup,) = (home / "backups").iterdir()
    with backup.open("rb") as stream:
        tables = {table.name: list(rows) for table, rows in BackupReader(stream).tables()}
    assert [row[1] for row in tables["tokens"]] == ["ci"]
    assert backup.stat().st_mode & 0o077 == 0
    assert "there already" in run_block("Backups", home).stderr
    assert run_block("Upgrades", home).returncode == 0
    database.close()
