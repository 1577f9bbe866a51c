"""Encrypts everything in the database with a new key, in batches.

1. A new key is put in front of the older ones; all of them still decrypt.
2. All texts are tried first, so that a text without a key stops the rotation early.
3. Each batch is read and encrypted without a lock. One transaction writes it, each row only if
   its text is still the one that was read.
4. A pass that finds no text of an older key is the end; with `drops_old` the older keys go.

A rotation that was interrupted goes on with its key when it is called again: a file beside the
key says which key that is. Meanwhile every text can be read, with one key or the other.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Row, select, update
from sqlalchemy.orm import InstrumentedAttribute

from jobs_app.accounts import audit
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import encryption
from jobs_app.secrets.encryption import Cipher

#: All columns with encrypted text; a rotation encrypts them again.
ENCRYPTED_COLUMNS: tuple[InstrumentedAttribute[str], ...] = (
    Secret.encrypted,
    NotificationChannel.encrypted,
)

#: Texts that one transaction writes. A text has up to 350 KB.
BATCH = 50


def rotate_keys(settings: Settings, *, drops_old: bool, by: str, at: datetime) -> int:
    """Encrypt everything with a new key; return the number of texts that this call encrypted.

    A key file gets the new key in front; the older keys stay behind it, for backups,
    unless *drops_old*. JOBS_SECRET_KEY must hold the new key already. Raises
    ConfigurationError, and encrypts nothing, if there is no new key or a text fits no key.
    """
    if settings.secret_key is None:
        encryption.load_cipher(settings)
        encryption.begin_rotation(settings.secret_key_file)
    cipher = encryption.load_cipher(settings)
    if cipher.keys < 2:
        raise ConfigurationError(
            "JOBS_SECRET_KEY has one key only: put a new one before it, with a comma between, "
            "start every process with both, and rotate then."
        )
    database = Database(settings.effective_database_url)
    try:
        count = reencrypt(database, cipher, by=by, at=at)
    finally:
        database.close()
    if settings.secret_key is None:
        encryption.end_rotation(settings.secret_key_file, drops_old=drops_old)
    return count


def reencrypt(database: Database, cipher: Cipher, *, by: str, at: datetime) -> int:
    """Encrypt everything with the first key of *cipher*; return how many texts had another key.

    Each batch is committed: an interrupted call loses nothing, and the next one does the rest.
    Text that others encrypt meanwhile with an older key is found by a further pass.
    Raises ConfigurationError, and changes nothing, if a text fits none of the keys.
    """
    for column in ENCRYPTED_COLUMNS:
        for rows in _batches(database, column):
            for row in rows:
                cipher.decrypt(row.text)
    count = 0
    while written := sum(_encrypt_column(database, column, cipher) for column in ENCRYPTED_COLUMNS):
        count += written
    with database.session() as session:
        audit.note(session, "rotate_secret_key", by=by, at=at, resealed=count)
        session.commit()
    return count


def _encrypt_column(database: Database, column: InstrumentedAttribute[str], cipher: Cipher) -> int:
    """Encrypt the texts of a column that have an older key; return how many there were."""
    count = 0
    for rows in _batches(database, column):
        new_texts = [
            (row.id, row.text, cipher.reencrypt(row.text))
            for row in rows
            if not cipher.is_newest(row.text)
        ]
        if new_texts:
            _write(database, column, new_texts)
        count += len(new_texts)
    return count


def _write(
    database: Database,
    column: InstrumentedAttribute[str],
    new_texts: Sequence[tuple[int, str, str]],
) -> None:
    """Write texts by their ids, each only if the row still has the text that was read."""
    with database.session() as session:
        for row_id, text, new_text in new_texts:
            session.execute(
                update(column.class_)
                .where(column.class_.id == row_id, column == text)
                .values({column: new_text})
                .execution_options(synchronize_session=False)
            )
        session.commit()


def _batches(
    database: Database, column: InstrumentedAttribute[str]
) -> Iterator[Sequence[Row[tuple[int, str]]]]:
    """Yield the rows of *column*, as `id` and `text`, in the order of their ids."""
    row_id = column.class_.id
    last_id = 0
    while True:
        statement = select(row_id, column.label("text")).where(row_id > last_id)
        with database.reading() as session:
            rows = session.execute(statement.order_by(row_id).limit(BATCH)).all()
        if not rows:
            return
        yield rows
        last_id = rows[-1].id
