"""A server that accepts connections and does not answer."""

import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from jobs_app.db.engine import Database
from tests.faults.proxy import Proxy
from tests.servers import crowding

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def wire(database_url: str) -> Iterator[Proxy]:
    port = urlsplit(database_url).port
    assert port is not None
    with closing(Proxy(port)) as proxy:
        yield proxy


def test_a_connection_without_an_answer_is_closed_and_the_next_one_is_new(
    database_url: str, wire: Proxy
) -> None:
    url = make_url(database_url).set(host="127.0.0.1", port=wire.port)
    database = Database(url.render_as_string(hide_password=False), answer_seconds=1)
    with database.session() as session:
        first = session.scalar(text("SELECT pg_backend_pid()"))
        wire.cut(silently=True)
        began = time.monotonic()
        with pytest.raises(OperationalError) as raised:
            session.scalar(text("SELECT 1"))
    waited = time.monotonic() - began
    wire.mend()

    with database.session() as session:
        second = session.scalar(text("SELECT pg_backend_pid()"))
    database.close()

    assert 1 <= waited < 1 + 2 * crowding()
    assert raised.value.connection_invalidated
    assert second != first


def test_the_limit_is_for_one_answer_and_not_for_all(database_url: str) -> None:
    database = Database(database_url, answer_seconds=1)
    with database.session() as session:
        for _ in range(6):
            session.execute(text("SELECT pg_sleep(0.2)"))
    database.close()
