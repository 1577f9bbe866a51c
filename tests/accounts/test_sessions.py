"""Sessions end by time, by a click, and by each change of the account."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from jobs_app.accounts import people, sessions
from jobs_app.accounts.people import Rights
from jobs_app.accounts.sessions import Browser, Refusal
from jobs_app.core.errors import NotFound
from jobs_app.core.roles import AccountKind, Grant, Role
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import PageSession
from tests.factories import NOON, SECOND

BROWSER = Browser("192.0.2.7", "Firefox\0 " + "x" * 1000)
DAY = timedelta(days=1)


def start(database: Database, name: str = "ann") -> str:
    with database.session() as session:
        person = people.find(session, name) or people.create(
            session, name, AccountKind.PERSON, Rights(Role.EDITOR), by="root", at=NOON
        )
        secret = sessions.start(session, person, BROWSER, at=NOON)
        session.commit()
    return secret


def refusal(database: Database, secret: str, at: datetime = NOON) -> Refusal | None:
    with database.reading() as session:
        return sessions.refusal(*sessions.known(session, secret), at=at)


def test_the_database_has_no_secret_of_a_session(database: Database) -> None:
    secret = start(database)

    assert len(secret) == 43
    with database.reading() as session:
        row = session.scalars(select(PageSession)).one()
        assert secret not in repr(vars(row))
        assert (row.digest, len(row.user_agent)) == (sessions.digest(secret), 300)
    assert refusal(database, secret) is None
    assert refusal(database, "x" * 43) is refusal(database, "\ud800") is Refusal.UNKNOWN


def test_a_session_ends_after_a_week_without_use_and_after_thirty_days(database: Database) -> None:
    secret, at = start(database), NOON

    assert refusal(database, secret, NOON + 7 * DAY) is Refusal.EXPIRED
    while at < NOON + 29 * DAY:
        at += 6 * DAY
        with database.session() as session:
            row, _ = sessions.known(session, secret)
            assert row is not None
            assert sessions.is_seen_stale(row, at=at)
            sessions.mark_seen(session, row, at=at, address="192.0.2.8")
    assert refusal(database, secret, NOON + 30 * DAY - SECOND) is None
    assert refusal(database, secret, NOON + 30 * DAY) is Refusal.EXPIRED


def test_the_password_holds_for_fifteen_minutes(database: Database) -> None:
    secret = start(database)
    with database.reading() as session:
        row, _ = sessions.known(session, secret)
    assert row is not None

    assert sessions.is_password_recent(row, at=NOON + timedelta(minutes=15) - SECOND)
    assert not sessions.is_password_recent(row, at=NOON + timedelta(minutes=15))
    assert not sessions.is_seen_stale(row, at=NOON + 59 * SECOND)


@pytest.mark.parametrize(
    "change",
    [
        {"role": Role.VIEWER},
        {"grants": (Grant.SECRETS,)},
        {"tags": ("billing",)},
        {"disabled": True},
        {"password": "new"},
        {"removed": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_sessions_end_with_a_change_of_the_account(
    database: Database, change: dict[str, Any]
) -> None:
    secrets, other = [start(database), start(database)], start(database, "ben")

    with database.session() as session:
        if "disabled" in change:
            people.set_disabled(session, "ann", True, by="root", at=NOON)
            people.set_disabled(session, "ann", False, by="root", at=NOON)
        elif "password" in change:
            people.set_password(session, "ann", "a hash", by="ann", at=NOON)
        elif "removed" in change:
            people.remove(session, "ann", by="root", at=NOON)
        else:
            people.change(session, "ann", change, by="root", at=NOON)

    assert [refusal(database, secret) for secret in secrets] == [Refusal.ENDED] * 2
    assert refusal(database, other) is None


def test_one_session_ends_and_the_others_stay(database: Database) -> None:
    first, second = start(database), start(database)
    with database.session() as session:
        row, person = sessions.known(session, first)
        assert row is not None
        assert person is not None
        rows = sessions.listed(session, person.id, at=NOON)
        with pytest.raises(NotFound):
            sessions.end(session, row.id, person.id + 1, at=NOON)
        sessions.end(session, row.id, person.id, at=NOON)
        session.commit()
        left = sessions.listed(session, person.id, at=NOON)

    assert len(rows) == 2
    assert [kept.digest for kept in left] == [sessions.digest(second)]
    assert refusal(database, first) is Refusal.ENDED
