"""Databases of other programs, of which tables are read and never written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Select,
    column,
    create_engine,
    inspect,
    literal_column,
    make_url,
    select,
)
from sqlalchemy import table as sql_table
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

Row = Mapping[str, Any]

CONNECT_SECONDS = 5
#: Names of databases in the addresses of other frameworks, as SQLAlchemy calls them.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "psql": "postgresql+psycopg",
    "pgsql": "postgresql+psycopg",
    "postgis": "postgresql+psycopg",
    "sqlite3": "sqlite",
}


class BadAddress(Exception):
    """An address that names no database which can be read; the text quotes no part of it."""


class ForeignDatabase:
    """A connection that only reads. `place` names the database, without its user."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self.place = place

    def tables(self) -> set[str]:
        """Return the names of the tables."""
        return set(inspect(self._connection).get_table_names())

    def rows(self, table: str, *, order: str) -> list[Row]:
        """Return the rows of *table* by the column *order*, with the columns that it has."""
        query: Select[Any] = (
            select(literal_column("*")).select_from(sql_table(table)).order_by(column(order))
        )
        return [dict(row) for row in self._connection.execute(query).mappings()]


@contextmanager
def open_foreign(address: str) -> Iterator[ForeignDatabase]:
    """Open the database at *address*: a URL, or the path of a SQLite file.

    Raises BadAddress, and SQLAlchemyError if it cannot be read.
    """
    url = _url(address)
    place = _place(url)
    try:
        engine = create_engine(_reading(url), hide_parameters=True, connect_args=_options(url))
    except ImportError as error:
        name = url.drivername
        raise BadAddress(
            f"Python has no driver for {name}: install the module {error.name}."
        ) from error
    try:
        with engine.connect() as connection:
            if url.get_backend_name() == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            yield ForeignDatabase(connection, place)
    finally:
        engine.dispose()


def _url(address: str) -> URL:
    if "://" not in address:
        return URL.create("sqlite", database=address)
    scheme, rest = address.split("://", 1)
    try:
        url = make_url(f"{_DRIVERS.get(scheme, scheme)}://{rest}")
        url.get_dialect()
    except NoSuchModuleError as error:
        raise BadAddress(
            "SQLAlchemy knows no database of this name: give sqlite:///FILE or"
            " postgresql://USER@HOST/NAME."
        ) from error
    except ImportError as error:
        raise BadAddress(f"Python has no driver for it: install {error.name}.") from error
    # Its text may quote a part of the password.
    except (ArgumentError, ValueError) as error:
        raise BadAddress(
            "It is no address of a database: give sqlite:///FILE or postgresql://USER@HOST/NAME."
        ) from error
    return url


def _reading(url: URL) -> URL:
    """Return *url* so that SQLite opens the file to read it, and makes none. Raises BadAddress."""
    if url.get_backend_name() != "sqlite":
        return url
    path = Path(url.database or "")
    if not path.is_file():
        raise BadAddress(f"There is no file {url.database or ''}.")
    return URL.create(
        "sqlite", database=path.absolute().as_uri(), query={"mode": "ro", "uri": "true"}
    )


def _options(url: URL) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}


def _place(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").absolute())
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()} {url.host or 'localhost'}{port}/{url.database or ''}"
