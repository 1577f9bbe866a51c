"""The line across every page about what is down."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text

from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.runs import reported_tasks
from jobs_app.tasks.task_info import TaskInfo
from jobs_app.web import extension, outage_line
from jobs_app.web.outage_line import REDIS, OutageLine
from tests.web.conftest import Page

Store = Callable[..., None]


def sentences(app: Flask) -> list[str]:
    with app.app_context():
        return list(outage_line.outages())


def test_a_module_that_is_broken_is_named_without_the_text_of_its_error(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        own = extension.current()
    monkeypatch.setitem(own.broken_imports, "reports", "ValueError")

    assert sentences(app)[-1] == (
        "The module 'reports' of JOBS_IMPORTS cannot be loaded (ValueError), so the runs of its "
        "tasks fail: see jobs-app task list."
    )


def test_each_part_that_is_down_has_a_sentence(
    app: Flask, store: Store, database: Database
) -> None:
    never = "No scheduler runs: no job fires. Start one: jobs-app scheduler."
    assert sentences(app) == [never, REDIS["unreachable"]]
    now = clock.now()
    store(SchedulerProcess(name="s", pid=1, is_active=True, started_at=now, ticked_at=now))
    assert sentences(app) == [REDIS["unreachable"]]

    with database.session() as session:
        minute_ago = now - timedelta(minutes=1)
        session.query(SchedulerProcess).update({"ticked_at": minute_ago})
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.commit()
    newer, silent, _ = sentences(app)
    assert "upgrade this one" in newer
    assert "has looked for a minute" in silent
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        session.commit()
    assert "run jobs-app migrate" in sentences(app)[0]


def test_it_is_on_every_page_and_poll_of_who_is_signed_in(app: Flask, page: Page) -> None:
    whole = page("/jobs").text
    poll = page("/jobs", **{"HX-Request": "true", "HX-PTag": "none"})
    tag = poll.headers["HX-PTag"]
    same = page("/jobs", **{"HX-Request": "true", "HX-PTag": tag})

    assert '<div id="outage" role="status">No scheduler' in whole
    assert same.status_code == 304
    for answer in (poll, same):
        assert answer.headers["Jobs-Outage"].endswith(REDIS["unreachable"])
    assert "No scheduler" not in app.test_client().get("/sign-in").text


def test_its_thread_reads_what_workers_have_reported_so_that_no_page_has_to(
    app: Flask, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []

    def reported(_: object) -> list[TaskInfo]:
        readers.append(threading.current_thread().name.partition("_")[0])
        return []

    monkeypatch.setattr(reported_tasks, "reported", reported)

    assert page("/new-job").status_code == 200

    assert readers == ["outage-line"]


def test_it_is_made_once_in_five_seconds() -> None:
    instants, lines = iter([1.0, 1.0, 5.9, 6.0, 6.0]), iter("12")
    line = OutageLine(lambda: next(lines), monotonic=lambda: next(instants))

    for expected in ("1", "1", "2"):
        line.look()
        assert line.text == expected


def test_a_request_waits_for_it_a_quarter_of_a_second() -> None:
    may_end = threading.Event()
    line = OutageLine(lambda: str(may_end.wait(10)))

    started = time.monotonic()
    line.look()
    line.look()
    seconds = time.monotonic() - started

    assert line.text == ""
    may_end.set()
    assert 0.2 < seconds < 2


@pytest.fixture
def page(page_of: Callable[..., Page]) -> Page:
    """A browser in which an admin is signed in."""
    return page_of("admin", name="ann")
