"""Channels without the API: their addresses, and what becomes of the jobs that name one."""

from functools import partial
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import func, select

from jobs_app.core.errors import Conflict, InvalidInput
from jobs_app.core.states import NotificationState
from jobs_app.db import bulk_sql
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.jobs import service
from jobs_app.notifications import channels
from jobs_app.notifications.rules import Rule
from jobs_app.secrets import rotation
from jobs_app.secrets.encryption import Cipher
from tests.db.queries import once_read, transaction_sizes
from tests.factories import NOON, TASKS, definition, make_job
from tests.notification_checks import KEY, NOWHERE, make_channel, rows
from tests.notifications.test_outbox import add


def test_a_rotation_of_the_key_reencrypts_the_addresses_of_channels(database: Database) -> None:
    make_channel(database)
    new = Fernet.generate_key().decode()

    rotation.reencrypt(database, Cipher(f"{new},{KEY}"), by="tester", at=NOON)

    with database.reading() as session:
        encrypted = session.scalars(select(NotificationChannel.encrypted)).one()
    assert NOWHERE in Cipher(new).decrypt(encrypted)


NOTIFIES: dict[str, Any] = {"notify": (Rule("ops"),)}


def delete(database: Database) -> None:
    with database.session() as session:
        channels.delete(session, "ops", version=None, by="tester", at=NOON)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_a_job_that_is_saved_during_the_scan_keeps_its_channel(
    database: Database, is_new: bool
) -> None:
    make_channel(database)
    job = make_job(database, name="user")

    def change() -> None:
        with database.session() as session:
            changed = definition(name="user", **NOTIFIES)
            service.change(session, job, changed, version=None, app=TASKS, by="b", at=NOON)

    create = partial(make_job, database, **NOTIFIES)
    once_read(database, "jobs.notify", create if is_new else change)

    with pytest.raises(Conflict, match="Jobs name the channel"):
        delete(database)


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "changed"])
def test_a_job_whose_channel_is_deleted_after_its_check_is_refused(
    database: Database, is_new: bool
) -> None:
    make_channel(database)
    job = make_job(database, name="user")
    once_read(database, "FROM notification_channels", lambda: delete(database))

    with database.session() as session:
        write = partial(service.create, session)
        if not is_new:
            write = partial(service.change, session, job, version=None)
        with pytest.raises(InvalidInput, match="There is no channel 'ops'"):
            write(definition=definition(name="user-2", **NOTIFIES), app=TASKS, by="a", at=NOON)

    with database.reading() as session:
        assert list(session.scalars(select(Job.name))) == ["user"]


def test_a_deletion_reads_in_its_transaction_only_jobs_that_were_saved_just_now(
    database: Database,
) -> None:
    make_channel(database)
    make_job(database, name="old", **NOTIFIES)
    make_job(database, name="new", **NOTIFIES)

    with database.reading() as session:
        newest = session.scalars(select(func.max(AuditEvent.id))).one()
        assert channels.jobs_with_channel(session, "ops") == ["new", "old"]
        assert channels.jobs_with_channel(session, "ops", saved_after=newest - 1) == ["new"]
        assert channels.jobs_with_channel(session, "ops", saved_after=newest) == []


def test_what_is_pending_for_a_deleted_channel_is_suppressed_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_sql, "UPDATE_BATCH", 2)
    channel_id = make_channel(database)
    for _ in range(5):
        add(database, channel_id=channel_id)
    sizes = transaction_sizes(database, "notifications")

    delete(database)

    assert {row.state for row in rows(database)} == {NotificationState.SUPPRESSED}
    assert max(sizes) == 2
