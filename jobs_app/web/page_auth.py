"""Who may use a page: somebody who is signed in in this browser, and sends our own forms."""

from flask import g, request

from jobs_app.accounts import audit, sessions
from jobs_app.accounts.principal import Principal
from jobs_app.core import clock
from jobs_app.core.errors import Unauthenticated
from jobs_app.secrets.redaction import looks_secret
from jobs_app.web import csrf, page_session, permissions, session
from jobs_app.web.remote_address import remote_address
from jobs_app.web.session import READING_METHODS


class SignedOut(Unauthenticated):
    """A page that nobody is signed in to."""

    code = "signed_out"
    title = "You are signed out"


class PasswordNeeded(Unauthenticated):
    """A page that asks for the password again, because it was given too long ago."""

    code = "password_needed"
    title = "Give your password again"


def authenticate() -> None:
    """Set the caller of this request for a page.

    Raises SignedOut, Forbidden, and for a request that changes something ForeignRequest and
    StaleForm.
    """
    g.principal = caller = page_session.load(at=clock.now())
    session.set_origin(_origin(caller))
    is_unsafe = request.method not in READING_METHODS
    if is_unsafe:
        # Before anything else: a page of another site must not get its values into ours.
        csrf.check_origin()
    if caller is None and request.endpoint not in permissions.SIGNED_OUT:
        raise SignedOut("Sign in to see this page.")
    if is_unsafe:
        csrf.check_token()
    if request.endpoint not in permissions.SIGNED_OUT:
        permissions.check_route()


def check_password_is_recent() -> None:
    """Raise PasswordNeeded if the password was not given in this session a short time ago."""
    if not sessions.is_password_recent(page_session.current(), at=clock.now()):
        raise PasswordNeeded("This page wants your password again.")


def sent_fields() -> list[tuple[str, str]]:
    """Return what was typed into the form of this request, but for secrets."""
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name != csrf.FIELD and not looks_secret(name)
    ]


def _origin(caller: Principal | None) -> audit.Origin:
    person_id = None if caller is None else caller.person_id
    return audit.Origin(None, remote_address(), person_id, g.request_id, "page")
