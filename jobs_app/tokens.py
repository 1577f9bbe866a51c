"""API tokens: made once, shown once, kept as a SHA-256."""

import hashlib
import logging
import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from jobs_app import clock
from jobs_app.db import Database
from jobs_app.models import Token
from jobs_app.settings import Settings

log = logging.getLogger(__name__)

#: Tells a leaked token from other strings, for people and for scanners.
PREFIX = "jobs_"

#: `last_used_at` is written at most this often.
USED_EVERY = timedelta(minutes=1)


def digest(token: str) -> str:
    """Return what is stored of *token*: it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(session: Session, name: str, *, at: datetime, expires_at: datetime | None = None) -> str:
    """Make a token and return it; it cannot be shown again."""
    token = PREFIX + secrets.token_urlsafe(32)
    session.add(Token(name=name, digest=digest(token), created_at=at, expires_at=expires_at))
    session.commit()
    return token


def find(session: Session, token: str, *, at: datetime) -> Token | None:
    """Return the living token that *token* is; None if it is unknown or expired."""
    statement = select(Token).where(
        Token.digest == digest(token), or_(Token.expires_at.is_(None), Token.expires_at > at)
    )
    return session.scalars(statement).one_or_none()


def is_use_worth_noting(token: Token, *, at: datetime) -> bool:
    """Tell whether `last_used_at` has grown old enough to be written again."""
    return token.last_used_at is None or at - token.last_used_at >= USED_EVERY


def note_use(session: Session, token_id: int, *, at: datetime) -> None:
    """Write when a token was last used."""
    session.execute(update(Token).where(Token.id == token_id).values(last_used_at=at))
    session.commit()


def ensure_admin_token(settings: Settings) -> Path:
    """Return the file with the admin's token, made on the first start (mode 0600).

    A file whose token the database does not know (another database, a restored
    one) is made valid again rather than replaced: scripts may hold it.
    """
    path = settings.admin_token_file
    database = Database(settings.effective_database_url)
    try:
        with database.session() as session:
            if path.exists():
                _adopt(session, path.read_text().strip())
            else:
                _write_secret(path, create(session, "admin", at=clock.now()))
    finally:
        database.close()
    return path


def ensure_first_token(settings: Settings) -> None:
    """Make an admin token, in its file, if the installation has no token at all.

    For a web server that was not started by `up`: somebody must be able to sign in.
    """
    database = Database(settings.effective_database_url)
    try:
        with database.reading() as session:
            has_one = session.scalars(select(Token.id).limit(1)).first() is not None
    finally:
        database.close()
    if not has_one:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.info("admin_token_made file=%s", ensure_admin_token(settings))


def _adopt(session: Session, token: str) -> None:
    now = clock.now()
    if find(session, token, at=now) is None:
        session.add(Token(name="admin", digest=digest(token), created_at=now))
        session.commit()


def _write_secret(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
