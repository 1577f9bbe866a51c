"""Sessions that somebody ends are in the audit, and only those that worked are counted."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from jobs_app.accounts import people, sessions, sign_out
from jobs_app.accounts.people import Rights
from jobs_app.core.errors import NotFound
from jobs_app.core.roles import AccountKind, Role
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent, PageSession, Person
from tests.factories import NOON, SECOND

LONG_AGO = NOON - sessions.IDLE


def signed_in(database: Database, *instants: timedelta) -> Person:
    """Return a person with a session that began at each of these times after LONG_AGO."""
    with database.session() as session:
        person = people.create(
            session, "ann", AccountKind.PERSON, Rights(Role.VIEWER), by="root", at=LONG_AGO
        )
        for after in instants:
            sessions.start(session, person, sessions.Browser(None), at=LONG_AGO + after)
        session.commit()
    return person


def events(database: Database) -> list[tuple[str, dict[str, object]]]:
    with database.reading() as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id))
        return [(row.action, row.detail) for row in rows if row.action != "create_person"]


def test_one_session_is_ended_once_and_only_while_it_works(database: Database) -> None:
    person = signed_in(database, timedelta(), SECOND)
    with database.session() as session:
        expired, working = session.scalars(select(PageSession.id).order_by(PageSession.id))
        sign_out.one(session, person, working, by="root", at=NOON)
        for number in (working, expired, 999):
            with pytest.raises(NotFound, match=f"no session {number}"):
                sign_out.one(session, person, number, by="root", at=NOON)

    assert events(database) == [("end_session", {"person": "ann", "session_id": working})]


def test_all_but_one_end_and_those_that_had_expired_are_not_counted(database: Database) -> None:
    person = signed_in(database, timedelta(), SECOND, SECOND, SECOND)
    with database.session() as session:
        kept = session.scalars(select(PageSession.id)).all()[-1]
        assert sign_out.everywhere(session, person, but=kept, by="root", at=NOON) == 2
        assert sign_out.everywhere(session, person, but=kept, by="root", at=NOON) == 0
        ended = select(PageSession.id).where(PageSession.ended_at.is_(None))
        # A clock that is set back does not wake the expired one.
        assert list(session.scalars(ended)) == [kept]

    assert events(database) == [("end_sessions", {"person": "ann", "count": 2})]
