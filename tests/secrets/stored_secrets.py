"""Secrets for tests: stored, and read again."""

from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import store
from jobs_app.secrets.encryption import Cipher
from tests.factories import NOON


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
