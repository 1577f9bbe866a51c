"""Sessions of browsers: a row each; the cookie has 256 random bits, the row their SHA-256."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from jobs_app.core.errors import NotFound
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.accounts import PageSession, Person

#: A session ends after so long without a request, and after so long in any case.
IDLE = timedelta(days=7)
LIFETIME = timedelta(days=30)

#: `last_seen_at` is written at most this often.
SEEN_PRECISION = timedelta(minutes=1)

#: Some pages ask for the password again if it was given longer ago.
PASSWORD_HOLDS = timedelta(minutes=15)

MAX_USER_AGENT_CHARS = 300

#: A list of a person's sessions has at most so many: those that were used last.
MOST_LISTED = 100


class Refusal(StrEnum):
    """Why a session does not work."""

    UNKNOWN = "unknown"
    ENDED = "ended"
    EXPIRED = "expired"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a request came from: its address and what the browser calls itself."""

    address: str | None
    user_agent: str = ""


def digest(secret: str) -> str:
    """Return the hash that is stored for *secret*: it is random enough to need no salt."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def start(session: Session, person: Person, browser: Browser, *, at: datetime) -> str:
    """Add a session of *person*, who has just given the password; return its secret.

    The caller commits.
    """
    secret = secrets.token_urlsafe(32)
    row = PageSession(
        digest=digest(secret),
        person_id=person.id,
        created_at=at,
        last_seen_at=at,
        password_given_at=at,
        address=browser.address,
        user_agent="".join(filter(str.isprintable, browser.user_agent))[:MAX_USER_AGENT_CHARS],
    )
    session.add(row)
    session.execute(update(Person).where(Person.id == person.id).values(last_seen_at=at))
    return secret


def known(session: Session, secret: str) -> tuple[PageSession | None, Person | None]:
    """Return the session with this secret, whether it works or not, and its person."""
    statement = select(PageSession, Person).join(Person, Person.id == PageSession.person_id)
    row = session.execute(statement.where(PageSession.digest == digest(secret))).one_or_none()
    return (None, None) if row is None else (row.PageSession, row.Person)


def refusal(row: PageSession | None, person: Person | None, *, at: datetime) -> Refusal | None:
    """Return why a session does not work, None if it works."""
    if row is None or person is None:
        return Refusal.UNKNOWN
    if row.ended_at is not None:
        return Refusal.ENDED
    if at - row.last_seen_at >= IDLE or at - row.created_at >= LIFETIME:
        return Refusal.EXPIRED
    is_gone = person.removed_at is not None or person.disabled_at is not None
    return Refusal.DISABLED if is_gone else None


def is_seen_stale(row: PageSession, *, at: datetime) -> bool:
    """Tell whether `last_seen_at` is old enough to be written again."""
    return at - row.last_seen_at >= SEEN_PRECISION


def mark_seen(session: Session, row: PageSession, *, at: datetime, address: str | None) -> None:
    """Write when a session was last used and from where, and that its person was seen."""
    seen = {"last_seen_at": at, "address": address}
    session.execute(update(PageSession).where(PageSession.id == row.id).values(**seen))
    session.execute(update(Person).where(Person.id == row.person_id).values(last_seen_at=at))
    session.commit()


def is_password_recent(row: PageSession, *, at: datetime) -> bool:
    """Tell whether the password was typed in this session a short time ago."""
    return at - row.password_given_at < PASSWORD_HOLDS


def listed(session: Session, person_id: int, *, at: datetime) -> list[PageSession]:
    """Return the sessions of a person that work, the one seen last first."""
    statement = (
        select(PageSession)
        .where(PageSession.person_id == person_id, *_working(at))
        .order_by(PageSession.last_seen_at.desc(), PageSession.id.desc())
        .limit(MOST_LISTED)
    )
    return list(session.scalars(statement))


def end(session: Session, session_id: int, person_id: int, *, at: datetime) -> None:
    """End one session of a person; the caller commits. Raises NotFound."""
    is_it = (PageSession.id == session_id, PageSession.person_id == person_id)
    if not _end_where(session, *is_it, *_working(at), at=at):
        raise NotFound(f"There is no session {session_id}.", code="session_not_found")


def end_all(session: Session, person_id: int, *, but: int = 0, at: datetime) -> int:
    """End all sessions of a person, *but* one, and return how many still worked.

    The caller commits.
    """
    is_it = (PageSession.person_id == person_id, PageSession.id != but)
    count = _end_where(session, *is_it, *_working(at), at=at)
    # Those that have expired, too: a clock that is set back must not wake them.
    _end_where(session, *is_it, at=at)
    return count


def _working(at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for sessions that work."""
    return (
        PageSession.ended_at.is_(None),
        PageSession.last_seen_at > at - IDLE,
        PageSession.created_at > at - LIFETIME,
    )


def _end_where(session: Session, *conditions: ColumnElement[bool], at: datetime) -> int:
    statement = update(PageSession).where(*conditions, PageSession.ended_at.is_(None))
    return rowcount(session.execute(statement.values(ended_at=at)))
