"""`jobs-app import django-celery-beat`, against the real API and a real store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.jobs.importers.django_beat_store import make_store

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "django.sqlite3"
    make_store(path)
    return path


def jobs(run: Run) -> dict[str, Any]:
    items = json.loads(run("job", "list", "--all", "--json").stdout)["items"]
    return {item["name"]: item for item in items}


def test_rows_become_jobs_and_a_second_import_changes_nothing(run: Run, store: Path) -> None:
    content = store.read_bytes()
    first = run("import", "django-celery-beat", str(store), "--yes")
    before = jobs(run)
    second = run("import", "django-celery-beat", "-", "--yes", stdin=f"sqlite:///{store}\n")

    assert first.exit_code == 1, first.output
    assert "Created 3 jobs, changed 0, kept 0. 1 entry was refused." in first.stdout
    assert "Created 0 jobs, changed 0, kept 3." in second.stdout
    assert (jobs(run), store.read_bytes()) == (before, content)
    report = before["nightly-report"]
    assert (report["schedule"]["cron"], report["schedule"]["timezone"]) == (
        "30 7 * * 1-5",
        "Europe/Paris",
    )
    assert (report["queue"], report["priority"], report["description"]) == ("slow", 3, "A report")
    assert report["origin"] == f"django-celery-beat {store}"[:200]
    assert before["poll"]["state"] == "paused"
    assert before["poll"]["schedule"]["anchor_at"] == "2026-11-30T08:05:01Z"
    assert before["once"]["schedule"]["at"] == "2099-01-01T08:00:00Z"


def test_a_database_without_the_tables_is_named(run: Run, tmp_path: Path) -> None:
    missing = run("import", "django-celery-beat", str(tmp_path / "none.db"))
    other = run("import", "django-celery-beat", f"sqlite:///{tmp_path / 'jobs.db'}")

    assert (missing.exit_code, other.exit_code) == (2, 1)
    assert "There is no file" in missing.stderr
    assert "has no table django_celery_beat_periodictask" in other.stderr
    assert not (tmp_path / "none.db").exists()


def test_a_password_is_not_printed(run: Run) -> None:
    url = "postgresql://shop:hunter2@127.0.0.1:1/shop"

    result = run("import", "django-celery-beat", url)

    assert result.exit_code == 6
    assert "The database cannot be read" in result.stderr
    assert "hunter2" not in result.output
