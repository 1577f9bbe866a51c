"""/tasks, /queues, /workers and /audit: what this installation has, and who did what."""

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from jobs_app import audit, catalog, jobs, overview
from jobs_app.api import cursors, parts
from jobs_app.api.bodies import Query
from jobs_app.api.database import session
from jobs_app.api.document import problems
from jobs_app.api.fields import INT32, Instant, Search
from jobs_app.definitions import NAME
from jobs_app.errors import NotFound
from jobs_app.models import AuditEvent

api = APIBlueprint(
    "installation",
    __name__,
    abp_tags=[Tag(name="installation", description="Tasks, queues, workers, and who did what.")],
)

AUDIT_KIND = "audit"


class TaskOut(BaseModel):
    """A task that a job may name; `schema` is a JSON Schema of its kwargs."""

    name: str
    description: str
    kwargs_schema: Annotated[dict[str, Any], Field(alias="schema")]


class TaskList(BaseModel):
    """Every task."""

    items: list[TaskOut]


class QueueOut(BaseModel):
    """A queue: how many workers serve it, how many of its runs are queued and running."""

    name: str
    workers: int
    queued: int
    running: int


class QueueList(BaseModel):
    """Every queue."""

    items: list[QueueOut]


class WorkerOut(BaseModel):
    """A living worker."""

    id: UUID
    name: str
    pid: int
    queues: list[str]
    concurrency: int
    pool: str
    started_at: Instant
    seen_at: Instant


class WorkerList(BaseModel):
    """Every living worker."""

    items: list[WorkerOut]


class EventOut(BaseModel):
    """Who did what; `detail` says what was so before and after."""

    id: int
    at: Instant
    actor: str
    action: str
    job_id: int | None
    run_id: UUID | None
    detail: dict[str, Any]


class EventPage(BaseModel):
    """Part of the audit, newest first; `next_cursor` is null at its end."""

    items: list[EventOut]
    next_cursor: str | None


class EventQuery(Query):
    """Which events to list; `job` is the name of a living job."""

    job: Search | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


@api.get("/tasks", responses={200: TaskList, **problems()})
def list_tasks() -> Response:
    """List the tasks that a job may name, with the arguments that each takes."""
    found = catalog.tasks(parts.current().celery)
    items = [{"name": t.name, "description": t.description, "schema": t.schema} for t in found]
    return jsonify({"items": items})


@api.get("/queues", responses={200: QueueList, **problems()})
def list_queues() -> Response:
    """List the queues."""
    found = overview.queues(session())
    shown = [QueueOut.model_validate(queue, from_attributes=True) for queue in found]
    return jsonify({"items": [queue.model_dump(mode="json") for queue in shown]})


@api.get("/workers", responses={200: WorkerList, **problems()})
def list_workers() -> Response:
    """List the workers that live."""
    found = overview.workers(session())
    shown = [WorkerOut.model_validate(worker, from_attributes=True) for worker in found]
    return jsonify({"items": [worker.model_dump(mode="json") for worker in shown]})


@api.get("/audit", responses={200: EventPage, **problems(400, 404)})
def list_events(query: EventQuery) -> Response:
    """List who did what, newest first."""
    before = cursors.decode(AUDIT_KIND, query.cursor, _event_id)
    job_id = None if query.job is None else _job_id(query.job)
    found = audit.page(session(), job_id=job_id, before=before, limit=query.limit + 1)
    return cursors.page(
        AUDIT_KIND, found, limit=query.limit, key=lambda event: event.id, show=_show_events
    )


def _show_events(events: list[AuditEvent]) -> list[dict[str, Any]]:
    shown = [EventOut.model_validate(event, from_attributes=True) for event in events]
    return [event.model_dump(mode="json") for event in shown]


def _job_id(name: str) -> int:
    if not NAME.fullmatch(name):
        raise NotFound("There is no job of that name.", code="job_not_found")
    return jobs.get(session(), name).id


def _event_id(text: str) -> int:
    found = int(text)
    if not 0 < found <= INT32:
        raise ValueError("not an id")
    return found
