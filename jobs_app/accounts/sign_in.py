"""Sign-in with name and password: throttled, and the same answer whatever was wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, passwords, people, sessions, throttle
from jobs_app.accounts.sessions import Browser
from jobs_app.db.models.accounts import PageSession, Person

#: Makes a session of the database; it is used as a context manager.
OpenSession = Callable[[], Session]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a sign-in: the secret of a new session, or how long to wait, or neither.

    `account` is the name of the account that was meant, None if there is none.
    """

    secret: str | None = None
    wait: timedelta = timedelta(0)
    account: str | None = None


def sign_in(
    open_session: OpenSession,
    name: str,
    password: str,
    browser: Browser,
    *,
    replaces: int | None = None,
    at: datetime,
) -> Outcome:
    """Start a session if the password is right; *replaces* names the session that ends then.

    Nothing is locked while the password is verified. Raises Unavailable.
    """
    with open_session() as session:
        wait = throttle.begin(session, throttle.keys(name, browser.address), at=at)
    if wait:
        return Outcome(wait=wait)
    with open_session() as session:
        person = _find(session, name)
    password_hash = None if person is None else person.password_hash
    is_right = passwords.is_right(password, password_hash)
    account = None if person is None else person.name
    if not is_right or person is None or password_hash is None:
        return Outcome(account=account)
    new_hash = passwords.hashed(password) if passwords.is_outdated(password_hash) else None
    with open_session() as session:
        # Its password, or the account itself, may have ended meanwhile.
        current = _find(session, name)
        if current is None or current.password_hash != password_hash:
            return Outcome(account=account)
        throttle.succeeded(session, name, browser.address)
        if new_hash is not None:
            changed = update(Person).where(Person.id == current.id)
            session.execute(changed.values(password_hash=new_hash))
        return Outcome(_start(session, current, browser, replaces, at=at), account=account)


def _find(session: Session, name: str) -> Person | None:
    """Return the account with this name in any case, if it can sign in."""
    if not people.NAME.fullmatch(name):
        return None
    is_it = (func.lower(Person.name) == name.lower(), Person.removed_at.is_(None))
    statement = select(Person).where(*is_it, Person.disabled_at.is_(None))
    return session.scalars(statement.execution_options(populate_existing=True)).one_or_none()


def _start(
    session: Session, person: Person, browser: Browser, replaces: int | None, *, at: datetime
) -> str:
    audit.set_origin(session, replace(audit.origin(session), person_id=person.id))
    action = "sign_in"
    if replaces is not None:
        is_it = (PageSession.id == replaces, PageSession.ended_at.is_(None))
        ended = update(PageSession).where(*is_it).values(ended_at=at)
        if session.scalar(ended.returning(PageSession.person_id)) == person.id:
            action = "confirm_password"
    secret = sessions.start(session, person, browser, at=at)
    audit.note(session, action, by=person.name, at=at, person=person.name)
    session.commit()
    return secret
