"""The engine and the sessions of the database, with settings that were measured to be safe."""

import sqlite3
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.json_storage import read_json

#: Changes each statement that a session executes.
StatementFilter = Callable[[ORMExecuteState], None]

#: Execution option of a connection that only reads: SQLite then takes no write lock.
READ_ONLY = "jobs_read_only"

#: Execution option of a connection: how long it waits for another writer of SQLite, seconds.
WAIT_SECONDS = "jobs_wait_seconds"

#: Longest wait of a SQLite writer for another one, seconds.
SQLITE_TIMEOUT_SECONDS = 30

#: Page cache of a SQLite connection, and WAL size before a checkpoint: 4,000 pages are 16 MB.
SQLITE_CACHE_KIB = 8_000
SQLITE_WAL_PAGES = 4_000

#: Page cache of each SQLite connection of the web server, which has up to ten. They change few
#: pages, and SQLite empties their caches each time that another process writes.
SQLITE_WEB_CACHE_KIB = 2_000

#: Options of a PostgreSQL engine for single statements, which commit by themselves: no BEGIN,
#: no COMMIT, no ping before each use.
SINGLE_STATEMENTS: dict[str, Any] = {
    "isolation_level": "AUTOCOMMIT",
    "skip_autocommit_rollback": True,
    "pool_pre_ping": False,
}


#: Start-up options of each PostgreSQL session. Without jit=off the server compiles statements
#: whose cost it overestimates anew at each call: seconds of work for an empty result.
POSTGRES_OPTIONS = (
    "-c statement_timeout=30s",
    "-c idle_in_transaction_session_timeout=60s",
    "-c jit=off",
)


def engine_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments of `create_engine` for *url*."""
    # Errors are logged: their text must not hold the kwargs of a job.
    common: dict[str, Any] = {"hide_parameters": True, "json_deserializer": read_json}
    parts = make_url(url)
    _check_values(parts)
    if parts.get_backend_name() == "sqlite":
        connect_args = {"timeout": SQLITE_TIMEOUT_SECONDS, "check_same_thread": False}
        return common | {"connect_args": connect_args}
    _check_option_names(parts.query)
    return common | {
        "pool_pre_ping": True,
        "pool_timeout": 10,
        # A server that vanished silently must not hold a request or a tick.
        "connect_args": {
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "application_name": "jobs-app",
            "options": " ".join([*POSTGRES_OPTIONS, *_options_in(url)]),
        },
    }


def _check_values(url: URL) -> None:
    """Raise ConfigurationError if an option of *url*, or its port, has a value of another type."""
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError) as error:
        sentence = str(error).removesuffix(".")
        raise ConfigurationError(f"JOBS_DATABASE_URL is refused: {sentence}.") from error


def _check_option_names(names: Iterable[str]) -> None:
    """Raise ConfigurationError if PostgreSQL has no connection option of one of these names."""
    # psycopg takes 0.09 s to import, which no process needs that runs on SQLite.
    from psycopg import ProgrammingError, conninfo  # noqa: PLC0415

    try:
        conninfo.make_conninfo(**dict.fromkeys(names, "1"))
    except ProgrammingError as error:
        raise ConfigurationError(f"JOBS_DATABASE_URL is refused: {str(error).strip()}.") from error


def _options_in(url: str) -> list[str]:
    """Return the start-up options that *url* itself asks for; they come last, so they win."""
    options = make_url(url).query.get("options", ())
    return [options] if isinstance(options, str) else list(options)


def make_engine(url: str, *, answer_seconds: float | None = None, **options: Any) -> Engine:
    """Return an engine for *url* with the settings that were measured to be safe.

    PostgreSQL: a connection that gets no answer within *answer_seconds* is closed.

    SQLite: WAL, foreign keys, and BEGIN IMMEDIATE unless a connection is READ_ONLY.
    Python's own transaction mode silently loses updates. A deferred BEGIN gives
    "database is locked" as soon as a reader turns into a writer.
    """
    engine = create_engine(url, **(engine_options(url) | options))
    prepare_engine(engine, answer_seconds=answer_seconds)
    return engine


def prepare_engine(
    engine: Engine,
    *,
    answer_seconds: float | None = None,
    sqlite_cache_kib: int = SQLITE_CACHE_KIB,
) -> None:
    """Attach the settings of its database to an engine, made here or elsewhere."""
    if engine.dialect.name == "postgresql":
        # psycopg takes 0.09 s to import, which no process needs that runs on SQLite.
        from jobs_app.db import postgres_timeout  # noqa: PLC0415

        seconds = answer_seconds or postgres_timeout.ANSWER_SECONDS
        event.listen(engine, "do_connect", partial(postgres_timeout.connect, seconds))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_prepare_sqlite, sqlite_cache_kib))
        if engine.url.database and engine.url.database != ":memory:":
            file = Path(engine.url.database)
            event.listen(
                engine, "connect", lambda _, record: record.info.update(file=_identity(file))
            )
            event.listen(
                engine, "begin", partial(_check_file, file, file.with_name(f"{file.name}-wal"))
            )
        event.listen(engine, "begin", _begin_sqlite)


def _check_file(file: Path, wal_file: Path, connection: Connection) -> None:
    """Refuse a connection whose file is gone: nobody reads what is written there.

    SQLite does not notice, and keeps using the deleted file. The same is true of its WAL,
    *wal_file*, which exists from the first transaction until the last connection closes.
    """
    wal_now = _identity(wal_file)
    if connection.info.get("file") != _identity(file):
        missing = file
    elif connection.info.setdefault("wal", wal_now) not in (None, wal_now):
        missing = wal_file
    else:
        connection.info["wal"] = wal_now
        return
    connection.invalidate()
    # Close the other connections too: the last one to close checkpoints the WAL.
    connection.engine.dispose()
    cause = sqlite3.OperationalError(f"the file {missing} was removed or replaced")
    raise OperationalError("BEGIN", None, cause)


def _identity(file: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _prepare_sqlite(
    cache_kib: int, connection: DBAPIConnection, _record: ConnectionPoolEntry
) -> None:
    # None: the driver opens no transactions; `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    # FULL: an acknowledged job survives a power cut, not only a crash.
    cursor.execute("PRAGMA synchronous = FULL")
    # A tick of many jobs changes more pages than SQLite's default cache of 2 MB holds, and would
    # write them twice. With the default, a checkpoint at each commit is most of a tick's work.
    cursor.execute(f"PRAGMA cache_size = -{cache_kib}")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {SQLITE_WAL_PAGES}")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Switch the file to WAL, where two connections may do so at the same time.

    SQLite then refuses one of them at once: its busy timeout is for locks that end by waiting.
    """
    deadline = time.monotonic() + SQLITE_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(READ_ONLY, False):
        connection.exec_driver_sql("BEGIN")
    elif (seconds := options.get(WAIT_SECONDS)) is not None:
        _set_wait(connection, seconds)
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            _set_wait(connection, SQLITE_TIMEOUT_SECONDS)
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_wait(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}").close()


def reader_of(session: Session) -> Session:
    """Return a session that only reads the database of *session*, and blocks no writer.

    It does not see the open transaction of *session*, and has the same filter. Use it as a
    context manager.
    """
    reader = Session(
        session.get_bind().execution_options(**{READ_ONLY: True}), expire_on_commit=False
    )
    if (statement_filter := session.info.get(FILTER)) is not None:
        filter_statements(reader, statement_filter)
    return reader


#: The key of the filter in `info` of a session.
FILTER = "statement_filter"


def filter_statements(session: Session, statement_filter: StatementFilter) -> None:
    """Let *statement_filter* change each statement of *session*, and of the readers of it."""
    session.info[FILTER] = statement_filter
    event.listen(session, "do_orm_execute", statement_filter)


class Database:
    """An engine and its sessions, for the processes that are not Flask."""

    def __init__(self, url: str, *, has_single: bool = False, **options: Any) -> None:
        """Make the engine of *url* with the options of `make_engine`.

        With *has_single*, a connection of `single` to PostgreSQL commits each statement.
        """
        is_single = has_single and make_url(url).get_backend_name() == "postgresql"
        self.engine = make_engine(url, **(SINGLE_STATEMENTS | options if is_single else options))
        transactional: Engine = self.engine
        if is_single:
            transactional = self.engine.execution_options(isolation_level="READ COMMITTED")
        self._writing = sessionmaker(transactional, expire_on_commit=False)
        self._reading = sessionmaker(
            transactional.execution_options(**{READ_ONLY: True}), expire_on_commit=False
        )

    def session(self) -> Session:
        """Return a session that may write; use it as a context manager."""
        return self._writing()

    def reading(self) -> Session:
        """Return a session that only reads, and blocks no writer."""
        return self._reading()

    def single(self) -> Connection:
        """Return a connection for one statement; commit it, and use it as a context manager.

        The first one after an outage of the database may fail: the caller retries.
        """
        return self.engine.connect()

    def after_fork(self) -> None:
        """Drop the connections of the parent process; call this first in a child."""
        # Two processes on one connection would get each other's answers.
        self.engine.dispose(close=False)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


#: SQLite's primary result codes: another writer holds the lock; no room, or a failed write.
_SQLITE_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}

#: PostgreSQL's SQLSTATE codes of the same (appendix A of its manual).
_POSTGRES_LOCKED = "55P03"
_POSTGRES_FULL = "53100"

#: No right to a table, or a transaction that only reads; a file that only reads.
_POSTGRES_REFUSED = {"42501", "25006"}
_SQLITE_REFUSED = sqlite3.SQLITE_READONLY


def is_locked(error: DBAPIError) -> bool:
    """Return whether *error* means that a statement waited too long for another writer."""
    return _primary_code(error) in _SQLITE_LOCKED or sqlstate(error) == _POSTGRES_LOCKED


def is_full(error: DBAPIError) -> bool:
    """Return whether *error* means that the disk of the database takes no write."""
    return _primary_code(error) in _SQLITE_FULL or sqlstate(error) == _POSTGRES_FULL


def is_refused(error: DBAPIError) -> bool:
    """Return whether *error* means that the database lets its user not read or write."""
    return _primary_code(error) == _SQLITE_REFUSED or sqlstate(error) in _POSTGRES_REFUSED


def _primary_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    # The upper bytes of an extended code say more about the same error.
    return None if code is None else code & 0xFF


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE that PostgreSQL gave with *error*; None without one."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
