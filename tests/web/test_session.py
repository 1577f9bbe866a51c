"""The sessions of requests."""

from typing import Any

import pytest
from sqlalchemy import event

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
