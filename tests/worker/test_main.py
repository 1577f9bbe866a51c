"""The main process of a worker: settings with which it cannot work end it at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.worker.main import main


def test_a_worker_without_a_key_ends_with_a_sentence(tmp_path: Path) -> None:
    settings = {"JOBS_DATA_DIR": str(tmp_path), "JOBS_REDIS_URL": "redis://:x@127.0.0.1:1/0"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | settings
    tmp_path.chmod(0o700)

    done = subprocess.run(
        [sys.executable, "-m", "jobs_app", "worker", "--pool", "solo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "There is no key for secrets" in done.stderr
    assert "Traceback" not in done.stderr


def test_stock_prefetch_cannot_be_turned_off_before_celery_5_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_app.worker.main.NAMESPACES", {"worker": {}})

    with pytest.raises(ConfigurationError, match=r"needs Celery 5\.6"):
        main(Settings(data_dir=tmp_path, worker_prefetch=False))
