"""Restores a backup into a new database, or in place of one, as a whole or not at all.

What happened between the backup and the restore is not known. So jobs are settled: fires of that
time are on record as missed, and none of them runs. A paused copy starts nothing at all.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from sqlalchemy import Connection, Engine, make_url, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.states import JobState, NotificationState
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError, BackupReader, Header
from jobs_app.db.engine import make_engine
from jobs_app.db.migrations import ADVISORY_LOCK, MARKER_TEXT, upgrade_in
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.processes import Installation
from jobs_app.db.revisions import current_revision, is_newer
from jobs_app.jobs.definition import follow_schedule
from jobs_app.runs import fires
from jobs_app.runs.transitions import end_unfinished
from jobs_app.secrets.encryption import Cipher, read_keys, write_first_keys
from jobs_app.secrets.rotation import ENCRYPTED_COLUMNS

#: Who has paused the jobs of a paused copy, and ended its runs.
RESTORE = "restore"

#: The reason of runs that had not ended in the backup of a paused copy.
REASON = "restored_paused"

#: The end of the name of the SQLite file that a restore replaces.
REPLACED = "before-restore"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: how many jobs it paused, and how many had fires since the backup.

    `unreadable` counts encrypted texts that no key here reads. `replaced` is the file that has
    the database as it was before, if there is one.
    """

    header: Header
    rows: int
    paused_jobs: int
    late_jobs: int
    unreadable: int
    replaced: Path | None


def restore(
    settings: Settings, source: IO[bytes], *, is_paused: bool, replaces: bool, at: datetime
) -> Restored:
    """Put the backup in *source* in the place of the database, and settle its jobs.

    Raises BackupError, and changes nothing, if the backup is not whole or is of a newer version,
    if the database has anything and not *replaces*, or if a process uses it.
    """
    reader = BackupReader(source)
    if is_newer(reader.header.revision):
        raise BackupError(
            f"The backup is of a newer version of jobs-app, {reader.header.made_by}: restore it"
            " with that version."
        )
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != "sqlite":
        with _empty_postgres(settings, replaces=replaces) as connection:
            return _load(settings, connection, reader, is_paused=is_paused, at=at, replaced=None)
    file = Path(url.database or "")
    with _new_sqlite(settings, file, replaces=replaces) as (connection, replaced):
        return _load(settings, connection, reader, is_paused=is_paused, at=at, replaced=replaced)


def _load(
    settings: Settings,
    connection: Connection,
    reader: BackupReader,
    *,
    is_paused: bool,
    at: datetime,
    replaced: Path | None,
) -> Restored:
    """Fill the empty database of *connection*; the caller commits, or rolls back after an error."""
    header = reader.header
    upgrade_in(connection, header.revision)
    for table in reversed(table_copy.tables(connection)):
        connection.execute(text(f"DELETE FROM {table.name}"))  # noqa: S608  # a name of the schema
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
    table_copy.read_tables(connection, reader)
    table_copy.set_sequences(connection, header.sequences)
    upgrade_in(connection, "head")
    with Session(connection) as session:
        audit.set_origin(session, audit.Origin(None, None, via="cli"))
        unreadable = _fit_keys(settings, session, header)
        made_at = datetime.fromisoformat(header.made_at)
        paused = _pause_all(session, made_at, at=at) if is_paused else 0
        late = 0 if is_paused else _skip_fires(session, at=at)
        audit.note(session, "restore_backup", by=RESTORE, at=at, made_at=header.made_at)
        session.flush()
    return Restored(header, reader.rows, paused, late, unreadable, replaced)


def _fit_keys(settings: Settings, session: Session, header: Header) -> int:
    """Let the key of this installation read the secrets; return how many texts it does not.

    A backup with a key brings it to an installation without one. If that has another key, the
    texts are encrypted with it again.
    """
    if header.key is not None:
        write_first_keys(settings, header.key)
    try:
        own = Cipher(read_keys(settings))
    except ConfigurationError:
        own = None
    old = None if header.key is None else Cipher(header.key)
    unreadable = 0
    for column in ENCRYPTED_COLUMNS:
        table = column.class_
        for row in session.execute(select(table.id, column.label("text"))).all():
            if own is not None and _reads(own, row.text):
                continue
            if own is None or old is None or not _reads(old, row.text):
                unreadable += 1
                continue
            new = own.encrypt(old.decrypt(row.text))
            session.execute(update(table).where(table.id == row.id).values({column: new}))
    return unreadable


def _reads(cipher: Cipher, encrypted: str) -> bool:
    try:
        cipher.decrypt(encrypted)
    except ConfigurationError:
        return False
    return True


def _pause_all(session: Session, made_at: datetime, *, at: datetime) -> int:
    """Pause each job as of the backup, end what had not ended, and send nothing.

    The copy gets an id of its own, so that it does not take the keys of the other in Redis.
    """
    active = (Job.state == JobState.ACTIVE, Job.deleted_at.is_(None))
    paused = list(session.scalars(select(Job.id).where(*active)))
    session.execute(
        update(Job)
        .where(*active)
        .values(
            state=JobState.PAUSED,
            paused_at=made_at,
            paused_by=RESTORE,
            paused_reason="Restored from a backup, paused.",
            paused_until=None,
            next_fire_at=None,
            next_due_at=None,
            version=Job.version + 1,
            updated_at=at,
        )
    )
    # Pauses that would end by themselves go on, too.
    session.execute(update(Job).where(Job.paused_until.is_not(None)).values(paused_until=None))
    end_unfinished(session, by=RESTORE, reason=REASON, at=at)
    session.execute(
        update(Notification)
        .where(Notification.state == NotificationState.PENDING)
        .values(state=NotificationState.SUPPRESSED, due_at=None)
    )
    session.execute(update(Installation).values(id=uuid4()))
    return len(paused)


def _skip_fires(session: Session, *, at: datetime) -> int:
    """Record the fires since the backup as missed, but for those that are on time still.

    Return how many jobs had one. No catch-up policy runs them: the jobs may have run after the
    backup, which nobody knows here.
    """
    due = select(Job.id).where(Job.next_due_at <= at, Job.deleted_at.is_(None))
    ids = list(session.scalars(due.order_by(Job.id)))
    for job_id in ids:
        job = session.get_one(Job, job_id)
        fires.record_before_change(session, job, at=at)
        follow_schedule(job, at=at)
        session.flush()
        session.expunge(job)
    return len(ids)


@contextmanager
def _empty_postgres(settings: Settings, *, replaces: bool) -> Iterator[Connection]:
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


_IN_USE = "A process of jobs-app uses the database: stop up, web, workers and schedulers first."


@contextmanager
def _new_sqlite(
    settings: Settings, file: Path, *, replaces: bool
) -> Iterator[tuple[Connection, Path | None]]:
    """Yield a connection to a new file, which takes the place of *file* at the end.

    The present file gets another name then, which is yielded too.
    """
    replaced = None
    if file.exists() and file.stat().st_size:
        _check_sqlite(file, replaces=replaces)
        replaced = file.with_name(f"{file.name}.{REPLACED}")
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
        draft.replace(file)
    finally:
        for end in ("", "-wal", "-shm"):
            draft.with_name(draft.name + end).unlink(missing_ok=True)
    if settings.database_url is None:
        settings.database_marker_file.write_text(MARKER_TEXT)


def _check_sqlite(file: Path, *, replaces: bool) -> None:
    """Raise BackupError if the database has rows and not *replaces*, or if a process uses it."""
    engine = make_engine(f"sqlite:///{file}", connect_args={"timeout": 1})
    try:
        with engine.connect() as connection:
            _refuse_rows(connection, replaces=replaces)
        _refuse_use(engine)
    finally:
        engine.dispose()


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
