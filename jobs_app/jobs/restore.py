"""Restores a backup into a new database, or in place of one, as a whole or not at all.

What happened between the backup and the restore is not known. So jobs are settled: fires of that
time are on record as missed, and none of them runs. A paused copy starts nothing at all.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO
from uuid import uuid4

from sqlalchemy import Connection, make_url, select, text, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.states import JobState, NotificationState
from jobs_app.db import table_copy
from jobs_app.db.backup_file import BackupError, BackupReader, Header
from jobs_app.db.migrations import upgrade_in
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.processes import Installation
from jobs_app.db.revisions import is_newer
from jobs_app.jobs.definition import follow_schedule
from jobs_app.jobs.restore_target import empty_postgres, new_sqlite
from jobs_app.runs import fires
from jobs_app.runs.transitions import end_unfinished
from jobs_app.secrets.encryption import Cipher, read_keys, write_first_keys
from jobs_app.secrets.rotation import ENCRYPTED_COLUMNS

#: Who has paused the jobs of a paused copy, and ended its runs.
RESTORE = "restore"

#: The reason of runs that had not ended in the backup of a paused copy.
REASON = "restored_paused"


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
        with empty_postgres(settings, replaces=replaces) as connection:
            return _load(settings, connection, reader, is_paused=is_paused, at=at, replaced=None)
    file = Path(url.database or "")
    with new_sqlite(settings, file, replaces=replaces) as (connection, replaced):
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
            if own is not None and own.reads(row.text):
                continue
            if own is None or old is None or not old.reads(row.text):
                unreadable += 1
                continue
            new = own.encrypt(old.decrypt(row.text))
            session.execute(update(table).where(table.id == row.id).values({column: new}))
    return unreadable


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
