"""The check whether a database takes writes, on both databases."""

import pytest
from sqlalchemy import text

from jobs_app.db import write_check
from jobs_app.db.engine import Database
from jobs_app.db.write_check import WriteCheck


@pytest.fixture
def check(database_url: str, monkeypatch: pytest.MonkeyPatch) -> WriteCheck:
    """A check that tries anew at each call."""
    monkeypatch.setattr(write_check, "HOLD_SECONDS", 0)
    return WriteCheck(database_url)


def test_a_database_that_works_takes_writes(check: WriteCheck) -> None:
    assert check.takes_writes()


def test_another_writer_is_not_taken_for_a_full_disk(check: WriteCheck, database_url: str) -> None:
    database = Database(database_url)
    with database.session() as session, session.begin():
        session.execute(text("UPDATE installation SET number = number"))

        assert check.takes_writes()
    database.close()


def test_a_failed_write_is_noticed_until_one_succeeds(check: WriteCheck, database_url: str) -> None:
    database = Database(database_url)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE installation RENAME TO elsewhere"))

    assert not check.takes_writes()
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO installation"))
    database.close()
    assert check.takes_writes()


def test_an_answer_holds_for_a_while(database_url: str) -> None:
    checked = WriteCheck(database_url)
    assert checked.takes_writes()
    database = Database(database_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE installation"))
    database.close()

    assert checked.takes_writes()
