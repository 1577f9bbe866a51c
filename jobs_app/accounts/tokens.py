"""API tokens: made once, shown once, kept as a SHA-256."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Row, func, or_, select, update
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, people
from jobs_app.core.errors import Conflict, NotFound, refuse
from jobs_app.core.roles import Scope
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.accounts import Person, Token

#: Identifies a leaked token, for people and for scanners.
PREFIX = "jobs_"

#: `last_used_at` is written at most this often.
USE_PRECISION = timedelta(minutes=1)

#: How long a token works unless its maker says otherwise.
LIFETIME = timedelta(days=90)

#: Most tokens of an account that work at the same time.
MAX_TOKENS = 100

#: A token and its owner.
OwnedToken = Row[tuple[Token, Person]]


class Refusal(StrEnum):
    """Why a token does not work."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"
    OWNER_DISABLED = "owner_disabled"
    NO_OWNER = "no_owner"


@dataclass(frozen=True, slots=True)
class Limits:
    """The part of its owner's rights that a token has, and its end; None is no limit."""

    scopes: Collection[Scope] | None = None
    tags: Collection[str] | None = None
    expires_at: datetime | None = None


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
    owner: Person | None = None,
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    by: str = "jobs-app",
) -> str:
    """Make a token and return it, for the only time.

    Without *owner* it belongs to the service account called *name*, which is made with the role
    admin if there is none. Raises Conflict for a name that is taken, InvalidInput.
    """
    if name == people.ADMIN:
        sentence = f"{name!r} is the name of the token in the file admin-token."
        raise Conflict(sentence, code="token_exists")
    if session.scalars(select(Token.id).where(_is_named(name))).first() is not None:
        raise Conflict(f"There is a token {name!r} already.", code="token_exists")
    limits = limits or Limits(expires_at=expires_at)
    refuse(list(people.tag_errors(limits.tags or ())))
    if owner is None:
        owner = people.service_account(session, name, by=by, at=at)
    _check_count(session, owner, at=at)
    token = make()
    columns = {
        "scopes": None if limits.scopes is None else sorted({*limits.scopes}),
        "tags": None if limits.tags is None else sorted({*limits.tags}),
        "expires_at": limits.expires_at,
    }
    row = Token(name=name, digest=digest(token), owner_id=owner.id, created_at=at, **columns)
    session.add(row)
    audit.note(session, "token_create", by=by, at=at, token=name, owner=owner.name)
    session.commit()
    return token


def _check_count(session: Session, owner: Person, *, at: datetime) -> None:
    """Raise Conflict if *owner* has as many tokens that work as an account may have."""
    # Two that are made at once are counted one after the other.
    session.execute(select(Person.id).where(Person.id == owner.id).with_for_update())
    is_working = or_(Token.expires_at.is_(None), Token.expires_at > at)
    conditions = (Token.owner_id == owner.id, Token.revoked_at.is_(None), is_working)
    count = select(func.count()).select_from(Token).where(*conditions)
    if session.scalars(count).one() >= MAX_TOKENS:
        session.rollback()
        sentence = f"{owner.name!r} has {MAX_TOKENS} tokens that work, the most there may be."
        raise Conflict(f"{sentence} Revoke those that nobody needs.", code="too_many_tokens")


def find(session: Session, token: str, *, at: datetime) -> Token | None:
    """Return the row of *token*; None if it does not work."""
    row, owner = known(session, token)
    return row if refusal(row, owner, at=at) is None else None


def known(session: Session, token: str) -> tuple[Token | None, Person | None]:
    """Return the row of *token*, whether it works or not, and its owner; None if unknown."""
    statement = _OWNED.where(Token.digest == digest(token))
    row = session.execute(statement).one_or_none()
    return (None, None) if row is None else (row.Token, row.Person)


def refusal(token: Token | None, owner: Person | None, *, at: datetime) -> Refusal | None:
    """Return why *token* does not work, None if it works."""
    if token is None:
        return Refusal.UNKNOWN
    if token.revoked_at is not None:
        return Refusal.REVOKED
    if token.expires_at is not None and token.expires_at <= at:
        return Refusal.EXPIRED
    if owner is None or owner.removed_at is not None:
        return Refusal.NO_OWNER
    return Refusal.OWNER_DISABLED if owner.disabled_at is not None else None


def is_last_use_stale(token: Token, *, at: datetime) -> bool:
    """Tell whether `last_used_at` is old enough to be written again."""
    return token.last_used_at is None or at - token.last_used_at >= USE_PRECISION


def mark_used(session: Session, token: Token, *, at: datetime, address: str | None = None) -> None:
    """Write when a token was last used and from where, and that its owner was seen."""
    used = {"last_used_at": at, "last_used_address": address}
    session.execute(update(Token).where(Token.id == token.id).values(**used))
    session.execute(update(Person).where(Person.id == token.owner_id).values(last_seen_at=at))
    session.commit()


def listed(session: Session, *, owner_id: int | None = None) -> list[OwnedToken]:
    """Return all tokens that are not revoked, of one owner or of all, the oldest first."""
    statement = _OWNED.where(Token.revoked_at.is_(None)).order_by(Token.id)
    if owner_id is not None:
        statement = statement.where(Token.owner_id == owner_id)
    return list(session.execute(statement))


def counts(session: Session, owner_ids: Collection[int]) -> dict[int, int]:
    """Return how many tokens that are not revoked each of these accounts has."""
    statement = (
        select(Token.owner_id, func.count())
        .where(Token.owner_id.in_(owner_ids), Token.revoked_at.is_(None))
        .group_by(Token.owner_id)
    )
    return {owner_id: count for owner_id, count in session.execute(statement) if owner_id}


#: Tokens with their owners; a token of an older version has none.
_OWNED = select(Token, Person).outerjoin(Person, Person.id == Token.owner_id)


def get(session: Session, token_id: int) -> Token:
    """Return the token with this number, unless it is revoked; raises NotFound."""
    is_it = (Token.id == token_id, Token.revoked_at.is_(None))
    token = session.scalars(select(Token).where(*is_it)).one_or_none()
    if token is None:
        raise unknown(token_id)
    return token


def unknown(token_id: int) -> NotFound:
    """Return the error for a number that no token has."""
    return NotFound(f"There is no token with the number {token_id}.", code="token_not_found")


def revoke(session: Session, name: str, *, by: str, at: datetime) -> None:
    """Revoke the token of that name, at once; raises NotFound."""
    if not revoke_where(session, _is_named(name), at=at):
        known = ", ".join(row.Token.name for row in listed(session)) or "none"
        raise NotFound(f"There is no token {name!r}. There are: {known}.", code="token_not_found")
    audit.note(session, "token_revoke", by=by, at=at, token=name)
    session.commit()


def revoke_one(session: Session, token_id: int, *, by: str, at: datetime) -> None:
    """Revoke the token with this number, and no other of its name; raises NotFound."""
    name = get(session, token_id).name
    revoke_where(session, Token.id == token_id, at=at)
    audit.note(session, "token_revoke", by=by, at=at, token=name)
    session.commit()


def revoke_where(session: Session, condition: ColumnElement[bool], *, at: datetime) -> int:
    """Revoke the tokens that meet *condition* and are not revoked; return their number."""
    statement = update(Token).where(condition, Token.revoked_at.is_(None)).values(revoked_at=at)
    return rowcount(session.execute(statement))


def _is_named(name: str) -> ColumnElement[bool]:
    """Return the condition for the token with that name; a revoked one has given it back."""
    return (Token.name == name) & Token.revoked_at.is_(None)
