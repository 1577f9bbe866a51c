"""The pages of people and service accounts, for admins."""

from typing import Any

from flask import Blueprint, request, url_for
from sqlalchemy import func, select
from werkzeug import Response

from jobs_app.accounts import links, people, sessions, sign_out, tag_limit, tokens
from jobs_app.core import clock
from jobs_app.core.errors import BadRequest, Conflict, InvalidInput, StaleVersion
from jobs_app.core.field_spec import INT32
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.web_address import link_address
from jobs_app.db.models.accounts import Person
from jobs_app.db.models.jobs import Job
from jobs_app.web import extension, page_auth, page_session
from jobs_app.web.pages import account_words, frame
from jobs_app.web.pages.account_forms import errors_by_field, rights
from jobs_app.web.pages.parameters import choice
from jobs_app.web.permissions import actor
from jobs_app.web.session import reading, session

page = Blueprint("people_page", __name__)

#: Accounts on a page.
LIMIT = 100


@page.get("/people")
def show() -> Response:
    """List accounts by name."""
    after = request.args.get("after") or None
    if after is not None and not people.NAME.fullmatch(after):
        raise BadRequest(
            "No account can have the name after which this page begins.", code="bad_cursor"
        )
    rows = people.page(session(), after=after, limit=LIMIT + 1)
    shown = rows[:LIMIT]
    more = url_for("people_page.show", after=shown[-1].name) if len(rows) > LIMIT else None
    counts = tokens.counts(session(), [row.id for row in shown])
    return frame.render("people.html", people=shown, counts=counts, more=more, words=account_words)


@page.get("/invite")
def new() -> Response:
    """Show the form of a new account."""
    page_auth.check_password_is_recent()
    return _new_form({}, 200)


@page.post("/invite")
def create() -> Response:
    """Add an account; a person gets a link, which is shown once."""
    page_auth.check_password_is_recent()
    kind, at = _kind(), clock.now()
    name = request.form.get("name", "").strip()
    try:
        made = people.create(session(), name, kind, rights(), by=actor(), at=at)
    except (InvalidInput, Conflict) as error:
        return _new_form(dict(errors_by_field(error)), 422)
    if kind is AccountKind.SERVICE:
        return frame.goto("people_page.person", name=made.name)
    return _show_link(made, status=201)


@page.get("/people/<name>")
def person(name: str) -> Response:
    """Show an account."""
    return _person(people.get(session(), name), {}, 200)


@page.post("/people/<name>")
def change(name: str) -> Response:
    """Change role, grants and tags: all sessions of the account end."""
    page_auth.check_password_is_recent()
    try:
        wanted = rights()
        values = {"role": wanted.role, "grants": wanted.grants, "tags": wanted.tags}
        version = request.form.get("version", type=int)
        people.change(session(), name, values, version=version, by=actor(), at=clock.now())
    except (InvalidInput, Conflict, StaleVersion) as error:
        session().rollback()
        return _person(people.get(session(), name), dict(errors_by_field(error)), 422)
    return frame.goto("people_page.person", name=name)


@page.post("/people/<name>/link")
def make_link(name: str) -> Response:
    """Make a link for a password, and show it, once."""
    page_auth.check_password_is_recent()
    return _show_link(people.get(session(), name), status=201)


@page.post("/people/<name>/disable")
def disable(name: str) -> Response:
    """Disable an account: its sessions end, and its tokens do not work."""
    return _set_disabled(name, True)


@page.post("/people/<name>/enable")
def enable(name: str) -> Response:
    """Enable a disabled account."""
    return _set_disabled(name, False)


@page.get("/people/<name>/remove")
def confirm_removal(name: str) -> Response:
    """Say what removing an account does."""
    row = people.get(session(), name)
    counts = tokens.counts(session(), [row.id])
    return frame.render("person_remove.html", person=row, count=counts.get(row.id, 0))


@page.post("/people/<name>/remove")
def remove(name: str) -> Response:
    """Remove an account, and revoke its tokens."""
    page_auth.check_password_is_recent()
    people.remove(session(), name, by=actor(), at=clock.now())
    return frame.goto("people_page.show")


@page.post("/people/<name>/sessions/end")
def end_sessions(name: str) -> Response:
    """Sign an account out everywhere, or in one browser."""
    row, at = people.get(session(), name), clock.now()
    number = request.form.get("session", type=int)
    if number is None:
        sign_out.everywhere(session(), row, by=actor(), at=at)
    else:
        sign_out.one(session(), row, min(number, INT32), by=actor(), at=at)
    return frame.goto("people_page.person", name=name)


def _set_disabled(name: str, is_disabled: bool) -> Response:
    page_auth.check_password_is_recent()
    people.set_disabled(session(), name, is_disabled, by=actor(), at=clock.now())
    return frame.goto("people_page.person", name=name)


def _kind() -> AccountKind:
    kind = choice("kind", [*AccountKind], sent=request.values.get("kind", ""))
    return AccountKind(kind or AccountKind.PERSON)


def _show_link(row: Person, *, status: int) -> Response:
    at = clock.now()
    key = links.make(session(), row, by=actor(), at=at)
    link = links.open_link(session(), row.id, at=at)
    address = link_address(extension.current().settings, key)
    return frame.render("link_made.html", status=status, person=row, address=address, link=link)


def _new_form(errors: dict[str, str], status: int) -> Response:
    typed = {
        "name": request.form.get("name", ""),
        "role": request.form.get("role", Role.VIEWER),
        "grants": request.form.getlist("grants"),
        "tags": request.form.get("tags", ""),
    }
    return frame.render(
        "person_new.html",
        status=status,
        errors=errors,
        kind=_kind(),
        typed=typed,
        words=account_words,
    )


def _person(row: Person, errors: dict[str, str], status: int) -> Response:
    at, is_sent = clock.now(), bool(errors)
    typed = {
        "role": request.form.get("role", "") if is_sent else row.role,
        "grants": request.form.getlist("grants") if is_sent else row.grants,
        "tags": request.form.get("tags", "") if is_sent else ", ".join(row.tags or ()),
    }
    return frame.render(
        "person.html",
        status=status,
        person=row,
        errors=errors,
        typed=typed,
        allowed=account_words.allowed(row),
        jobs=_jobs_seen(row),
        sessions=sessions.listed(session(), row.id, at=at),
        current_id=page_session.current().id,
        tokens=tokens.listed(session(), owner_id=row.id),
        link=links.open_link(session(), row.id, at=at),
        words=account_words,
        is_admin_account=row.name == people.ADMIN,
    )


def _jobs_seen(row: Person) -> dict[str, Any]:
    """Return how many jobs the account sees, and how many there are."""
    count = select(func.count(Job.id)).where(Job.deleted_at.is_(None))
    total = session().scalar(count) or 0
    if row.tags is None:
        return {"seen": total, "total": total}
    with reading() as reader:
        tag_limit.limit(reader, frozenset(row.tags))
        return {"seen": reader.scalar(count) or 0, "total": total}
