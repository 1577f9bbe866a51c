"""The settings of logs and metrics."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs_app.core.settings import Settings


def test_the_jobs_with_metrics_are_checked_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="use a number up to 1000"):
        Settings(data_dir=tmp_path, metrics_jobs="5000")

    assert Settings(data_dir=tmp_path).job_series.limit == 100


def test_the_url_of_the_heartbeat_is_checked_and_never_shown(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(data_dir=tmp_path, heartbeat_url="hc-ping.example/canary")
    settings = Settings(data_dir=tmp_path, heartbeat_url="https://hc-ping.example/canary")

    assert "use the whole address" in str(raised.value)
    assert "canary" not in str(raised.value) + repr(settings)
    assert "heartbeat_url" in Settings.secret_fields()
