"""The pages to sign in and out, and what a page answers to somebody who has to."""

import math
import secrets

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlalchemy.orm import Session
from werkzeug import Response as BaseResponse

from jobs_app.accounts import audit, people, sessions, sign_in
from jobs_app.accounts.sign_in import Outcome
from jobs_app.core import clock
from jobs_app.web import page_auth, page_session, session
from jobs_app.web.auth import SIGN_INS
from jobs_app.web.csrf import StaleForm
from jobs_app.web.local_address import current_address, local_address, rooted
from jobs_app.web.page_auth import PasswordNeeded, SignedOut
from jobs_app.web.pages import frame
from jobs_app.web.remote_address import is_loopback_name, remote_address
from jobs_app.web.session import READING_METHODS
from jobs_app.web.sign_in_audit import FailedSignIn, Reason, SignInAudit

page = Blueprint("sign_in_page", __name__)

#: Routes that only scripts ask for: a page to sign in would be no answer to them.
FOR_SCRIPTS = frozenset({"run_log_page.follow", "run_log_page.read"})

#: How the names of fields begin that are kept while somebody signs in.
KEPT = "kept."

#: The field that says that there was another form, also if it had no fields.
SENDS = "sends"

WRONG = "The name or the password is wrong."


def register(app: Flask) -> None:
    """Answer in *app* whoever has to sign in with the form for it, which keeps what was typed."""
    app.register_error_handler(SignedOut, _on_signed_out)
    app.register_error_handler(PasswordNeeded, _on_password_needed)
    app.register_error_handler(StaleForm, _on_stale_form)


@page.get("/sign-in", endpoint="sign_in")
def sign_in_form() -> BaseResponse:
    """Show the form; whoever is signed in needs none."""
    next_path = local_address(request.args.get("next", ""))
    if frame.current_principal() is not None:
        return redirect(rooted(next_path), 303)
    return _form(next_path=next_path)


@page.post("/sign-in")
def send() -> BaseResponse:
    """Sign in with name and password."""
    name = request.form.get("name", "").strip()
    return _attempt(name, is_again=False)


@page.get("/sign-in/again")
def again() -> Response:
    """Show the form that asks for the password again."""
    return _form(next_path=local_address(request.args.get("next", "")), is_again=True)


@page.post("/sign-in/again")
def send_again() -> BaseResponse:
    """Take the password again."""
    caller = frame.current_principal()
    return _attempt("" if caller is None else caller.account, is_again=True)


@page.post("/sign-out")
def sign_out() -> BaseResponse:
    """End the session of this browser."""
    row, caller, at = page_session.current(), frame.current_principal(), clock.now()
    current = session.session()
    sessions.end(current, row.id, row.person_id, at=at)
    audit.note(current, "sign_out", by=caller.name if caller else "", at=at)
    current.commit()
    page_session.give(secrets.token_urlsafe(32))
    return frame.goto("sign_in_page.sign_in")


def is_unencrypted() -> bool:
    """Tell whether what is typed here crosses a network as it is, as far as we know."""
    return not page_session.cookie().is_secure and not is_loopback_name()


def writing() -> Session:
    """Return a session that may write, and whose events have the origin of this request.

    Anybody may ask for one without a right: so it waits only shortly for another writer.
    """
    writer = session.writing(wait_seconds=session.VISITOR_SECONDS)
    audit.set_origin(writer, g.audit_origin)
    return writer


def _attempt(name: str, *, is_again: bool) -> BaseResponse:
    next_path = local_address(request.form.get("next", ""))
    is_signed_in = frame.current_principal() is not None
    replaces = page_session.current().id if is_signed_in else None
    outcome = sign_in.sign_in(
        writing,
        name,
        request.form.get("password", ""),
        page_session.browser(),
        replaces=replaces,
        at=clock.now(),
    )
    if outcome.secret is None:
        return _failed(name, outcome, next_path=next_path, is_again=is_again)
    page_session.give(outcome.secret)
    if SENDS in request.form:
        return frame.render("send_again.html", action=next_path, kept=_kept())
    return redirect(rooted(next_path), 303)


def _failed(name: str, outcome: Outcome, *, next_path: str, is_again: bool) -> Response:
    reason = Reason.TOO_MANY if outcome.wait else Reason.WRONG
    failures: SignInAudit = current_app.extensions[SIGN_INS]
    failures.note(FailedSignIn.of(name, outcome.account, remote_address(), reason))
    error, status = WRONG, 422
    if is_again:
        error = "The password is wrong."
    if outcome.wait:
        seconds, status = math.ceil(outcome.wait.total_seconds()), 429
        error = f"Too many sign-ins failed. Wait {seconds} s, and try again."
    kept = _kept() if SENDS in request.form else None
    response = _form(
        next_path=next_path, is_again=is_again, name=name, error=error, kept=kept, status=status
    )
    if outcome.wait:
        response.headers["Retry-After"] = str(seconds)
    return response


def _form(
    *,
    next_path: str,
    is_again: bool = False,
    name: str = "",
    error: str = "",
    kept: list[tuple[str, str]] | None = None,
    status: int = 200,
    is_ended: bool = False,
) -> Response:
    with session.reading() as reader:
        has_person = people.has_person(reader)
    return frame.render(
        "sign_in.html",
        status=status,
        next=next_path,
        is_again=is_again,
        name=name,
        error=error,
        kept=kept,
        is_ended=is_ended,
        has_person=has_person,
        is_unencrypted=is_unencrypted(),
    )


def _kept() -> list[tuple[str, str]]:
    """Return the fields of another form that the form of this request kept."""
    fields = request.form.items(multi=True)
    return [(name.removeprefix(KEPT), value) for name, value in fields if name.startswith(KEPT)]


def _on_signed_out(error: SignedOut) -> BaseResponse:
    next_path = current_address()
    if "HX-Request" in request.headers or request.endpoint in FOR_SCRIPTS:
        link = url_for("sign_in_page.sign_in")
        response = Response(render_template("signed_out.html", link=link), 401)
        response.headers["Cache-Control"] = "no-store"
        return response
    if request.method in READING_METHODS:
        asked = {} if next_path == "/" else {"next": next_path}
        return frame.goto("sign_in_page.sign_in", **asked)
    return _form(next_path=next_path, kept=page_auth.sent_fields(), status=401, is_ended=True)


def _on_password_needed(error: PasswordNeeded) -> BaseResponse:
    next_path = current_address()
    if request.method in READING_METHODS:
        return frame.goto("sign_in_page.again", next=next_path)
    kept = page_auth.sent_fields()
    return _form(next_path=next_path, is_again=True, kept=kept, status=401)


def _on_stale_form(error: StaleForm) -> BaseResponse:
    """Offer what was sent with a new token: the browser said that our own page sent it."""
    if "HX-Request" in request.headers or frame.current_principal() is None:
        return frame.render("stale_form.html", status=403, detail=error.detail)
    kept, action = page_auth.sent_fields(), current_address()
    return frame.render(
        "send_again.html", status=403, action=action, kept=kept, detail=error.detail
    )
