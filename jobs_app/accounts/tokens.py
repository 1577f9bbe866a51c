"""API tokens: made once, shown once, kept as a SHA-256."""

import contextlib
import hashlib
import logging
import os
import secrets
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Token

log = logging.getLogger(__name__)

#: Identifies a leaked token, for people and for scanners.
PREFIX = "jobs_"

#: `last_used_at` is written at most this often.
USE_PRECISION = timedelta(minutes=1)


def _new() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return the hash that is stored for *token*: it is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(session: Session, name: str, *, at: datetime, expires_at: datetime | None = None) -> str:
    """Make a token and return it; it cannot be shown again."""
    token = _new()
    session.add(Token(name=name, digest=digest(token), created_at=at, expires_at=expires_at))
    session.commit()
    return token


def find(session: Session, token: str, *, at: datetime) -> Token | None:
    """Return the row of *token*; None if it is unknown or expired."""
    statement = select(Token).where(
        Token.digest == digest(token), or_(Token.expires_at.is_(None), Token.expires_at > at)
    )
    return session.scalars(statement).one_or_none()


def is_last_use_stale(token: Token, *, at: datetime) -> bool:
    """Tell whether `last_used_at` is old enough to be written again."""
    return token.last_used_at is None or at - token.last_used_at >= USE_PRECISION


def mark_used(session: Session, token_id: int, *, at: datetime) -> None:
    """Write when a token was last used."""
    session.execute(update(Token).where(Token.id == token_id).values(last_used_at=at))
    session.commit()


def ensure_admin_token(settings: Settings) -> Path:
    """Return the file with the admin's token, made on the first start (mode 0600).

    If the database does not know the token in the file (it is another database, or a
    restored one), the token is stored again, not replaced: scripts may hold it.
    """
    path = settings.admin_token_file
    if not _read(path):
        _write_secret(path, _new())
    database = Database(settings.effective_database_url)
    try:
        with database.session() as session:
            # After the file: if we die before it, the next start stores the token of the file.
            _store(session, _read(path))
    finally:
        database.close()
    return path


def ensure_first_token(settings: Settings) -> None:
    """Make an admin token, in its file, if the installation has no token at all.

    For a web server without `up`: somebody must be able to sign in.
    """
    database = Database(settings.effective_database_url)
    try:
        with database.reading() as session:
            has_token = session.scalars(select(Token.id).limit(1)).first() is not None
    finally:
        database.close()
    if not has_token:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.info("admin_token_made file=%s", ensure_admin_token(settings))


def _store(session: Session, token: str) -> None:
    now = clock.now()
    if find(session, token, at=now) is None:
        session.add(Token(name="admin", digest=digest(token), created_at=now))
        session.commit()


def _read(path: Path) -> str:
    """Return the token in *path*; "" if there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _write_secret(path: Path, secret: str) -> None:
    """Write *secret* to *path* atomically, unless another process just did."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".token-") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
        if path.exists() and not _read(path):
            path.unlink()
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)
