"""Links that work once: for the first admin, for an invitation, for a forgotten password."""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, people, sessions
from jobs_app.accounts.people import Rights
from jobs_app.core.errors import Conflict, NotFound
from jobs_app.core.roles import AccountKind, LinkKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Link, Person

LIFETIMES = {
    LinkKind.WELCOME: timedelta(hours=1),
    LinkKind.INVITATION: timedelta(days=7),
    LinkKind.PASSWORD: timedelta(hours=1),
}

#: Links that may make the first admin, if they are not too old.
_IS_OPEN_WELCOME = (Link.person_id.is_(None), Link.used_at.is_(None))

#: The actor in the audit for what nobody with an account has done.
BY = "jobs-app"


def make(session: Session, person: Person, *, by: str, at: datetime) -> str:
    """Make a link with which *person* chooses a password, and return its key, which nothing keeps.

    An earlier link of the person ends. Raises Conflict (`service_account`, `person_disabled`).
    """
    if person.kind is not AccountKind.PERSON:
        sentence = f"{person.name!r} is a service account: it has only tokens."
        raise Conflict(sentence, code="service_account")
    if person.disabled_at is not None:
        sentence = f"{person.name!r} is disabled, and cannot sign in."
        raise Conflict(sentence, code="person_disabled")
    kind = LinkKind.INVITATION if person.password_hash is None else LinkKind.PASSWORD
    session.execute(delete(Link).where(Link.person_id == person.id, Link.used_at.is_(None)))
    key = _add(session, kind, person.id, by=by, at=at)
    audit.note(session, "make_link", by=by, at=at, person=person.name, kind=kind)
    session.commit()
    return key


def make_welcome(session: Session, *, at: datetime) -> str | None:
    """Make a link that makes the first admin; None if there is a person.

    Earlier ones work on: other processes of the installation have shown them. The first that is
    used ends them all.
    """
    if people.has_person(session):
        session.rollback()
        return None
    session.execute(delete(Link).where(*_IS_OPEN_WELCOME, Link.expires_at <= at))
    key = _add(session, LinkKind.WELCOME, None, by=BY, at=at)
    audit.note(session, "make_link", by=BY, at=at, kind=LinkKind.WELCOME)
    session.commit()
    return key


def welcome_key(settings: Settings, *, at: datetime) -> str | None:
    """Make the link of the first admin in the database of *settings*; None if there is one."""
    database = Database(settings.effective_database_url)
    try:
        with database.session() as session:
            return make_welcome(session, at=at)
    finally:
        database.close()


def find(session: Session, key: str, *, at: datetime) -> tuple[Link, Person | None]:
    """Return the link with this key, and whose password it sets (None: it makes the first admin).

    Raises NotFound if it does not work, or no longer.
    """
    statement = (
        select(Link, Person)
        .outerjoin(Person, Person.id == Link.person_id)
        .where(Link.digest == sessions.digest(key), Link.used_at.is_(None), Link.expires_at > at)
    )
    row = session.execute(statement).one_or_none()
    if row is None or not _works(session, row.Link, row.Person):
        raise _unknown()
    return row.Link, row.Person


class PersonLink(NamedTuple):
    """A link that still works, and the person that it is for."""

    Link: Link
    Person: Person


def listed(session: Session, *, at: datetime) -> list[PersonLink]:
    """Return the links for people that still work, by the names of these people."""
    is_usable = (Person.removed_at.is_(None), Person.disabled_at.is_(None))
    statement = (
        select(Link, Person)
        .join(Person, Person.id == Link.person_id)
        .where(Link.used_at.is_(None), Link.expires_at > at, *is_usable)
        .order_by(Person.name, Link.id)
    )
    return [PersonLink(row.Link, row.Person) for row in session.execute(statement)]


def revoke(session: Session, person: Person, *, by: str, at: datetime) -> None:
    """End the link of *person* that still works; raises NotFound if there is none."""
    link = open_link(session, person.id, at=at)
    if link is None:
        session.rollback()
        raise NotFound(f"There is no link for {person.name!r} that works.", code="link_not_found")
    session.execute(delete(Link).where(Link.person_id == person.id, Link.used_at.is_(None)))
    audit.note(session, "revoke_link", by=by, at=at, person=person.name, kind=link.kind)
    session.commit()


def open_link(session: Session, person_id: int, *, at: datetime) -> Link | None:
    """Return the link of a person that still works, None if there is none."""
    is_it = (Link.person_id == person_id, Link.used_at.is_(None), Link.expires_at > at)
    return session.scalars(select(Link).where(*is_it)).first()


def use(
    session: Session, key: str, password_hash: str, *, name: str | None = None, at: datetime
) -> Person:
    """Use a link up: set the password of its person, or make the first admin, called *name*.

    All in one transaction. Raises NotFound, InvalidInput and Conflict, which use nothing up.
    """
    link, person = find(session, key, at=at)
    if person is None:
        _end_other_welcomes(session, link)
    is_it = (Link.id == link.id, Link.used_at.is_(None))
    if not rowcount(session.execute(update(Link).where(*is_it).values(used_at=at))):
        session.rollback()
        raise _unknown()
    actor = (name or "") if person is None else person.name
    audit.note(session, "use_link", by=BY, at=at, person=actor, kind=link.kind)
    if person is not None:
        audit.set_origin(session, replace(audit.origin(session), person_id=person.id))
        return people.set_password(session, person.name, password_hash, by=person.name, at=at)
    rights = Rights(Role.ADMIN)
    try:
        return people.create(
            session, actor, AccountKind.PERSON, rights, password_hash=password_hash, by=BY, at=at
        )
    except BaseException:
        session.rollback()
        raise


def _end_other_welcomes(session: Session, link: Link) -> None:
    """End the other links of the first admin. Raises NotFound if one was used at this moment."""
    # In order: two that are used at once must not wait for each other.
    rows = select(Link.id).where(*_IS_OPEN_WELCOME).order_by(Link.id).with_for_update()
    others = [number for number in session.scalars(rows) if number != link.id]
    if people.has_person(session):
        session.rollback()
        raise _unknown()
    session.execute(delete(Link).where(Link.id.in_(others)))


def _add(session: Session, kind: LinkKind, person_id: int | None, *, by: str, at: datetime) -> str:
    key = secrets.token_urlsafe(32)
    row = Link(digest=sessions.digest(key), kind=kind, person_id=person_id, made_by=by)
    row.created_at, row.expires_at = at, at + LIFETIMES[kind]
    session.add(row)
    return key


def _works(session: Session, link: Link, person: Person | None) -> bool:
    if link.person_id is None:
        return not people.has_person(session)
    return person is not None and person.removed_at is None and person.disabled_at is None


def _unknown() -> NotFound:
    return NotFound(
        "This link does not work: it was used already, or it is too old, or a newer one was made.",
        code="link_not_found",
    )
