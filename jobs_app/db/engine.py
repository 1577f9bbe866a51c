"""The engine recipe: how jobs-app holds its database."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Dialect, Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

if TYPE_CHECKING:
    pass


#: Execution option of a connection that will only read: SQLite then takes no write lock.
READ_ONLY = "jobs_read_only"

#: How long a writer of SQLite waits for another one, seconds.
SQLITE_TIMEOUT_SECONDS = 30

#: What a connection to SQLite keeps in memory at most; and how long its log of changes, the
#: `-wal` file beside the database, grows before they are put in their places: 16 MB.
SQLITE_CACHE_KIB = 8_000
SQLITE_WAL_PAGES = 4_000


#: Options of an engine of PostgreSQL whose connections commit each statement by themselves:
#: nobody asks for a BEGIN, a COMMIT or, before each use, whether the server is there.
SINGLE_STATEMENTS: dict[str, Any] = {
    "isolation_level": "AUTOCOMMIT",
    "skip_autocommit_rollback": True,
    "pool_pre_ping": False,
}


def engine_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments that `create_engine` gets for *url*."""
    # The text of an error reaches logs: no kwargs of a job may stand in it.
    common = {"hide_parameters": True}
    if make_url(url).get_backend_name() == "sqlite":
        waiting = {"timeout": SQLITE_TIMEOUT_SECONDS, "check_same_thread": False}
        return common | {"connect_args": waiting}
    return common | {
        "pool_pre_ping": True,
        "pool_timeout": 10,
        # A server that vanished without a word must not hold a request or a tick.
        "connect_args": {
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "application_name": "jobs-app",
            "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s",
        },
    }


def make_engine(url: str, *, answer_seconds: float | None = None, **options: Any) -> Engine:
    """Return an engine for *url* with the settings that were measured to be safe.

    PostgreSQL: a connection is given up that brings no answer within *answer_seconds*.

    SQLite: WAL, foreign keys, BEGIN IMMEDIATE for everything that is not marked
    READ_ONLY. Python's own transaction mode silently loses updates, a deferred
    BEGIN gives "database is locked" as soon as a reader turns into a writer.
    """
    engine = create_engine(url, **(engine_options(url) | options))
    prepare_engine(engine, answer_seconds=answer_seconds)
    return engine


def prepare_engine(engine: Engine, *, answer_seconds: float | None = None) -> None:
    """Attach the recipe of its database to an engine, made here or elsewhere."""
    if engine.dialect.name == "postgresql":
        from jobs_app.db import postgres_timeout  # noqa: PLC0415 (a driver that SQLite does not need)

        seconds = answer_seconds or postgres_timeout.ANSWER_SECONDS
        event.listen(
            engine, "do_connect", partial(_connect_with_timeout, postgres_timeout.connect, seconds)
        )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        if engine.url.database and engine.url.database != ":memory:":
            file = Path(engine.url.database)
            event.listen(engine, "connect", partial(_note_file, file))
            event.listen(
                engine, "begin", partial(_check_file, file, file.with_name(f"{file.name}-wal"))
            )
        event.listen(engine, "begin", _begin_sqlite)


def _connect_with_timeout(
    connect: Callable[..., Any],
    seconds: float,
    _dialect: Dialect,
    _record: ConnectionPoolEntry,
    arguments: list[Any],
    given: dict[str, Any],
) -> Any:
    return connect(seconds, *arguments, **given)


def _note_file(file: Path, _connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    record.info["file"] = _identity(file)


def _check_file(file: Path, log_file: Path, connection: Connection) -> None:
    """Refuse a connection whose file is gone: what is written there is read by nobody.

    SQLite itself notices nothing, and goes on with a file that has no name any more. So it does
    with *log_file*, its log of changes, which is there from the first transaction to the last
    connection.
    """
    log_now = _identity(log_file)
    if connection.info.get("file") != _identity(file):
        gone = file
    elif connection.info.setdefault("log", log_now) not in (None, log_now):
        gone = log_file
    else:
        connection.info["log"] = log_now
        return
    connection.invalidate()
    # The others too: the last one to close puts in its place what the log has.
    connection.engine.dispose()
    cause = sqlite3.OperationalError(f"the file {gone} was removed or replaced")
    raise OperationalError("BEGIN", None, cause)


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what tells a file from others, whatever it is called; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # None: the driver opens no transactions by itself, `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # FULL: an acknowledged job survives a power cut, not only a crash.
    cursor.execute("PRAGMA synchronous = FULL")
    # What a tick of many jobs changes is more than SQLite holds by itself, 2 MB, and would go
    # to the disk twice; and to put it in its place after each commit is most of a tick's work.
    cursor.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {SQLITE_WAL_PAGES}")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    is_read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if is_read_only else "BEGIN IMMEDIATE")


class Database:
    """An engine and its sessions, for the processes that are not Flask."""

    def __init__(self, url: str, *, has_single: bool = False, **options: Any) -> None:
        """With *has_single*, PostgreSQL commits what `single` lends by itself.

        The other options are those of `make_engine`.
        """
        is_single = has_single and make_url(url).get_backend_name() == "postgresql"
        self.engine = make_engine(url, **(SINGLE_STATEMENTS | options if is_single else options))
        together: Engine = self.engine
        if is_single:
            together = self.engine.execution_options(isolation_level="READ COMMITTED")
        self._writing = sessionmaker(together, expire_on_commit=False)
        self._reading = sessionmaker(
            together.execution_options(**{READ_ONLY: True}), expire_on_commit=False
        )

    def session(self) -> Session:
        """Return a session that may write; use it as a context manager."""
        return self._writing()

    def reading(self) -> Session:
        """Return a session that only reads, and holds up no writer."""
        return self._reading()

    def single(self) -> Connection:
        """Return a connection for one statement, to be committed; use it as a context manager.

        The first one after the database was away may fail: whoever uses it tries again.
        """
        return self.engine.connect()

    def after_fork(self) -> None:
        """Forget the connections of the parent process; call first in a child."""
        # A pooled connection used by two processes mixes up their answers.
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def is_gone(error: DBAPIError) -> bool:
    """Tell whether *error* says that the database is out of reach, locked or full."""
    return isinstance(error, OperationalError) or error.connection_invalidated


def is_refused(error: SQLAlchemyError) -> bool:
    """Tell whether *error* says that a value cannot be stored, however often it is tried."""
    if isinstance(error, DBAPIError):
        return isinstance(error, DataError | IntegrityError)
    return isinstance(error, StatementError)
