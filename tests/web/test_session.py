"""The sessions of requests."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text

from jobs_app.db.engine import SQLITE_WEB_CACHE_KIB
from jobs_app.web import session as web_session
from tests.web.conftest import Api


@pytest.mark.parametrize("path", ["/jobs", "/jobs/nightly", "/jobs/nightly/stats", "/runs"])
def test_a_request_that_reads_takes_one_connection(api: Api, path: str) -> None:
    api.make_job()
    checkouts: list[object] = []

    def note(connection: Any, *_: object) -> None:
        checkouts.append(connection)

    with api.app.app_context():
        engine = web_session.database.engine
    event.listen(engine.pool, "checkout", note)
    answer = api.get(path)
    event.remove(engine.pool, "checkout", note)

    assert answer.status_code == 200
    # One for the token, one for the answer.
    assert len(checkouts) <= 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_each_connection_to_sqlite_has_a_small_cache(app: Flask, method: str) -> None:
    # There are as many as threads, and each keeps its cache for good.
    with app.test_request_context(method=method):
        cache = web_session.session().scalar(text("PRAGMA cache_size"))

    assert cache == -SQLITE_WEB_CACHE_KIB


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_the_server_ends_before_the_session_closes_is_no_error(
    app: Flask, method: str
) -> None:
    # As an administrator may do, and the time limits of a server.
    with app.test_request_context(method=method):
        pid = web_session.session().scalar(text("SELECT pg_backend_pid()"))
        with web_session.writing() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with app.test_request_context(method=method):
        assert web_session.session().scalar(text("SELECT pg_backend_pid()")) != pid
        assert web_session.database.engine.pool.checkedout() == 1  # type: ignore[attr-defined]  # QueuePool has it
