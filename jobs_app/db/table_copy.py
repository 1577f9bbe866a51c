"""Copies all tables of a database out of it and into another one, whichever the two are."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Inspector, inspect, text, types

from jobs_app.core.text import rfc3339
from jobs_app.db.backup_file import BackupError, BackupReader, BackupWriter, Kind, Table
from jobs_app.db.columns import Base

#: Rows that are read or written at once.
BATCH = 1000

#: Alembic's own table.
REVISIONS = "alembic_version"

#: The length of a UUID in SQLite, as hexadecimal digits: SQLAlchemy's type there.
UUID_DIGITS = 32

#: SQLAlchemy's form of an instant in SQLite.
_SQLITE_INSTANT = "%Y-%m-%d %H:%M:%S.%f"

Convert = Callable[[Any], Any]


def tables(connection: Connection) -> list[Table]:
    """Return our tables in a database, each after those that it refers to.

    A database of PostgreSQL may have the tables of other programs, too.
    """
    inspector = inspect(connection)
    names = [name for name, _ in inspector.get_sorted_table_and_fkc_names()]
    return [_table(inspector, name) for name in names if name and name in Base.metadata.tables]


def _table(inspector: Inspector, name: str) -> Table:
    columns = inspector.get_columns(name)
    return Table(name, tuple((column["name"], _kind(column["type"])) for column in columns))


def _kind(kind: types.TypeEngine[Any]) -> Kind:
    """Return the kind of a column from the type that the database names."""
    if isinstance(kind, types.CHAR) and kind.length == UUID_DIGITS:
        return Kind.UUID
    for base, found in (
        (types.Boolean, Kind.BOOL),
        (types.DateTime, Kind.INSTANT),
        (types.Uuid, Kind.UUID),
        (types.JSON, Kind.JSON),
        (types.LargeBinary, Kind.BYTES),
    ):
        if isinstance(kind, base):
            return found
    return Kind.PLAIN


def write_tables(connection: Connection, writer: BackupWriter) -> None:
    """Write all rows of all tables; the transaction of *connection* says as of when."""
    for table in tables(connection):
        writer.table(table)
        convert = [_READ[connection.dialect.name].get(kind) for _, kind in table.columns]
        for row in _rows(connection, table):
            writer.row(
                [
                    value if value is None or change is None else change(value)
                    for value, change in zip(row, convert, strict=True)
                ]
            )


def _rows(connection: Connection, table: Table) -> Iterator[Sequence[Any]]:
    is_postgresql = connection.dialect.name == "postgresql"
    quote = connection.dialect.identifier_preparer.quote
    columns = [
        # As text: psycopg would parse it, and the order of its keys is part of it.
        f"{quote(name)}::text" if is_postgresql and kind is Kind.JSON else quote(name)
        for name, kind in table.columns
    ]
    key = inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
    order = f" ORDER BY {', '.join(map(quote, key))}" if key else ""
    statement = text(f"SELECT {', '.join(columns)} FROM {quote(table.name)}{order}")  # noqa: S608  # names of the schema
    streaming = connection.execution_options(stream_results=True, yield_per=BATCH)
    for row in streaming.execute(statement):
        yield tuple(row)


def read_tables(connection: Connection, reader: BackupReader) -> None:
    """Put the tables of a backup into a database that has the same ones, all of them empty.

    Raises BackupError if its schema is another one, or if the backup is not whole.
    """
    own = {table.name: table for table in tables(connection)}
    for table, rows in reader.tables():
        known = own.pop(table.name, None)
        if known is None or set(known.columns) != set(table.columns):
            raise BackupError(f"The backup is damaged: its table {table.name} has other columns.")
        write = _WRITE[connection.dialect.name]
        convert = [write.get(kind) for _, kind in table.columns]
        _insert(connection, table, (_converted(row, convert) for row in rows))
    if own:
        raise BackupError(f"The backup is damaged: it lacks the table {min(own)}.")


def _converted(row: list[Any], convert: list[Convert | None]) -> list[Any]:
    try:
        return [
            value if value is None or change is None else change(value)
            for value, change in zip(row, convert, strict=True)
        ]
    except (TypeError, ValueError, AttributeError) as error:
        raise BackupError("The backup is damaged: a row has other values.") from error


def _insert(connection: Connection, table: Table, rows: Iterator[list[Any]]) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name, _ in table.columns)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    places = ", ".join("?" * len(table.columns))
    statement = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({places})"  # noqa: S608  # names of the schema
    while batch := list(islice(rows, BATCH)):
        driver.executemany(statement, batch)


def _from_sqlite_instant(value: str) -> str:
    return f"{value[:10]}T{value[11:]}Z"


def _to_sqlite_instant(value: str) -> str:
    return datetime.fromisoformat(value).strftime(_SQLITE_INSTANT)


def _from_hexadecimal(value: str) -> str:
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


_READ: dict[str, dict[Kind, Convert]] = {
    "sqlite": {
        Kind.BOOL: bool,
        Kind.INSTANT: _from_sqlite_instant,
        Kind.UUID: _from_hexadecimal,
        Kind.BYTES: bytes.hex,
    },
    "postgresql": {Kind.INSTANT: rfc3339, Kind.UUID: str, Kind.BYTES: bytes.hex},
}
_WRITE: dict[str, dict[Kind, Convert]] = {
    "sqlite": {
        Kind.BOOL: int,
        Kind.INSTANT: _to_sqlite_instant,
        Kind.UUID: lambda value: value.replace("-", ""),
        Kind.BYTES: bytes.fromhex,
    },
    "postgresql": {Kind.BYTES: bytes.fromhex},
}


def sequences(connection: Connection) -> dict[str, int]:
    """Return the last id that each table gave, by table: an id is never given twice."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        return {row.name: row.seq for row in rows}
    last: dict[str, int] = {}
    for table, sequence in _postgres_sequences(connection):
        row = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608  # a name of the schema
        if row.is_called:
            last[table] = row.last_value
    return last


def set_sequences(connection: Connection, last: dict[str, int]) -> None:
    """Let no table give an id again that it has, or that is in *last*."""
    if connection.dialect.name == "sqlite":
        for table, number in last.items():
            statement = text(
                "UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = :name"
            )
            if not connection.execute(statement, {"number": number, "name": table}).rowcount:
                # It counts only for tables with AUTOINCREMENT.
                insert = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)")
                connection.execute(insert, {"number": number, "name": table})
        return
    for table, sequence in _postgres_sequences(connection):
        highest = connection.scalar(text(f"SELECT coalesce(max(id), 0) FROM {table}"))  # noqa: S608  # a name of the schema
        number = max(int(highest or 0), last.get(table, 0))
        if number:
            statement = text("SELECT setval(:sequence, :number)")
            connection.execute(statement, {"sequence": sequence, "number": number})


def _postgres_sequences(connection: Connection) -> list[tuple[str, str]]:
    """Return the tables whose `id` has a sequence, each with the name of that."""
    found = []
    for table in tables(connection):
        if any(name == "id" for name, _ in table.columns):
            statement = text("SELECT pg_get_serial_sequence(:name, 'id')")
            sequence = connection.scalar(statement, {"name": table.name})
            if sequence is not None:
                found.append((table.name, str(sequence)))
    return found
