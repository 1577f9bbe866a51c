"""The database that a restore fills: a new file, or one without rows; an error changes nothing."""

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from jobs_app.core.settings import Settings
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError
from jobs_app.db.engine import make_engine
from jobs_app.db.errors import is_damaged
from jobs_app.db.migrations import ADVISORY_LOCK, MARKER_TEXT
from jobs_app.db.models.processes import Installation
from jobs_app.db.revisions import current_revision, is_newer

#: The end of the names of the SQLite files that a restore replaces.
REPLACED = "before-restore"

#: The byte of the -shm file that each process with the database open has locked: UNIX_SHM_DMS in
#: SQLite's os_unix.c.
SHM_LOCK_BYTE = 128

_IN_USE = "A process of jobs-app uses the database: stop up, web, workers and schedulers first."


@contextmanager
def empty_postgres(settings: Settings, *, replaces: bool) -> Iterator[Connection]:
    """Yield a connection to the database without our tables, in a transaction.

    It is committed at the end; after an error the database is as it was.
    """
    engine = make_engine(settings.effective_database_url, answer_seconds=math.inf)
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            others = connection.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'jobs-app' AND pid <> pg_backend_pid()"
                )
            )
            if others:
                raise BackupError(_IN_USE)
            with Session(connection) as session:
                if is_newer(current_revision(session)):
                    raise BackupError(
                        "A newer version of jobs-app, or another program, has made the tables of"
                        " the database: restore into another one."
                    )
            _refuse_rows(connection, replaces=replaces)
            for table in reversed(table_copy.tables(connection)):
                connection.execute(text(f"DROP TABLE {table.name}"))
            connection.execute(text(f"DROP TABLE IF EXISTS {table_copy.REVISIONS}"))
            yield connection
    finally:
        engine.dispose()


@contextmanager
def new_sqlite(
    settings: Settings, file: Path, *, replaces: bool
) -> Iterator[tuple[Connection, Path | None]]:
    """Yield a connection to a new file, which takes the place of *file* at the end.

    The present file gets another name then, which is yielded too.
    """
    replaced = None
    if file.exists() and file.stat().st_size:
        _check_sqlite(file, replaces=replaces)
        replaced = _old_name(file)
    _refuse_lock(file)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.restore")
    try:
        engine = make_engine(f"sqlite:///{draft}")
        try:
            with engine.begin() as connection:
                draft.chmod(0o600)
                yield connection, replaced
        finally:
            # Closing the last connection writes the WAL into the file.
            engine.dispose()
        if replaced is not None:
            # A second name first: at each moment there is a whole database under the first one.
            replaced.unlink(missing_ok=True)
            replaced.hardlink_to(file)
        _set_aside_logs(file)
        draft.replace(file)
    finally:
        for end in ("", "-wal", "-shm"):
            draft.with_name(draft.name + end).unlink(missing_ok=True)
    if settings.database_url is None:
        settings.database_marker_file.write_text(MARKER_TEXT)


def _old_name(file: Path) -> Path:
    return file.with_name(f"{file.name}.{REPLACED}")


def _set_aside_logs(file: Path) -> None:
    """Give another name to the logs of a wrecked database, whose processes were killed.

    SQLite would write what they have into the new database:
    https://www.sqlite.org/howtocorrupt.html (1.4). A whole database has none any more.
    """
    for end in ("-wal", "-journal"):
        log = file.with_name(file.name + end)
        if log.exists():
            log.replace(_old_name(log))
    file.with_name(f"{file.name}-shm").unlink(missing_ok=True)


def _check_sqlite(file: Path, *, replaces: bool) -> None:
    """Raise BackupError if the database has rows and not *replaces*, or if a process uses it.

    A damaged database is replaced, too.
    """
    engine = make_engine(f"sqlite:///{file}", connect_args={"timeout": 1})
    try:
        with engine.connect() as connection:
            _refuse_rows(connection, replaces=replaces)
        _refuse_use(engine)
    except DatabaseError as error:
        if not is_damaged(error):
            raise
        if not replaces:
            raise BackupError(
                f"{file} is damaged, or no database: add --replace. The file is kept under"
                " another name."
            ) from error
    finally:
        engine.dispose()


def _refuse_lock(file: Path) -> None:
    """Raise BackupError if another process has the database open, which may be wrecked."""
    shared = file.with_name(f"{file.name}-shm")
    if not shared.exists():
        return
    with shared.open("rb+") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, SHM_LOCK_BYTE)
        except BlockingIOError as error:
            raise BackupError(_IN_USE) from error


def _refuse_use(engine: Engine) -> None:
    """Raise BackupError if another process has the database open; then no WAL file is left."""
    engine.dispose()
    connection = engine.raw_connection()
    try:
        # SQLite leaves the WAL mode only for the last connection.
        connection.cursor().execute("PRAGMA journal_mode = DELETE")
    except OperationalError as error:
        raise BackupError(_IN_USE) from error
    except Exception as error:
        if "locked" in str(error):
            raise BackupError(_IN_USE) from error
        raise
    finally:
        connection.close()


def _refuse_rows(connection: Connection, *, replaces: bool) -> None:
    if replaces:
        return
    for table in table_copy.tables(connection):
        name = table.name
        if name == Installation.__tablename__:
            continue
        if connection.execute(text(f"SELECT 1 FROM {name} LIMIT 1")).first() is not None:  # noqa: S608  # a name of the schema
            raise BackupError(
                "The database is not empty: restore into a new one, or add --replace to lose"
                " what it has."
            )
