"""The pages of tokens: one's own, and for admins those of all accounts."""

from flask import Blueprint, redirect, request
from pydantic import ValidationError
from werkzeug import Response

from jobs_app.accounts import tokens
from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.core.errors import Conflict, InvalidInput, NotFound
from jobs_app.core.roles import Scope
from jobs_app.web import page_auth
from jobs_app.web.api import tokens as api
from jobs_app.web.api.schemas.base import raise_invalid
from jobs_app.web.local_address import local_address, rooted
from jobs_app.web.pages import account_forms, account_words, frame
from jobs_app.web.permissions import may, principal
from jobs_app.web.session import session

page = Blueprint("tokens_page", __name__)


@page.get("/tokens")
def show() -> Response:
    """List the person's tokens; to admins those of all accounts."""
    owner_id = None if may(Action.MANAGE_PEOPLE) else principal().person_id
    rows = tokens.listed(session(), owner_id=owner_id)
    return frame.render("tokens.html", tokens=rows, words=account_words, now=clock.now())


@page.get("/tokens/new")
def new() -> Response:
    """Show the form of a new token."""
    page_auth.check_password_is_recent()
    return _form({}, 200)


@page.post("/tokens/new")
def create() -> Response:
    """Make a token and show it, once."""
    page_auth.check_password_is_recent()
    try:
        made = api.make(_input())
    except (InvalidInput, Conflict, NotFound) as error:
        return _form(dict(account_forms.errors_by_field(error)), 422)
    return frame.render("token_made.html", status=201, made=made, words=account_words)


@page.get("/tokens/<int(max=2147483647):number>/revoke")
def confirm(number: int) -> Response:
    """Say what revoking a token does."""
    return frame.render("token_revoke.html", token=api.own(number), back=_back())


@page.post("/tokens/<int(max=2147483647):number>/revoke")
def revoke(number: int) -> Response:
    """Revoke a token, at once."""
    api.revoke(number)
    return redirect(rooted(_back()), 303)


def _back() -> str:
    return local_address(request.values.get("back") or "/tokens")


def _input() -> api.TokenIn:
    try:
        return api.TokenIn.model_validate(account_forms.token_fields())
    except ValidationError as error:
        raise_invalid(error)


def _form(errors: dict[str, str], status: int) -> Response:
    is_sent = request.method == "POST"
    return frame.render(
        "token_form.html",
        status=status,
        errors=errors,
        owner=request.values.get("owner", ""),
        name=request.form.get("name", ""),
        tags=request.form.get("tags", ""),
        chosen=request.form.getlist("scopes") if is_sent else [*Scope],
        days=request.form.get("days", "90"),
        all_days=account_forms.DAYS if may(Action.MANAGE_PEOPLE) else account_forms.DAYS[:-1],
        words=account_words,
    )
