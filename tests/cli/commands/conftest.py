"""Installations for the commands that work on the database itself."""

import shutil
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings


@pytest.fixture
def settings(migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with no account but that of the admin, which commands find."""
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    shutil.copyfile(migrated_sqlite, tmp_path / "jobs.db")
    return Settings()
