"""The session of the browser that sent a request: its cookie, and whose it is."""

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, Response, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.accounts import sessions
from jobs_app.accounts.principal import Principal, of_session
from jobs_app.accounts.sessions import Browser
from jobs_app.core.settings import Settings
from jobs_app.db.errors import error_name
from jobs_app.db.models.accounts import PageSession
from jobs_app.web import application_root
from jobs_app.web.remote_address import remote_address
from jobs_app.web.session import noting, reading

log = logging.getLogger(__name__)

NAME = "jobs_app_page_session"

#: The key in `g` of the secret that the answer gives to the browser.
_NEW_SECRET = "new_session_secret"  # noqa: S105  # a name


@dataclass(frozen=True, slots=True)
class Cookie:
    """The cookie of this installation: other installations on this host have other ones."""

    name: str
    path: str
    is_secure: bool

    @classmethod
    def of(cls, settings: Settings) -> "Cookie":
        """Return the cookie for the address in *settings*."""
        root = application_root.root_of(settings)
        if not application_root.is_https(settings):
            # Without https a name has no prefix, and cookies do not tell ports apart.
            return cls(f"jobs-app-{settings.port}", root or "/", is_secure=False)
        prefix = "__Secure-" if root else "__Host-"
        return cls(f"{prefix}jobs-app", root or "/", is_secure=True)


def init_app(app: Flask, settings: Settings) -> None:
    """Give *app* its cookie."""
    app.extensions[NAME] = Cookie.of(settings)
    app.after_request(_give_cookie)


def cookie() -> Cookie:
    """Return the cookie of the application that answers this request."""
    known: Cookie = current_app.extensions[NAME]
    return known


def secret() -> str:
    """Return the secret that the browser sent; "" if it sent none."""
    return request.cookies.get(cookie().name, "")


def next_secret() -> str:
    """Return the secret that the browser has after this answer; a new one if it has none.

    Somebody who is not signed in has one, too, so that nobody else can send the sign-in form.
    """
    known: str = g.get(_NEW_SECRET) or secret()
    if not known:
        known = secrets.token_urlsafe(32)
        give(known)
    return known


def give(new_secret: str) -> None:
    """Let the answer to this request give the browser this secret."""
    setattr(g, _NEW_SECRET, new_secret)


def load(*, at: datetime) -> Principal | None:
    """Return who is signed in in this browser, None for nobody; note that it was seen."""
    if not (sent := secret()):
        return None
    with reading() as reader:
        row, person = sessions.known(reader, sent)
    if row is None or person is None or sessions.refusal(row, person, at=at):
        return None
    g.page_session = row
    if sessions.is_seen_stale(row, at=at):
        _mark_seen(row, at=at)
    return of_session(row, person)


def principal_of(reader: Session, sent: str, *, at: datetime) -> Principal | None:
    """Return who is signed in with the secret *sent*, None for nobody."""
    row, person = sessions.known(reader, sent)
    if row is None or person is None or sessions.refusal(row, person, at=at):
        return None
    return of_session(row, person)


def current() -> PageSession:
    """Return the row of the session; call it only on pages that need one."""
    row: PageSession = g.page_session
    return row


def browser() -> Browser:
    """Return where this request came from."""
    return Browser(remote_address(), request.headers.get("User-Agent", ""))


def _mark_seen(row: PageSession, *, at: datetime) -> None:
    try:
        with noting() as writer:
            sessions.mark_seen(writer, row, at=at, address=remote_address())
    except SQLAlchemyError as error:
        # A full disk or a busy database must not refuse a request that only reads.
        log.warning("session_use_not_noted error=%s", error_name(error))


def _give_cookie(response: Response) -> Response:
    new_secret: str | None = g.get(_NEW_SECRET)
    if new_secret is not None:
        own = cookie()
        response.set_cookie(
            own.name,
            new_secret,
            max_age=sessions.LIFETIME,
            path=own.path,
            secure=own.is_secure,
            httponly=True,
            samesite="Lax",
        )
    return response
