"""The form with which somebody takes care of what needs attention."""

from flask import Blueprint, Response
from werkzeug import Response as BaseResponse

from jobs_app.core import clock
from jobs_app.core.errors import InvalidInput
from jobs_app.jobs import acknowledgements
from jobs_app.jobs.attention import Item
from jobs_app.web.api.attention import AcknowledgementIn, lines
from jobs_app.web.pages import frame
from jobs_app.web.pages.queries import sent_fields, validated
from jobs_app.web.permissions import actor
from jobs_app.web.session import session

page = Blueprint("attention_page", __name__)


@page.get("/attention/<line>")
def show(line: str) -> Response:
    """Ask for a note, which all see beside the line."""
    item = acknowledgements.line(lines(at=clock.now()), line)
    return _form(item, item.acknowledgement.note if item.acknowledgement else None)


@page.post("/attention/<line>")
def acknowledge(line: str) -> BaseResponse:
    """Record who takes care of it."""
    at, sent = clock.now(), sent_fields("note")
    items = lines(at=at)
    try:
        note = validated(AcknowledgementIn, sent).note
    except InvalidInput as error:
        return _form(acknowledgements.line(items, line), sent.get("note"), error)
    acknowledgements.acknowledge(session(), items, line, note=note, by=actor(), at=at)
    return frame.goto("home_page.show")


@page.post("/attention/<line>/take-back")
def take_back(line: str) -> BaseResponse:
    """Take an acknowledgement back."""
    at = clock.now()
    acknowledgements.take_back(session(), lines(at=at), line, by=actor(), at=at)
    return frame.goto("home_page.show")


def _form(item: Item, note: str | None, error: InvalidInput | None = None) -> Response:
    status = 200 if error is None else 422
    return frame.render("acknowledge.html", status=status, item=item, note=note, error=error)
