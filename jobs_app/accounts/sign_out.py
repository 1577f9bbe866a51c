"""Sessions that somebody ends: each with its event in the audit."""

from datetime import datetime

from sqlalchemy.orm import Session

from jobs_app.accounts import audit, sessions
from jobs_app.db.models.accounts import Person


def one(session: Session, person: Person, session_id: int, *, by: str, at: datetime) -> None:
    """End one session of *person*; raises NotFound if there is none with this number."""
    sessions.end(session, session_id, person.id, at=at)
    audit.note(session, "end_session", by=by, at=at, person=person.name, session_id=session_id)
    session.commit()


def everywhere(session: Session, person: Person, *, but: int = 0, by: str, at: datetime) -> int:
    """End all sessions of *person*, *but* one, and return how many of them still worked."""
    count = sessions.end_all(session, person.id, but=but, at=at)
    if count:
        audit.note(session, "end_sessions", by=by, at=at, person=person.name, count=count)
    session.commit()
    return count
