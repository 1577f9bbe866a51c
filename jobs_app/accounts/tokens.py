"""API tokens: made once, shown once, kept as a SHA-256."""

import hashlib
import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.errors import Conflict, NotFound
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.accounts import Token

#: Identifies a leaked token, for people and for scanners.
PREFIX = "jobs_"

#: `last_used_at` is written at most this often.
USE_PRECISION = timedelta(minutes=1)


class Refusal(StrEnum):
    """Why a token does not work."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"


def make() -> str:
    """Return a new token, which nothing knows yet."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return the hash that is stored for *token*: it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(
    session: Session,
    name: str,
    *,
    at: datetime,
    expires_at: datetime | None = None,
    by: str = "jobs-app",
) -> str:
    """Make a token and return it, for the only time; raises Conflict for a name that is taken."""
    if session.scalars(select(Token.id).where(_is_named(name))).first() is not None:
        raise Conflict(f"There is a token {name!r} already.", code="token_exists")
    token = make()
    session.add(Token(name=name, digest=digest(token), created_at=at, expires_at=expires_at))
    audit.note(session, "token_create", by=by, at=at, token=name)
    session.commit()
    return token


def find(session: Session, token: str, *, at: datetime) -> Token | None:
    """Return the row of *token*; None if it is unknown, revoked or expired."""
    row = known(session, token)
    return row if refusal(row, at=at) is None else None


def known(session: Session, token: str) -> Token | None:
    """Return the row of *token*, whether it works or not; None if it is unknown."""
    return session.scalars(select(Token).where(Token.digest == digest(token))).one_or_none()


def refusal(token: Token | None, *, at: datetime) -> Refusal | None:
    """Return why *token* does not work, None if it works."""
    if token is None:
        return Refusal.UNKNOWN
    if token.revoked_at is not None:
        return Refusal.REVOKED
    is_over = token.expires_at is not None and token.expires_at <= at
    return Refusal.EXPIRED if is_over else None


def is_last_use_stale(token: Token, *, at: datetime) -> bool:
    """Tell whether `last_used_at` is old enough to be written again."""
    return token.last_used_at is None or at - token.last_used_at >= USE_PRECISION


def mark_used(session: Session, token_id: int, *, at: datetime) -> None:
    """Write when a token was last used."""
    session.execute(update(Token).where(Token.id == token_id).values(last_used_at=at))
    session.commit()


def listed(session: Session) -> list[Token]:
    """Return all tokens that are not revoked, the oldest first."""
    statement = select(Token).where(Token.revoked_at.is_(None)).order_by(Token.id)
    return list(session.scalars(statement))


def revoke(session: Session, name: str, *, by: str, at: datetime) -> None:
    """Revoke the token of that name, at once; raises NotFound."""
    if not revoke_where(session, _is_named(name), at=at):
        known = ", ".join(token.name for token in listed(session)) or "none"
        raise NotFound(f"There is no token {name!r}. There are: {known}.", code="token_not_found")
    audit.note(session, "token_revoke", by=by, at=at, token=name)
    session.commit()


def revoke_where(session: Session, condition: ColumnElement[bool], *, at: datetime) -> int:
    """Revoke the tokens that meet *condition* and are not revoked; return their number."""
    statement = update(Token).where(condition, Token.revoked_at.is_(None)).values(revoked_at=at)
    return rowcount(session.execute(statement))


def _is_named(name: str) -> ColumnElement[bool]:
    """Return the condition for the token with that name; a revoked one has given it back."""
    return (Token.name == name) & Token.revoked_at.is_(None)
