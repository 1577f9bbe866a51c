"""Settings that are files: where containers mount them, and where systemd puts credentials."""

from pathlib import Path

import pytest

from jobs_app.core.secret_files import CONTAINER_DIRECTORY, secrets_directories
from jobs_app.core.settings import Settings


def test_settings_are_read_from_the_credentials_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs_secret_key").write_text("a-key\n")
    directories = secrets_directories({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    monkeypatch.setitem(Settings.model_config, "secrets_dir", directories)

    assert Settings().secret_key == "a-key"


def test_only_directories_that_there_are_count(tmp_path: Path) -> None:
    missing = secrets_directories({"CREDENTIALS_DIRECTORY": str(tmp_path / "missing")})

    assert missing == secrets_directories({})
    assert set(missing) <= {CONTAINER_DIRECTORY}
