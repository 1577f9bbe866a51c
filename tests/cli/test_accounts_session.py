"""The database of this machine."""

import shutil
from pathlib import Path

import pytest

from jobs_app.accounts import audit, people
from jobs_app.cli.accounts_session import accounts_session


def test_what_the_command_line_changes_says_so_in_the_audit(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    shutil.copyfile(migrated_sqlite, tmp_path / "jobs.db")

    with accounts_session() as (session, settings):
        assert audit.origin(session).via == "cli"
        assert people.find(session, "nobody") is None
        assert settings.data_dir == tmp_path
