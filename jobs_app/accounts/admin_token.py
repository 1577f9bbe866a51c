"""The admin's token in a file of the data directory, for the first sign-in and the command line."""

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.accounts import people, tokens
from jobs_app.core import clock
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.own_files import check_secret_file
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Token

log = logging.getLogger(__name__)

#: The name of the token in the file, and of its account; no other token may have it.
ADMIN = people.ADMIN

HEADER = "Authorization: Bearer "

_FORM = re.compile(re.escape(tokens.PREFIX) + r"[A-Za-z0-9_-]{43,200}")


def ensure_admin_token(settings: Settings) -> Path:
    """Return the file with the admin's token, made on the first start (mode 0600).

    If the database does not know the token in the file (it is another database, or a
    restored one), the token is stored again, not replaced: scripts may hold it. The token
    that was in the file at the start before is revoked if it is another one. Raises
    ConfigurationError for a file that others can read, or with a token not made here.
    """
    path = settings.admin_token_file
    if not _read(path):
        _write_once(path, tokens.make())
    check_secret_file(path)
    token = _read(path)
    if not _FORM.fullmatch(token):
        raise ConfigurationError(
            f"The file {path} holds no token that jobs-app has made: remove it, and the next "
            "start makes one. `jobs-app token create` makes more."
        )
    database = Database(settings.effective_database_url)
    try:
        with database.session() as session:
            # After the file: if we die before it, the next start stores the token of the file.
            _store(session, token)
            _revoke_earlier(session, settings, token)
    finally:
        database.close()
    _write_header(settings.admin_token_header_file, token)
    return path


def ensure_first_token(settings: Settings) -> None:
    """Make or renew the admin's token for a web server without `up`: somebody must sign in.

    An installation that has tokens, and no file of the admin here, stays as it is.
    """
    files = (settings.admin_token_file, settings.admin_token_header_file)
    if any(path.exists() for path in files) or not _has_tokens(settings):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log.info("admin_token file=%s", ensure_admin_token(settings))


def renew_admin_token(settings: Settings) -> Path:
    """Revoke the token in the file, write a new one, and return the file."""
    settings.admin_token_file.unlink(missing_ok=True)
    return ensure_admin_token(settings)


def _has_tokens(settings: Settings) -> bool:
    database = Database(settings.effective_database_url)
    try:
        with database.reading() as session:
            return (
                session.scalars(select(Token.id).where(Token.revoked_at.is_(None)).limit(1)).first()
                is not None
            )
    finally:
        database.close()


def _store(session: Session, token: str) -> None:
    now = clock.now()
    owner = people.service_account(session, ADMIN, by="jobs-app", at=now)
    row, _ = tokens.known(session, token)
    if row is None:
        row = Token(name=ADMIN, digest=tokens.digest(token), created_at=now)
        session.add(row)
    row.owner_id, row.scopes, row.tags = owner.id, None, None
    row.revoked_at = row.expires_at = None
    session.commit()


def _revoke_earlier(session: Session, settings: Settings, token: str) -> None:
    """Revoke the token that the file held before; in an embedded database all of its name.

    Machines that share a database have a file each, so there the earlier one is looked up.
    """
    is_earlier = Token.name == ADMIN
    if settings.database_url is not None:
        earlier = _read(settings.admin_token_header_file).removeprefix(HEADER)
        is_earlier = Token.digest == tokens.digest(earlier)
    condition = (Token.digest != tokens.digest(token)) & is_earlier
    tokens.revoke_where(session, condition, at=clock.now())
    session.commit()


def _read(path: Path) -> str:
    """Return the text in *path*; "" if there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The file {path} cannot be read: {error}.") from error


def _write_once(path: Path, secret: str) -> None:
    """Write *secret* to *path* atomically, unless another process just did."""
    with _draft(path, secret) as draft:
        if path.exists() and not _read(path):
            path.unlink()
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)


def _write_header(path: Path, token: str) -> None:
    """Write the file for `curl -H @FILE`: an argument with the token would show in `ps`."""
    if _read(path) != HEADER + token:
        with _draft(path, HEADER + token) as draft:
            copy = draft.with_name(f"{draft.name}.new")
            os.link(draft, copy)
            copy.replace(path)


@contextlib.contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """Lend a file beside *path* with *text*, which only its owner can read."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".token-") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
        yield Path(file.name)
