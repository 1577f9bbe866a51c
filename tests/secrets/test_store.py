"""The store of secrets: concurrent creation, time of use, rotation of keys."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select

from jobs_app.core.errors import ConfigurationError, StaleVersion
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import encryption, store
from jobs_app.secrets.encryption import Cipher
from tests.factories import MINUTE, NOON, SECOND

KEY = Fernet.generate_key().decode()


def put(database: Database, name: str, value: str, cipher: Cipher, version: int | None) -> None:
    with database.session() as session:
        store.put(
            session,
            name,
            value=value,
            description=None,
            version=version,
            cipher=cipher,
            by="tester",
            at=NOON,
        )


def decrypted_values(database: Database, cipher: Cipher) -> dict[str, str]:
    with database.reading() as session:
        secrets = session.scalars(select(Secret))
        return {secret.name: cipher.decrypt(secret.encrypted) for secret in secrets}


def test_making_a_secret_that_somebody_else_just_made_is_refused(database: Database) -> None:
    put(database, "A", "first", Cipher(KEY), store.ABSENT)

    with pytest.raises(StaleVersion, match="Somebody else"):
        put(database, "A", "second", Cipher(KEY), store.ABSENT)

    assert decrypted_values(database, Cipher(KEY)) == {"A": "first"}


def test_the_use_of_a_secret_is_noted_once_a_minute(database: Database) -> None:
    put(database, "A", "a", Cipher(KEY), None)

    with database.session() as session:
        secrets = store.find_all(session, ["A"]).values()
        assert store.names_to_mark_used(secrets, at=NOON) == ["A"]
        store.mark_used(session, ["A"], at=NOON)
    with database.session() as session:
        secrets = store.find_all(session, ["A"]).values()
        assert store.names_to_mark_used(secrets, at=NOON + SECOND) == []
        assert store.names_to_mark_used(secrets, at=NOON + MINUTE) == ["A"]
        assert [secret.version for secret in secrets] == [1]


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=database_url)


def test_secrets_of_the_old_key_stay_readable_after_a_rotation_of_the_key_file(
    database: Database, settings: Settings
) -> None:
    before = encryption.load_cipher(settings, makes_key=True)
    put(database, "A", "a", before, None)
    put(database, "B", "b", before, None)

    assert store.rotate_keys(settings, drops_old=False, by="tester", at=NOON) == 2
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
    put(database, "A", "a", encryption.load_cipher(settings, makes_key=True), None)
    old = settings.secret_key_file.read_text()

    store.rotate_keys(settings, drops_old=True, by="tester", at=NOON)

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

    store.rotate_keys(both, drops_old=False, by="tester", at=NOON)

    assert decrypted_values(database, Cipher(new)) == {"A": "a"}


def test_a_single_key_in_the_settings_cannot_be_rotated(settings: Settings) -> None:
    single = settings.model_copy(update={"secret_key": KEY})

    with pytest.raises(ConfigurationError, match="new one before it"):
        store.rotate_keys(single, drops_old=False, by="tester", at=NOON)


def test_a_rotation_that_cannot_read_something_changes_nothing(
    database: Database, settings: Settings
) -> None:
    put(database, "A", "a", encryption.load_cipher(settings, makes_key=True), None)
    put(database, "B", "b", Cipher(KEY), None)

    with pytest.raises(ConfigurationError, match="same JOBS_SECRET_KEY"):
        store.rotate_keys(settings, drops_old=True, by="tester", at=NOON)

    either = Cipher(f"{settings.secret_key_file.read_text()},{KEY}")
    assert decrypted_values(database, either) == {"A": "a", "B": "b"}


def test_without_a_key_there_is_nothing_to_rotate_and_none_is_made(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        store.rotate_keys(settings, drops_old=False, by="tester", at=NOON)

    assert not settings.secret_key_file.exists()


def test_the_audit_of_a_deleted_secret_names_a_hundred_jobs_and_counts_all(
    database: Database,
) -> None:
    put(database, "A", "a", Cipher(KEY), None)
    with database.session() as session:
        common: dict[str, Any] = {
            "task": "shell",
            "kwargs": {"command": "date", "env": {"A": "${secret:A}"}},
        }
        common |= {"created_at": NOON, "updated_at": NOON}
        session.execute(insert(Job), [common | {"name": f"job-{n:03}"} for n in range(130)])
        session.commit()

    with database.session() as session:
        store.remove(session, "A", version=None, force=True, by="tester", at=NOON)

    with database.reading() as session:
        entry = session.scalars(select(AuditEvent)).all()[-1]
    assert entry.detail["jobs"] == [f"job-{n:03}" for n in range(100)]
    assert entry.detail["job_count"] == 130
