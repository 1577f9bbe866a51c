"""Installations: one for the commands that work on the database itself, and one that serves."""

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from jobs_app.accounts import tokens
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web.app import create_app
from tests.web.conftest import close


@pytest.fixture
def settings(migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation with no account but that of the admin, which commands find."""
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    shutil.copyfile(migrated_sqlite, tmp_path / "jobs.db")
    return Settings()


@pytest.fixture
def installation(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The web application on a socket, which JOBS_URL names, without Redis."""
    (tmp_path / "jobs.db").write_bytes(migrated_sqlite.read_bytes())
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    settings = Settings(data_dir=tmp_path, database_url=url, shell_users="nobody")
    database = Database(settings.effective_database_url)
    with database.session() as session:
        token = tokens.create(session, "tester", at=datetime(2026, 11, 1, tzinfo=UTC))
    database.close()
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("JOBS_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("JOBS_TOKEN", token)
    monkeypatch.setenv("TZ", "UTC")
    yield
    server.shutdown()
    thread.join()
    server.server_close()
    close(app)
