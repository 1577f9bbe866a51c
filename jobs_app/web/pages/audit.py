"""The audit: who did what, with filters in the address, and the values before and after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flask import Blueprint, request, url_for
from werkzeug import Response

from jobs_app.accounts import audit
from jobs_app.core.document_diff import differences
from jobs_app.core.errors import JobsError
from jobs_app.core.states import Via
from jobs_app.core.text import rfc3339
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.web.api import audit as api
from jobs_app.web.api import pagination
from jobs_app.web.api.problems import on_jobs_error
from jobs_app.web.pages import frame, zones
from jobs_app.web.pages.account_forms import errors_by_field
from jobs_app.web.pages.parameters import known
from jobs_app.web.pages.queries import read_query
from jobs_app.web.permissions import principal
from jobs_app.web.session import session

page = Blueprint("audit_page", __name__)

#: New events are counted up to so many.
MOST_NEWER = 20

#: The parameters with an instant, which people type in the zone of the page.
INSTANTS = ("from", "to")

#: The parameters that may have several values.
SEVERAL = ("action", "via")

WAYS = {
    Via.PAGE: "page",
    Via.API: "API",
    Via.CLI: "command line",
    Via.SYSTEM: "by itself",
}

#: What else than jobs and runs an event is about; the first that its detail has is shown.
OBJECTS = ("name", "secret", "channel", "token", "person", "request")

#: Not shown again among the other values of an event.
_VALUES = ("before", "after")


@dataclass(frozen=True, slots=True)
class Row:
    """An event with what it is about, the fields that it changed, and its other values."""

    event: AuditEvent
    action: str
    account: str
    job: str | None
    about: str
    changes: list[tuple[str, str, str]]
    others: list[tuple[str, str]]


@page.get("/audit")
def show() -> Response:
    """Show the events that match the filters in the address, the newest first."""
    if (exact := _with_zone()) is not None:
        return frame.goto("audit_page.show", **exact)
    try:
        query = read_query(api.EventQuery)
        return frame.show("audit.html", partial(_build, query), **_filters())
    except JobsError as error:
        status, errors = on_jobs_error(error).status_code, errors_by_field(error)
        return frame.render("audit.html", status=status, **_filters() | {"errors": errors})


def _filters() -> dict[str, Any]:
    """Return what the form of the filters shows."""
    sent = _sent()
    visible = audit.visible_actions(principal())
    return {
        "filters": {name: value for name, value in sent.items() if name != "cursor"},
        "local": {name: _local(sent.get(name, "")) for name in INSTANTS},
        "chosen": {name: [*filter(None, sent.get(name, "").split(","))] for name in SEVERAL},
        "actions": None
        if visible is None
        else [(name, name.replace("_", " ")) for name in sorted(visible)],
        "ways": WAYS,
        "errors": {},
    }


def _build(query: api.EventQuery) -> Mapping[str, Any]:
    newest = None if query.cursor else _newest()
    found = api.find(query, newest=newest)
    shown = found[: query.limit]
    names = audit.job_names(session(), shown)
    first, filters = newest, {n: value for n, value in _sent().items() if n != "cursor"}
    if first is None and shown and query.cursor is None:
        first = shown[0].id
    more = {"cursor": _key(shown[-1].id)} if len(found) > query.limit else None
    return {
        "polled": None if first is None else _address({**filters, "since": _key(first)}),
        "newer": 0 if newest is None else api.count_newer(query, newest, most=MOST_NEWER + 1),
        "most_newer": MOST_NEWER,
        "rows": [_row(event, names) for event in shown],
        "older": None if more is None else _address({**filters, **more}),
        "is_first": query.cursor is None,
        "newest": _address(filters),
    }


def _newest() -> int | None:
    """Return the event that the page began with: a poll shows no newer ones above it."""
    text = request.args.get("since") or None
    since = pagination.decode(api.AUDIT_KIND, text, api.read_event_id)
    return since if frame.is_poll() else None


def _key(event_id: int) -> str:
    return pagination.encode(api.AUDIT_KIND, event_id)


def _sent() -> dict[str, str]:
    """Return the parameters of this address that are not empty."""
    sent = {
        name: ",".join(filter(None, values)) if name in SEVERAL else values[0]
        for name, values in known().items()
        if any(values)
    }
    sent.pop("since", None)
    return sent


def _address(parameters: Mapping[str, Any]) -> str:
    return url_for("audit_page.show", **parameters)


def _row(event: AuditEvent, names: Mapping[int, str]) -> Row:
    detail = api.shown_detail(event.detail)
    before, after = (_object(detail.get(name)) for name in _VALUES)
    changes = [
        (found.name, frame.value_text(found.before), frame.value_text(found.after))
        for found in differences(before, after)
    ]
    others = {
        name: value
        for name, value in detail.items()
        if value is not None and (name not in _VALUES or not isinstance(value, dict))
    }
    job = None if event.job_id is None else names.get(event.job_id)
    about = next((str(detail[name]) for name in OBJECTS if detail.get(name)), "")
    return Row(
        event=event,
        action=event.action.replace("_", " "),
        account=event.actor.partition("/")[0],
        job=job,
        about="" if about == job else about,
        changes=changes,
        others=[(name, frame.value_text(value)) for name, value in others.items()],
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _with_zone() -> dict[str, str] | None:
    """Return the parameters with the zone of this page in each instant; None if each has one.

    Whoever opens the address in another zone sees the same events.
    """
    parameters = _sent()
    typed = {name: _typed(parameters.get(name, "")) for name in INSTANTS}
    exact = {name: rfc3339(instant) for name, instant in typed.items() if instant is not None}
    return {**parameters, **exact} if exact else None


def _typed(text: str) -> datetime | None:
    """Return the instant that somebody typed without a zone, None for any other text."""
    try:
        typed = datetime.fromisoformat(text)
        if typed.tzinfo is not None:
            return None
        return typed.replace(tzinfo=zones.current()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _local(text: str) -> str:
    """Return the instant *text* as a field for date and time has it, in the zone of the page."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(zones.current()).strftime("%Y-%m-%dT%H:%M")
    except (ValueError, OverflowError):
        return ""
