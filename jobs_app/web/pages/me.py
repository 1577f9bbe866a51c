"""The page of the person who is signed in: rights, sessions, tokens, a new password."""

from flask import Blueprint, request
from werkzeug import Response

from jobs_app.accounts import passwords, people, sessions, sign_out, tokens
from jobs_app.core import clock
from jobs_app.core.errors import InvalidInput
from jobs_app.web import page_auth, page_session
from jobs_app.web.pages import account_words, frame
from jobs_app.web.pages.account_forms import errors_by_field
from jobs_app.web.permissions import actor, principal
from jobs_app.web.session import session

page = Blueprint("me_page", __name__)


@page.get("/me")
def show() -> Response:
    """Show who is signed in, and where else."""
    at, row = clock.now(), page_session.current()
    person = people.get(session(), principal().account)
    return frame.render(
        "me.html",
        person=person,
        words=account_words,
        sessions=sessions.listed(session(), person.id, at=at),
        current_id=row.id,
        tokens=tokens.listed(session(), owner_id=person.id),
    )


@page.post("/me/sessions/<int(max=2147483647):session_id>/end")
def end_session(session_id: int) -> Response:
    """Sign out one of the person's browsers."""
    person = people.get(session(), principal().account)
    sign_out.one(session(), person, session_id, by=actor(), at=clock.now())
    return frame.goto("me_page.show")


@page.post("/me/sessions/end")
def end_others() -> Response:
    """Sign out all browsers of the person but this one."""
    person, row = people.get(session(), principal().account), page_session.current()
    sign_out.everywhere(session(), person, but=row.id, by=actor(), at=clock.now())
    return frame.goto("me_page.show")


@page.get("/me/password")
def password() -> Response:
    """Show the form for a new password."""
    page_auth.check_password_is_recent()
    return _password_form({}, 200)


@page.post("/me/password")
def set_password() -> Response:
    """Set a new password: all sessions end, and this browser gets a new one."""
    page_auth.check_password_is_recent()
    new, caller, at = request.form.get("password", ""), principal(), clock.now()
    try:
        passwords.check(new, caller.account)
    except InvalidInput as error:
        return _password_form(dict(errors_by_field(error)), 422)
    password_hash = passwords.hashed(new)
    person = people.set_password(session(), caller.account, password_hash, by=actor(), at=at)
    secret = sessions.start(session(), person, page_session.browser(), at=at)
    session().commit()
    page_session.give(secret)
    return frame.goto("me_page.show")


def _password_form(errors: dict[str, str], status: int) -> Response:
    return frame.render("password.html", status=status, errors=errors, rule=passwords.RULE)
