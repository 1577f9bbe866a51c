"""Writes a backup of an installation while it runs: everything as of one instant."""

import contextlib
import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, func, select, text
from sqlalchemy.orm import Session

from jobs_app import __version__
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.text import rfc3339
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError, BackupWriter, Header
from jobs_app.db.engine import READ_ONLY, make_engine
from jobs_app.db.revisions import current_revision, is_newer
from jobs_app.secrets.encryption import read_keys
from jobs_app.secrets.rotation import ENCRYPTED_COLUMNS


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup has: its rows, its encrypted texts, and whether their key.

    `bytes` is the size of its file, None for a stream.
    """

    rows: int
    encrypted: int
    has_key: bool
    bytes: int | None = None


def write_backup(
    settings: Settings, target: Path, *, with_key: bool, replaces: bool, at: datetime
) -> Backup:
    """Write a backup to the file *target*, mode 0600; it appears there when it is whole.

    A file that is there already stays, unless *replaces*. Raises BackupError, ConfigurationError,
    and database errors.
    """
    _refuse_present(target, replaces=replaces)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            made = stream_backup(settings, stream, with_key=with_key, at=at)
            stream.flush()
            os.fsync(stream.fileno())
            size = stream.tell()
        _refuse_present(target, replaces=replaces)
        draft.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise _file_error(target, error) from error
    finally:
        draft.unlink(missing_ok=True)
    return replace(made, bytes=size)


def stream_backup(settings: Settings, stream: IO[bytes], *, with_key: bool, at: datetime) -> Backup:
    """Write a backup to *stream*; it is whole only if this returns.

    Raises BackupError, ConfigurationError, OSError and database errors.
    """
    keys = read_keys(settings) if with_key else None
    with snapshot(settings) as connection:
        with Session(connection) as session:
            revision = current_revision(session)
            if revision is None:
                raise BackupError("There is nothing to back up: the database has no tables yet.")
            if is_newer(revision):
                raise ConfigurationError(
                    f"A newer version of jobs-app has migrated the database to {revision}: make"
                    " the backup with that version."
                )
        encrypted = _count_encrypted(connection)
        last = table_copy.sequences(connection)
        header = Header(revision, rfc3339(at), __version__, sequences=last, key=keys)
        writer = BackupWriter(stream, header)
        table_copy.write_tables(connection, writer)
        writer.finish()
    return Backup(writer.rows, encrypted, with_key)


def _refuse_present(target: Path, *, replaces: bool) -> None:
    if target.is_dir():
        raise BackupError(f"{target} is a directory: name a file.")
    if not replaces and (target.exists() or target.is_symlink()):
        raise BackupError(f"{target} is there already: choose another name, or add --replace.")


def _file_error(target: Path, error: OSError) -> BackupError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "the disk is full"
    return BackupError(f"No backup was written to {target}: {reason}.")


def _sync_directory(directory: Path) -> None:
    """Write the entry of a new file to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _count_encrypted(connection: Connection) -> int:
    names = {table.name for table in table_copy.tables(connection)}
    return sum(
        connection.scalar(select(func.count()).select_from(column.class_.__table__)) or 0
        for column in ENCRYPTED_COLUMNS
        if column.class_.__tablename__ in names
    )


@contextmanager
def snapshot(settings: Settings) -> Iterator[Connection]:
    """Yield a connection that reads the database as of one instant, and stops no writer.

    SQLite: a read transaction in WAL mode. PostgreSQL: REPEATABLE READ, READ ONLY.
    """
    # Reading all takes longer than a request may.
    engine = make_engine(settings.effective_database_url, answer_seconds=math.inf)
    try:
        if engine.dialect.name == "sqlite":
            engine = engine.execution_options(**{READ_ONLY: True})
        else:
            engine = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # A slow disk for the backup must not end the transaction.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection
    finally:
        engine.dispose()
