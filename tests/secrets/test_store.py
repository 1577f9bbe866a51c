"""The store of secrets: concurrent creation, time of use, deletion."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select

from jobs_app.core.errors import StaleVersion
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.secrets import store
from jobs_app.secrets.encryption import Cipher
from tests.factories import MINUTE, NOON, SECOND
from tests.secrets.stored_secrets import decrypted_values, put

KEY = Fernet.generate_key().decode()


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
