"""The store of secrets: concurrent creation, time of use, deletion."""

from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, insert, select

from jobs_app.core.errors import Conflict, InvalidInput, StaleVersion
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.secrets import store
from jobs_app.secrets.encryption import Cipher
from tests.db.queries import once_read
from tests.factories import MINUTE, NOON, SECOND, TASKS, definition, make_job
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


USES_A: dict[str, Any] = {
    "task": "shell",
    "kwargs": {"command": "date", "env": {"A": "${secret:A}"}},
}


def remove(database: Database) -> None:
    with database.session() as session:
        store.remove(session, "A", version=None, force=False, by="tester", at=NOON)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_a_job_that_is_saved_during_the_scan_keeps_its_secret(
    database: Database, is_new: bool
) -> None:
    put(database, "A", "a", Cipher(KEY), None)
    job = make_job(database, name="user")

    def change() -> None:
        with database.session() as session:
            changed = definition(name="user", **USES_A)
            service.change(session, job, changed, version=None, app=TASKS, by="b", at=NOON)

    create = partial(make_job, database, **USES_A)
    once_read(database, "jobs.kwargs", create if is_new else change)

    with pytest.raises(Conflict, match="is used by"):
        remove(database)

    assert list(decrypted_values(database, Cipher(KEY))) == ["A"]


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_a_job_whose_secret_is_deleted_after_its_check_is_refused(
    database: Database, is_new: bool
) -> None:
    put(database, "A", "a", Cipher(KEY), None)
    job = make_job(database, name="user")
    once_read(database, "FROM secrets", lambda: remove(database))

    with database.session() as session:
        write = partial(service.create, session)
        if not is_new:
            write = partial(service.change, session, job, version=None)
        with pytest.raises(InvalidInput, match="any more"):
            write(definition=definition(name="user-2", **USES_A), app=TASKS, by="a", at=NOON)

    with database.reading() as session:
        assert list(session.scalars(select(Job.task))) == ["sleep"]


def test_a_deletion_reads_in_its_transaction_only_jobs_that_were_saved_just_now(
    database: Database,
) -> None:
    put(database, "A", "a", Cipher(KEY), None)
    make_job(database, name="old", **USES_A)
    make_job(database, name="new", **USES_A)

    with database.reading() as session:
        newest = session.scalars(select(func.max(AuditEvent.id))).one()
        assert store.used_by(session, "A") == ["new", "old"]
        assert store.used_by(session, "A", saved_after=newest - 1) == ["new"]
        assert store.used_by(session, "A", saved_after=newest) == []
