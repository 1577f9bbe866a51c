"""Errors of real databases: which of them pass, and which come again with the same data."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.db.engine import Database, is_refused
from jobs_app.db.errors import (
    PUT_ASIDE_SECONDS,
    PutAside,
    error_name,
    is_outage,
    with_sqlstate,
)
from jobs_app.db.models.runs import Run
from tests.factories import make_run
from tests.servers import PostgresServer


def error_of(database: Database, action: Callable[[Session], object]) -> Exception:
    """Return the error that *action* ends with."""
    with database.session() as session:
        try:
            action(session)
            session.commit()
        except Exception as error:  # noqa: BLE001  # the error is the point
            return error
    raise AssertionError("the database accepted it")


def run_sql(statement: str, session: Session) -> None:
    session.execute(text(statement))


BAD_DATA: dict[str, Callable[[Session], object]] = {
    "a number beyond 64 bits": lambda session: session.scalars(
        select(Run.id).where(Run.attempt == 10**30)
    ).all(),
    "a surrogate": lambda session: session.execute(update(Run).values(note="\ud800")),
    "a broken rule": lambda session: session.execute(update(Run).values(attempt=0)),
    "a missing parent": lambda session: session.execute(update(Run).values(worker_id=uuid4())),
    "an unknown state": lambda session: session.execute(update(Run).values(state="no state")),
    "no JSON": lambda session: session.execute(update(Run).values(result={1, 2})),
    "a bad argument": partial(run_sql, "SELECT abs('x'), json('{')"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_an_error_of_the_data_is_no_outage(database: Database, name: str) -> None:
    make_run(database)

    error = error_of(database, BAD_DATA[name])

    assert not is_outage(error), repr(error)


def test_a_missing_table_or_column_is_an_outage(database: Database) -> None:
    for statement in ("SELECT 1 FROM no_such_table", "SELECT no_such_column FROM runs"):
        error = error_of(database, partial(run_sql, statement))

        assert is_outage(error), repr(error)


def test_a_right_that_the_user_lacks_is_an_outage(postgres: PostgresServer) -> None:
    # A role that each server has, without rights to tables of others.
    powerless = Database(f"{postgres.create_database()}?options=-c%20role%3Dpg_monitor")
    error = error_of(powerless, partial(run_sql, "SELECT * FROM pg_authid"))
    powerless.close()

    assert isinstance(error, DBAPIError)
    assert is_outage(error), repr(error)
    assert is_refused(error)


def test_a_database_that_only_reads_is_an_outage(database: Database) -> None:
    def write(session: Session) -> None:
        is_sqlite = database.engine.dialect.name == "sqlite"
        run_sql("PRAGMA query_only = 1" if is_sqlite else "SET TRANSACTION READ ONLY", session)
        session.execute(update(Run).values(note="x"))

    error = error_of(database, write)

    assert isinstance(error, DBAPIError)
    assert is_outage(error), repr(error)
    assert is_refused(error)


def test_a_server_that_is_not_there_is_an_outage() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none")

    with pytest.raises(SQLAlchemyError) as raised:
        engine.connect()

    assert is_outage(raised.value)


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    file.write_text("no database " * 1000)
    engine = create_engine(f"sqlite:///{file}")

    with pytest.raises(SQLAlchemyError) as raised, engine.connect() as connection:
        connection.execute(text("SELECT * FROM sqlite_master"))

    assert is_outage(raised.value)


def test_an_exhausted_pool_is_an_outage(database_url: str) -> None:
    crowded = Database(database_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with crowded.engine.connect(), pytest.raises(SQLAlchemyError) as raised:
        crowded.engine.connect()
    crowded.close()

    assert is_outage(raised.value)


def test_a_locked_database_is_an_outage(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'jobs.db'}", connect_args={"timeout": 0})
    with engine.connect() as holder, engine.connect() as other:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(SQLAlchemyError) as raised:
            other.exec_driver_sql("BEGIN IMMEDIATE")

    assert is_outage(raised.value)


def test_an_item_whose_data_fail_is_skipped_for_a_while_and_stops_no_other() -> None:
    now = 0.0
    aside, done = PutAside("failed", now=lambda: now), list[str]()

    def work(item: str) -> str:
        done.append(item)
        if item == "bad" and now < PUT_ASIDE_SECONDS:
            raise OverflowError
        return item

    first = [aside.run(item, partial(work, item)) for item in ("bad", "good")]
    was_held = aside.holds("bad")
    second = aside.run("bad", lambda: work("bad"))
    now = PUT_ASIDE_SECONDS
    third = aside.run("bad", lambda: work("bad"))

    assert (first, second, third) == ([None, "good"], None, "bad")
    assert done == ["bad", "good", "bad"]
    assert was_held
    assert not aside.holds("bad")


def test_an_outage_is_nobodys_fault_and_is_raised(database: Database) -> None:
    aside = PutAside("failed")

    def fail() -> None:
        with database.session() as session:
            session.execute(text("SELECT 1 FROM no_such_table"))

    with pytest.raises(SQLAlchemyError):
        aside.run("item", fail)

    assert not aside.holds("item")


def test_a_log_line_names_the_sqlstate_of_postgresql(database: Database) -> None:
    error = error_of(database, partial(run_sql, "SELECT 1 FROM no_such_table"))

    is_postgresql = database.engine.dialect.name == "postgresql"
    state = " sqlstate=42P01" if is_postgresql else ""
    assert error_name(error) == f"{type(error).__name__}{state}"
    assert with_sqlstate("no table", error) == f"no table{state}"
    assert error_name(OSError("full")) == "OSError"
