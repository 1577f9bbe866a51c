"""Links work once, for a while, and for what they were made for."""

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import event, func, select

from jobs_app.accounts import audit, links, people, sessions
from jobs_app.accounts.people import Rights
from jobs_app.core.errors import Conflict, InvalidInput, NotFound
from jobs_app.core.roles import AccountKind, LinkKind, Role
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Link, Person
from tests.factories import NOON, SECOND

HOUR = timedelta(hours=1)


def add(database: Database, name: str = "ann", kind: AccountKind = AccountKind.PERSON) -> Person:
    with database.session() as session:
        return people.create(session, name, kind, Rights(Role.VIEWER), by="root", at=NOON)


def make(database: Database, name: str = "ann", at: datetime = NOON) -> str:
    with database.session() as session:
        return links.make(session, people.get(session, name), by="root", at=at)


def welcome(database: Database, at: datetime = NOON) -> str | None:
    with database.session() as session:
        return links.make_welcome(session, at=at)


def use(database: Database, key: str, name: str | None = None, at: datetime = NOON) -> Person:
    with database.session() as session:
        return links.use(session, key, "a hash", name=name, at=at)


def works(database: Database, key: str, at: datetime = NOON) -> LinkKind | None:
    with database.reading() as session:
        try:
            return links.find(session, key, at=at)[0].kind
        except NotFound:
            return None


def test_an_invitation_sets_the_first_password_once(database: Database) -> None:
    add(database)
    key = make(database)

    assert works(database, key, NOON + 7 * 24 * HOUR - SECOND) is LinkKind.INVITATION
    assert works(database, key, NOON + 7 * 24 * HOUR) is None
    assert use(database, key).password_hash == "a hash"
    assert works(database, key) is None
    with pytest.raises(NotFound, match="used already"):
        use(database, key)


def test_links_are_listed_while_they_work_and_can_be_revoked(database: Database) -> None:
    add(database, "ben")
    add(database, "ann")
    keys = [make(database, "ben"), make(database, "ann")]

    def listed(at: datetime = NOON) -> list[tuple[str, LinkKind]]:
        with database.reading() as session:
            return [(row.Person.name, row.Link.kind) for row in links.listed(session, at=at)]

    both = [("ann", LinkKind.INVITATION), ("ben", LinkKind.INVITATION)]
    assert listed() == listed(NOON + 7 * 24 * HOUR - SECOND) == both
    assert listed(NOON + 7 * 24 * HOUR) == []
    with database.session() as session:
        links.revoke(session, people.get(session, "ben"), by="root", at=NOON)
        with pytest.raises(NotFound, match="no link for 'ben' that works"):
            links.revoke(session, people.get(session, "ben"), by="root", at=NOON)
        people.set_disabled(session, "ann", True, by="root", at=NOON)
    assert listed() == []
    assert [works(database, key) for key in keys] == [None, None]


def test_a_link_for_a_new_password_ends_sessions_and_other_links(database: Database) -> None:
    add(database)
    use(database, make(database))
    earlier, key = make(database), make(database)
    with database.session() as session:
        secret = sessions.start(
            session, people.get(session, "ann"), sessions.Browser(None), at=NOON
        )
        session.commit()

    assert works(database, earlier) is None
    assert works(database, key, NOON + HOUR) is None
    assert works(database, key) is LinkKind.PASSWORD
    use(database, key)
    with database.reading() as session:
        ended = sessions.refusal(*sessions.known(session, secret), at=NOON)
    assert ended is sessions.Refusal.ENDED


def test_a_new_password_ends_the_links_that_could_set_another(database: Database) -> None:
    add(database)
    key = make(database)
    with database.session() as session:
        people.set_password(session, "ann", "a hash", by="ann", at=NOON)

    assert works(database, key) is None


def test_the_first_link_makes_an_admin_and_no_second_one(database: Database) -> None:
    add(database, "deploy", AccountKind.SERVICE)
    # Two processes of an installation start, and each shows one.
    earlier, key = welcome(database), welcome(database)
    assert earlier is not None
    assert key is not None

    assert works(database, earlier) is works(database, key) is LinkKind.WELCOME
    assert works(database, key, NOON + HOUR) is None
    made = use(database, key, "ann")
    assert (made.kind, made.role, made.password_hash) == ("person", "admin", "a hash")
    assert welcome(database) is None
    for used in (key, earlier):
        with pytest.raises(NotFound):
            use(database, used, "ben")


def test_links_that_are_too_old_do_not_pile_up(database: Database) -> None:
    for hour in range(3):
        welcome(database, NOON + hour * HOUR)

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Link)) == 1


def test_of_two_first_links_that_are_used_at_once_one_makes_an_admin(database: Database) -> None:
    first, second = welcome(database) or "", welcome(database) or ""
    refused: list[NotFound] = []

    def use_second() -> None:
        try:
            use(database, second, "ben")
        except NotFound as error:
            refused.append(error)

    other = threading.Thread(target=use_second)

    def start_other(_: object) -> None:
        # It gets as far as it can, while the first one is not committed.
        other.start()
        other.join(0.3)

    with database.session() as session:
        event.listen(session, "before_commit", start_other)
        links.use(session, first, "a hash", name="ann", at=NOON)
    other.join(10)

    with database.reading() as session:
        persons = select(Person.name).where(Person.kind == AccountKind.PERSON)
        assert session.scalars(persons).all() == ["ann"]
    assert len(refused) == 1


def test_the_first_link_makes_nobody_once_there_is_a_person(database: Database) -> None:
    key = welcome(database)
    assert key is not None
    add(database)

    with pytest.raises(NotFound):
        use(database, key, "ben")


@pytest.mark.parametrize("name", ["", "a/b", "demo", "Deploy"])
def test_a_name_that_cannot_be_uses_no_link_up(database: Database, name: str) -> None:
    add(database, "deploy", AccountKind.SERVICE)
    key = welcome(database)
    assert key is not None

    with pytest.raises((InvalidInput, Conflict)):
        use(database, key, name)
    assert works(database, key) is LinkKind.WELCOME


def test_a_link_of_an_account_that_is_gone_does_not_work(database: Database) -> None:
    add(database)
    key = make(database)
    with database.session() as session:
        people.set_disabled(session, "ann", True, by="root", at=NOON)
        with pytest.raises(Conflict, match="disabled"):
            links.make(session, people.get(session, "ann"), by="root", at=NOON)

    assert works(database, key) is None
    with database.session() as session:
        people.set_disabled(session, "ann", False, by="root", at=NOON)
        people.remove(session, "ann", by="root", at=NOON)
    assert works(database, key) is None


def test_a_service_account_has_no_link(database: Database) -> None:
    add(database, "deploy", AccountKind.SERVICE)

    with pytest.raises(Conflict, match="only tokens"):
        make(database, "deploy")


def test_links_are_in_the_audit_without_their_keys(database: Database) -> None:
    key = welcome(database)
    assert key is not None
    use(database, key, "ann")
    with database.reading() as session:
        events = audit.page(session, audit.EventFilter(), before=None, limit=9)

    assert [event.action for event in events] == ["create_person", "use_link", "make_link"]
    assert all(key not in repr(event.detail) for event in events)
    assert all(sessions.digest(key) not in repr(event.detail) for event in events)
