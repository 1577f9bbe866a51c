"""`jobs-app import apscheduler`, against the real API and a store that APScheduler wrote."""

import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.jobs.importers.apscheduler_states import make_store

Run = Callable[..., Result]

SHOP = """\
from celery import Celery

app = Celery("shop", set_as_current=False)

@app.task(name="shop_jobs.t", shared=False)
def t(*args, duration=0):
    pass
"""

pytestmark = pytest.mark.usefixtures("shop", "installation")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The function of the stored jobs, as a task of the server."""
    (tmp_path / "shop_jobs.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("JOBS_IMPORTS", "shop_jobs")
    yield
    sys.modules.pop("shop_jobs", None)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.sqlite"
    make_store(path)
    return path


def jobs(run: Run) -> dict[str, Any]:
    items = json.loads(run("job", "list", "--all", "--json").stdout)["items"]
    return {item["name"]: item for item in items}


def test_stored_jobs_become_jobs_and_a_second_import_changes_nothing(run: Run, store: Path) -> None:
    content = store.read_bytes()
    first = run("import", "apscheduler", str(store), "--yes", "--like-apscheduler")
    before = jobs(run)
    second = run("import", "apscheduler", str(store), "--yes", "--like-apscheduler")

    assert first.exit_code == 1, first.output
    assert "Created 5 jobs, changed 0, kept 0. 2 entries were refused." in first.stdout
    assert "Created 0 jobs, changed 0, kept 5." in second.stdout
    assert (jobs(run), store.read_bytes()) == (before, content)
    nightly, poll = before["nightly"], before["poll"]
    assert (nightly["task"], nightly["kwargs"]) == ("shop_jobs.t", {"args": [5]})
    assert (nightly["schedule"]["cron"], nightly["schedule"]["timezone"]) == (
        "30 2 * * *",
        "Europe/Paris",
    )
    assert poll["schedule"]["anchor_at"] == "2026-11-30T07:00:00Z"
    assert (poll["starting_deadline_seconds"], poll["catchup_policy"]) == (300, "none")
    assert before["second-friday"]["schedule"]["cron"] == "0 9 L * 5#2"
    assert before["once"]["schedule"]["at"] == "2099-01-01T07:00:00Z"
    assert before["off"]["state"] == "paused"
    assert {job["time_limit_seconds"] for job in before.values()} == {None}
    assert "REFUSED: Its OrTrigger has a trigger IntervalTrigger" in first.stdout
    assert "args[0] is a datetime" in first.stdout
    assert "Not as in APScheduler, for all of these jobs:" in first.stdout


def test_a_table_of_another_program_is_named(run: Run, store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
        connection.execute("INSERT INTO mine VALUES (1)")

    missing = run("import", "apscheduler", str(store), "--table", "of_nobody")
    other = run("import", "apscheduler", str(store), "--table", "mine")

    assert "has no table of_nobody" in missing.stderr
    assert "The table mine is not one of APScheduler" in other.stderr
    assert (missing.exit_code, other.exit_code) == (1, 1)
