"""Databases that are set up wrong on purpose: real ones."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from jobs_app.db.engine import Database
from jobs_app.jobs.doctor import database as checks
from jobs_app.jobs.doctor.findings import Finding
from tests.disk import full_disk
from tests.servers import PostgresServer

ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def writes(url: str) -> list[Finding]:
    database = Database(url)
    try:
        with database.reading() as session:
            return list(checks.writes(session, url))
    finally:
        database.close()


def refusal(url: str) -> Finding:
    database = Database(url)
    try:
        with pytest.raises(SQLAlchemyError) as error, database.reading() as session:
            session.execute(text("SELECT 1"))
        return checks.unreachable(error.value)
    finally:
        database.close()


@pytest.fixture
def small_url(postgres: PostgresServer) -> Iterator[str]:
    """A database of which a test may take all connections."""
    url = postgres.create_database()
    name = make_url(url).database
    _as_superuser(postgres, f'ALTER DATABASE "{name}" CONNECTION LIMIT 20')
    yield url
    _as_superuser(postgres, f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')


def _as_superuser(postgres: PostgresServer, statement: str) -> None:
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(statement.encode())


@ON_POSTGRESQL
def test_a_postgresql_that_begins_each_transaction_read_only(
    database_url: str, postgres: PostgresServer
) -> None:
    assert writes(database_url) == []
    name = make_url(database_url).database
    _as_superuser(postgres, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')

    (found,) = writes(database_url)

    assert (found.check, found.level) == ("database_writes", "error")
    assert "read-only" in found.sentence
    assert f'ALTER DATABASE "{name}" RESET default_transaction_read_only' in found.remedy


@pytest.mark.nightly
def test_a_postgresql_that_is_a_replica(own_postgres: PostgresServer) -> None:
    url = own_postgres.create_database()
    own_postgres.crash()
    # From then on it only replays what another server sends, and answers queries.
    (own_postgres.directory / "data/standby.signal").touch()
    own_postgres.start()

    (found,) = writes(url)

    assert (found.check, found.level) == ("database_writes", "error")
    assert "is a replica" in found.sentence
    assert "target_session_attrs" in found.remedy


@ON_POSTGRESQL
def test_time_limits_of_a_role_or_a_database_do_no_harm(
    database_url: str, postgres: PostgresServer
) -> None:
    name = make_url(database_url).database
    _as_superuser(postgres, f'ALTER DATABASE "{name}" SET statement_timeout = 1')
    database = Database(database_url)
    with database.reading() as session:
        assert session.scalar(text("SHOW statement_timeout")) == "30s"
    database.close()


@ON_SQLITE
def test_a_sqlite_file_whose_disk_is_full(database_url: str) -> None:
    assert writes(database_url) == []
    with full_disk():
        (found,) = writes(database_url)

    assert (found.check, found.level) == ("database_writes", "error")
    assert "disk is full" in found.sentence
    assert "Make room" in found.remedy


def test_few_connections_are_left(small_url: str) -> None:
    def found() -> list[Finding]:
        # PostgreSQL counts once in a transaction.
        with database.reading() as session:
            return list(checks.connections(session))

    database = Database(small_url)
    with ExitStack() as held:
        held.callback(database.close)
        assert found() == []
        for _ in range(18):
            held.enter_context(psycopg.connect(small_url.replace("+psycopg", "")))
        (few,) = found()

    assert (few.check, few.level) == ("database_connections", "warning")
    assert "19 of 20 connections of its database" in few.sentence
    assert "pg_stat_activity" in few.remedy


def test_what_keeps_a_process_out_of_postgresql_is_named(postgres: PostgresServer) -> None:
    url = make_url(postgres.admin_url)

    def of(**changes: Any) -> Finding:
        return refusal(url.set(**changes).render_as_string(hide_password=False))

    closed = of(host="127.0.0.1", port=1)
    nameless = of(host="no-such-host.invalid")
    no_database = of(database="no_such_database")
    no_tls = of(query={"sslmode": "require"})

    assert "onnection refused" in closed.sentence
    assert closed.remedy == checks.START
    assert "no-such-host.invalid" in nameless.sentence
    assert "Correct the host" in nameless.remedy
    assert 'database "no_such_database" does not exist' in no_database.sentence
    assert "Create the role and the database" in no_database.remedy
    assert "does not support SSL" in no_tls.sentence
    assert "sslmode" in no_tls.remedy


@pytest.mark.parametrize(
    "answer, remedy",
    [
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ('FATAL:  too many connections for role "jobs"', "CONNECTION LIMIT"),
        ("FATAL:  remaining connection slots are reserved for roles", "max_connections"),
        ('FATAL:  password authentication failed for user "jobs"', "user and the password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "jobs"', "pg_hba.conf"),
    ],
)
def test_each_refusal_has_a_remedy_of_its_own(answer: str, remedy: str) -> None:
    error = DBAPIError("", {}, Exception(f"connection failed: {answer}"))

    found = checks.unreachable(error)

    assert answer in found.sentence
    assert remedy in found.remedy


def test_a_file_that_is_no_database_is_to_be_restored(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("no database " * 1000)

    found = refusal(f"sqlite:///{tmp_path}/jobs.db")

    assert "damaged" in found.sentence
    assert "jobs-app restore" in found.remedy
