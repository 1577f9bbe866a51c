"""The process that sends messages, as far as its options go; test_sender.py sends with it."""

from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.notifications import sender_process
from jobs_app.notifications.sender_process import closed_folders


def test_a_channel_reads_no_credentials_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, credentials = tmp_path / "data", tmp_path / "credentials"
    monkeypatch.setattr(sender_process, "SECRETS_DIRECTORIES", (credentials,))

    folders = closed_folders(Settings(data_dir=data))

    assert folders == [str(data), "/run/secrets", str(credentials), "/proc"]
