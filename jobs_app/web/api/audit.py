"""The route /audit: who did what."""

from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

from flask import Response
from pydantic import BaseModel, Field

from jobs_app.accounts import audit
from jobs_app.accounts.audit import EventFilter
from jobs_app.core.field_spec import INT32
from jobs_app.core.states import Via
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.web.api import pagination
from jobs_app.web.api.jobs import find_job
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.responses import as_json
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.dump import shown_job_kwargs
from jobs_app.web.api.schemas.fields import AnyOf, Instant, InstantIn, Search
from jobs_app.web.permissions import principal
from jobs_app.web.session import session

api = LateBlueprint("audit", __name__, abp_tags=[INSTALLATION])

AUDIT_KIND = "audit"


class EventOut(BaseModel):
    """Who did what; `detail` has the values before and after."""

    id: int
    at: Instant
    actor: Annotated[str, Field(description="The name of the token, or the part that acted.")]
    token_id: Annotated[
        int | None, Field(description="The token of the request; null if there was no request.")
    ]
    remote_address: Annotated[
        str | None, Field(description="The address that the request came from.")
    ]
    person_id: Annotated[int | None, Field(description="The account of the request.")]
    via: Annotated[
        str | None, Field(description="`api`, `cli`, `page` or `system`; null in old events.")
    ]
    request_id: Annotated[
        str | None, Field(description="The header X-Request-Id of the answer to the request.")
    ]
    action: str
    job_id: int | None
    job: Annotated[str | None, Field(description="The name that the job has now.")] = None
    run_id: UUID | None
    detail: dict[str, Any]


class EventPage(BaseModel):
    """Part of the audit, newest first; `next_cursor` is null at its end."""

    items: list[EventOut]
    next_cursor: str | None


class EventQuery(Query):
    """The filters of the audit; `job` is the name of a job that is not deleted.

    `person` is the name of an account, also of a removed one. `from` <= the event < `to`.
    """

    job: Search | None = None
    person: Search | None = None
    action: Annotated[
        tuple[str, ...], AnyOf(None, "actions", "What was done.", ("pause", "resume"))
    ] = ()
    via: Annotated[
        tuple[Via, ...], AnyOf(Via, "ways", "The way by which the change came.", ("api", "page"))
    ] = ()
    start: InstantIn | None = Field(None, alias="from")
    end: InstantIn | None = Field(None, alias="to")
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


@api.get("/audit", responses={200: EventPage, **problems(400, 404)})
def list_events(query: EventQuery) -> Response:
    """List who did what, newest first.

    Viewers see the changes of jobs, operators also starts and cancellations, editors also
    changes of secrets, and admins all.
    """
    return pagination.page(AUDIT_KIND, query.limit, find(query), key=attrgetter("id"), show=_shown)


def find(query: EventQuery, *, newest: int | None = None) -> list[AuditEvent]:
    """Return the events that *query* asks for and the caller may see, and one more if there is.

    None is newer than the event *newest*, if that is an event. Raises NotFound for an unknown
    job, BadRequest for a cursor of another list.
    """
    before = pagination.decode(AUDIT_KIND, query.cursor, read_event_id)
    return audit.page(
        session(),
        _filter(query),
        before=before if newest is None else newest + 1,
        limit=query.limit + 1,
        actions=audit.visible_actions(principal()),
    )


def count_newer(query: EventQuery, event_id: int, *, most: int) -> int:
    """Return how many events that *query* asks for are newer than an event, up to *most*."""
    return audit.count_newer(
        session(),
        _filter(query),
        after=event_id,
        most=most,
        actions=audit.visible_actions(principal()),
    )


def _filter(query: EventQuery) -> EventFilter:
    return EventFilter(
        job_id=None if query.job is None else find_job(query.job).id,
        person=query.person,
        actions=query.action,
        via=query.via,
        since=query.start,
        until=query.end,
    )


def _shown(events: list[AuditEvent]) -> list[dict[str, Any]]:
    names = audit.job_names(session(), events)
    return [
        as_json(EventOut, event)
        | {"job": names.get(event.job_id or 0), "detail": shown_detail(event.detail)}
        for event in events
    ]


def shown_detail(detail: dict[str, Any]) -> dict[str, Any]:
    """Return *detail*, with its arguments masked if the caller may only read or start."""
    return {
        name: value | {"kwargs": shown_job_kwargs(value["kwargs"])}
        if isinstance(value, dict) and isinstance(value.get("kwargs"), dict)
        else value
        for name, value in detail.items()
    }


def read_event_id(text: str) -> int:
    event_id = int(text)
    if not 0 < event_id <= INT32:
        raise ValueError("not an id")
    return event_id
