"""Other programs' databases are opened to be read, and nobody sees their passwords."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from jobs_app.db.foreign_database import BadAddress, ForeignDatabase, open_foreign


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a b?.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "of""mine" (id INTEGER, "order" TEXT)')
        connection.execute("""INSERT INTO "of""mine" VALUES (2, 'b'), (1, 'a')""")
    return path


def write(database: ForeignDatabase, statement: str) -> None:
    database._connection.execute(text(statement))


def test_a_file_of_sqlite_is_read_by_its_path_and_never_written(file: Path) -> None:
    with open_foreign(str(file)) as database:
        assert database.tables() == {'of"mine'}
        rows = database.rows('of"mine', order="order")
        with pytest.raises(DBAPIError, match="readonly"):
            write(database, "CREATE TABLE t (id INTEGER)")

    assert rows == [{"id": 1, "order": "a"}, {"id": 2, "order": "b"}]
    assert database.place == str(file)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_postgresql_is_read_in_a_transaction_that_cannot_write(database_url: str) -> None:
    address = database_url.replace("postgresql+psycopg://", "postgres://")
    with open_foreign(address) as database:
        assert "jobs" in database.tables()
        assert database.rows("jobs", order="id") == []
        with pytest.raises(DBAPIError, match="read-only transaction"):
            write(database, "CREATE TABLE t (id INTEGER)")


@pytest.mark.parametrize(
    "address, words",
    [
        ("/nowhere/a.db", "no file /nowhere/a.db"),
        ("sqlite:////nowhere/a.db", "no file /nowhere/a.db"),
        ("sqlite://", "no file"),
        ("hunter2db://me:hunter2@host/x", "knows no database"),
        ("postgresql://me:hunter2@host:hunter2/x", "no address of a database"),
        ("mysql://me:hunter2@host/x", "has no driver"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_password(
    address: str, words: str
) -> None:
    with pytest.raises(BadAddress, match=words) as raised, open_foreign(address):
        pass

    assert "hunter2" not in str(raised.value)


def test_the_place_has_no_user(database_url: str) -> None:
    with open_foreign(database_url) as database:
        assert "@" not in database.place
