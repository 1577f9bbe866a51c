"""The page behind a link: for the first admin, for an invitation, for a forgotten password."""

from dataclasses import replace

from flask import Blueprint, Response, request
from werkzeug import Response as BaseResponse

from jobs_app.accounts import audit, links, passwords, sessions
from jobs_app.core import clock
from jobs_app.core.errors import Conflict, FieldError, InvalidInput, NotFound
from jobs_app.db.models.accounts import Link, Person
from jobs_app.web import page_session, session
from jobs_app.web.pages import frame
from jobs_app.web.pages.sign_in import is_unencrypted, writing

page = Blueprint("links_page", __name__)


@page.get("/links/<key>")
def show(key: str) -> Response:
    """Show the form. It uses nothing up: programs that look for viruses open links, too."""
    try:
        with session.reading() as reader:
            link, person = links.find(reader, key, at=clock.now())
    except NotFound as error:
        return frame.render("link_unknown.html", status=404, detail=error.detail)
    return _form(link, person)


@page.post("/links/<key>")
def use(key: str) -> BaseResponse:
    """Set the password, or make the first admin, and sign in."""
    at, name = clock.now(), request.form.get("name", "").strip()
    password = request.form.get("password", "")
    try:
        with session.reading() as reader:
            link, person = links.find(reader, key, at=at)
        passwords.check(password, name if person is None else person.name)
        password_hash = passwords.hashed(password)
        with writing() as writer:
            made = links.use(writer, key, password_hash, name=name, at=at)
            secret = sessions.start(writer, made, page_session.browser(), at=at)
            audit.set_origin(writer, replace(audit.origin(writer), person_id=made.id))
            audit.note(writer, "sign_in", by=made.name, at=at, person=made.name)
            writer.commit()
    except NotFound as error:
        return frame.render("link_unknown.html", status=404, detail=error.detail)
    except (InvalidInput, Conflict) as error:
        return _form(link, person, name=name, errors=error.errors, status=422)
    page_session.give(secret)
    return frame.goto("home_page.show")


def _form(
    link: Link,
    person: Person | None,
    *,
    name: str = "",
    errors: tuple[FieldError, ...] = (),
    status: int = 200,
) -> Response:
    return frame.render(
        "link.html",
        status=status,
        link=link,
        account=None if person is None else person.name,
        name=name,
        errors={error.pointer.strip("/"): error.detail for error in errors},
        rule=passwords.RULE,
        is_unencrypted=is_unencrypted(),
    )
