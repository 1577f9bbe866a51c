"""Rotation of the key: in batches, which a rotation that was killed takes up again."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import event, select

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import encryption, rotation
from jobs_app.secrets.encryption import Cipher
from tests.factories import NOON
from tests.secrets.stored_secrets import decrypted_values, put

KEY = Fernet.generate_key().decode()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


def store(database: Database, settings: Settings, **values: str) -> Cipher:
    """Store *values* with the key of the key file, and return the cipher of that key."""
    cipher = encryption.load_cipher(settings, makes_key=True)
    for name, value in values.items():
        put(database, name, value, cipher, None)
    return cipher


def test_secrets_of_the_old_key_stay_readable_after_a_rotation_of_the_key_file(
    database: Database, settings: Settings
) -> None:
    before = store(database, settings, A="a", B="b")

    assert rotation.rotate_keys(settings, drops_old=False, by="tester", at=NOON) == 2
    put(database, "LATE", "late", before, None)

    after = encryption.load_cipher(settings)
    assert decrypted_values(database, after) == {"A": "a", "B": "b", "LATE": "late"}
    newest = Cipher(settings.secret_key_file.read_text().partition(",")[0])
    with database.reading() as session:
        encrypted = {secret.name: secret.encrypted for secret in session.scalars(select(Secret))}
    assert newest.decrypt(encrypted["A"]) == "a"
    assert settings.secret_key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret-key"]


def test_old_keys_are_dropped_when_asked_for(database: Database, settings: Settings) -> None:
    store(database, settings, A="a")
    old = settings.secret_key_file.read_text()

    rotation.rotate_keys(settings, drops_old=True, by="tester", at=NOON)

    new = settings.secret_key_file.read_text()
    assert old not in new
    assert decrypted_values(database, Cipher(new)) == {"A": "a"}
    assert Cipher(new).keys == 1


def test_a_key_in_the_settings_is_rotated_to_the_first_one(
    database: Database, settings: Settings
) -> None:
    put(database, "A", "a", Cipher(KEY), None)
    new = Fernet.generate_key().decode()
    both = settings.model_copy(update={"secret_key": f"{new},{KEY}"})

    rotation.rotate_keys(both, drops_old=False, by="tester", at=NOON)

    assert decrypted_values(database, Cipher(new)) == {"A": "a"}


def test_a_single_key_in_the_settings_cannot_be_rotated(settings: Settings) -> None:
    single = settings.model_copy(update={"secret_key": KEY})

    with pytest.raises(ConfigurationError, match="new one before it"):
        rotation.rotate_keys(single, drops_old=False, by="tester", at=NOON)


def test_a_rotation_that_cannot_read_something_changes_nothing(
    database: Database, settings: Settings
) -> None:
    store(database, settings, A="a")
    put(database, "B", "b", Cipher(KEY), None)

    with pytest.raises(ConfigurationError, match="same JOBS_SECRET_KEY"):
        rotation.rotate_keys(settings, drops_old=True, by="tester", at=NOON)

    either = Cipher(f"{settings.secret_key_file.read_text()},{KEY}")
    assert decrypted_values(database, either) == {"A": "a", "B": "b"}


def test_without_a_key_there_is_nothing_to_rotate_and_none_is_made(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        rotation.rotate_keys(settings, drops_old=False, by="tester", at=NOON)

    assert not settings.secret_key_file.exists()


#: Rotates the key in batches of two, and is killed before the third of its commits.
KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from sqlalchemy import Engine, event
from jobs_app.core.settings import Settings
from jobs_app.secrets import rotation

rotation.BATCH = 2
commits = []

@event.listens_for(Engine, "commit")
def count(connection):
    commits.append(connection)
    if len(commits) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

key = sys.argv[3] or None
settings = Settings(data_dir=Path(sys.argv[1]), database_url=sys.argv[2], secret_key=key)
rotation.rotate_keys(settings, drops_old=True, by="tester", at=datetime.now(UTC))
"""

VALUES = {f"S{number}": f"value-{number}" for number in range(9)}


def kill_a_rotation(settings: Settings) -> None:
    """Start a rotation in a process of its own that is killed after two of five batches."""
    arguments = [str(settings.data_dir), str(settings.database_url), settings.secret_key or ""]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL


def test_a_rotation_that_was_killed_is_taken_up_again_with_its_key(
    database: Database, settings: Settings
) -> None:
    store(database, settings, **VALUES)

    kill_a_rotation(settings)

    between = settings.secret_key_file.read_text().split(",")
    newest = Cipher(between[0])
    # Both keys are there, and everything can be read.
    assert len(between) == 2
    assert decrypted_values(database, encryption.load_cipher(settings)) == VALUES
    assert texts_of(database, newest) == 4

    assert rotation.rotate_keys(settings, drops_old=True, by="tester", at=NOON) == 5

    assert settings.secret_key_file.read_text() == between[0]
    assert decrypted_values(database, newest) == VALUES
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret-key"]


def test_a_killed_rotation_to_a_key_of_the_settings_goes_on_where_it_was(
    database: Database, settings: Settings
) -> None:
    for name, value in VALUES.items():
        put(database, name, value, Cipher(KEY), None)
    new = Fernet.generate_key().decode()
    both = settings.model_copy(update={"secret_key": f"{new},{KEY}"})

    kill_a_rotation(both)

    assert texts_of(database, Cipher(new)) == 4
    assert decrypted_values(database, Cipher(f"{new},{KEY}")) == VALUES
    assert rotation.rotate_keys(both, drops_old=False, by="tester", at=NOON) == 5
    assert decrypted_values(database, Cipher(new)) == VALUES


def texts_of(database: Database, cipher: Cipher) -> int:
    """Return how many texts the first key of *cipher* has encrypted."""
    with database.reading() as session:
        return sum(map(cipher.is_newest, session.scalars(select(Secret.encrypted))))


def test_a_rotation_that_ended_is_followed_by_one_with_another_key(
    database: Database, settings: Settings
) -> None:
    store(database, settings, A="a")
    rotation.rotate_keys(settings, drops_old=False, by="tester", at=NOON)
    first = settings.secret_key_file.read_text()

    assert rotation.rotate_keys(settings, drops_old=False, by="tester", at=NOON) == 1

    assert settings.secret_key_file.read_text().partition(",")[2] == first


def test_a_value_that_is_stored_during_a_rotation_is_kept_and_encrypted_too(
    database: Database, settings: Settings
) -> None:
    old = store(database, settings, A="before", B="b")
    cipher = Cipher(f"{KEY},{settings.secret_key_file.read_text()}")
    reads: list[str] = []

    def store_once(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM secrets" in statement and "sealed" in statement:
            reads.append(statement)

    def after_a_read(*_: Any) -> None:
        # The first read is the trial; the second one is of a batch.
        if len(reads) == 2:
            reads.append("")
            put(database, "A", "after", old, None)

    event.listen(database.engine, "before_cursor_execute", store_once)
    event.listen(database.engine, "checkin", after_a_read)
    count = rotation.reencrypt(database, cipher, by="tester", at=NOON)

    assert len(reads) > 2
    assert decrypted_values(database, Cipher(KEY)) == {"A": "after", "B": "b"}
    with database.reading() as session:
        newest = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert newest is not None
    assert (newest.action, newest.detail["resealed"]) == ("rotate_secret_key", count)
