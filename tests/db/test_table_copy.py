"""Tables as they are copied; tests of restores try whole databases."""

import io

import pytest
from sqlalchemy import text

from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError, BackupReader, BackupWriter, Header, Kind, Table
from jobs_app.db.engine import Database
from tests.factories import make_job

HEADER = Header("0001", "2026-11-30T09:00:00Z", "0.1.0")


def test_each_table_comes_after_those_that_it_refers_to(database: Database) -> None:
    with database.engine.connect() as connection:
        found = table_copy.tables(connection)

    names = [table.name for table in found]
    assert names.index("jobs") < names.index("runs") < names.index("run_logs")
    kinds = dict(next(table.columns for table in found if table.name == "runs"))
    expected = {"id": Kind.UUID, "created_at": Kind.INSTANT, "result": Kind.JSON}
    assert {name: kinds[name] for name in expected} == expected
    assert (kinds["log_deleted"], kinds["attempt"]) == (Kind.BOOL, Kind.PLAIN)


def test_a_table_of_another_program_is_not_ours(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE shop (id INTEGER)"))
        names = [table.name for table in table_copy.tables(connection)]
        connection.execute(text("DROP TABLE shop"))

    assert "shop" not in names


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_other_columns_are_refused(database: Database) -> None:
    stream = io.BytesIO()
    writer = BackupWriter(stream, HEADER)
    writer.table(Table("jobs", (("id", Kind.PLAIN),)))
    writer.finish()
    stream.seek(0)

    with (
        database.engine.connect() as connection,
        pytest.raises(BackupError, match="its table jobs has other columns"),
    ):
        table_copy.read_tables(connection, BackupReader(stream))


def test_sequences_go_on_after_deleted_rows(database: Database) -> None:
    first = make_job(database, name="a")

    with database.engine.begin() as connection:
        assert table_copy.sequences(connection)["jobs"] == first.id
        table_copy.set_sequences(connection, {"jobs": 99})

    assert make_job(database, name="b").id == 100
