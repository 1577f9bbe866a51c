"""/tasks, /queues, /workers, /concurrency and /audit: what there is, and who did what."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from jobs_app.accounts import audit
from jobs_app.api import cursors, parts
from jobs_app.api.bodies import Query
from jobs_app.api.database import session
from jobs_app.api.document import problems
from jobs_app.api.fields import INT32, Instant, Search, seconds_between
from jobs_app.core import clock
from jobs_app.core.errors import NotFound
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.jobs import service
from jobs_app.jobs.definition import NAME
from jobs_app.runs import status
from jobs_app.runs.status import RunningRun, WorkerState
from jobs_app.tasks import registry

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
    """A queue: who serves it, which jobs name it, and its runs that have not ended.

    `slots` is how many runs its workers can work on at once, for all of their queues.
    `parked` of the queued runs wait for a place of their concurrency key. `warning`
    says why nothing of it will run: jobs name it, or runs wait, and no worker serves it.
    """

    name: str
    served: bool
    workers: int
    slots: int
    jobs: int
    waiting: int
    queued: int
    parked: int
    running: int
    retrying: int
    oldest_queued_at: Instant | None
    oldest_queued_seconds: float | None
    warning: str | None


class QueueList(BaseModel):
    """Every queue."""

    items: list[QueueOut]


class RunningOut(BaseModel):
    """A run at work."""

    id: UUID
    job: str | None
    task: str
    queue: str
    attempt: int
    started_at: Instant | None
    running_seconds: float | None


class WorkerOut(BaseModel):
    """A worker, and what it runs.

    `seen_at` is its last heartbeat, by its own clock. `messages_dropped` counts those
    that came for nothing: twice, or for a run that had been cancelled or found no place.
    """

    id: UUID
    name: str
    pid: int
    queues: list[str]
    concurrency: int
    free: int
    pool: str
    started_at: Instant
    seen_at: Instant
    seen_seconds_ago: float
    gone_at: Instant | None
    messages_dropped: int
    runs: list[RunningOut]


class WorkerList(BaseModel):
    """Every living worker, and the newest of those that are gone if they are asked for."""

    items: list[WorkerOut]


class WorkerQuery(Query):
    """Which workers to list: the living, or with `gone` also those that stopped or vanished."""

    include: Literal["gone"] | None = None


class KeyOut(BaseModel):
    """A concurrency key; `limits` has more than one value where its jobs do not agree."""

    key: str
    limits: list[int]
    jobs: int
    running: int
    queued: int
    oldest_queued_at: Instant | None
    oldest_queued_seconds: float | None


class KeyList(BaseModel):
    """Every concurrency key that a job names or an unfinished run has."""

    items: list[KeyOut]


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
    found = registry.tasks(parts.current().celery)
    items = [{"name": t.name, "description": t.description, "schema": t.schema} for t in found]
    return jsonify({"items": items})


@api.get("/queues", responses={200: QueueList, **problems()})
def list_queues() -> Response:
    """List the queues that a worker serves, a job names or a run has not ended in."""
    now = clock.now()
    return _all(
        QueueOut(
            **{name: getattr(queue, name) for name in status.Queue.__slots__},
            served=queue.is_served,
            oldest_queued_seconds=seconds_between(queue.oldest_queued_at, now),
            warning=queue.warning,
        )
        for queue in status.queues(session())
    )


@api.get("/workers", responses={200: WorkerList, **problems()})
def list_workers(query: WorkerQuery) -> Response:
    """List the workers that live, and what they run."""
    found = status.worker_states(session(), with_gone=query.include == "gone")
    now = clock.now()
    return _all(_show_worker(each, now) for each in found)


def _show_worker(state: WorkerState, now: datetime) -> WorkerOut:
    worker = state.worker
    plain = ("id", "name", "pid", "queues", "concurrency", "pool", "started_at", "seen_at")
    running = [
        RunningOut(
            **{name: getattr(run, name) for name in RunningRun.__slots__},
            running_seconds=seconds_between(run.started_at, now),
        )
        for run in state.runs
    ]
    return WorkerOut(
        **{name: getattr(worker, name) for name in (*plain, "gone_at", "messages_dropped")},
        seen_seconds_ago=seconds_between(worker.seen_at, now) or 0.0,
        free=state.free,
        runs=running,
    )


@api.get("/concurrency", responses={200: KeyList, **problems()})
def list_keys() -> Response:
    """List the concurrency keys: their limits, who runs and how long others wait."""
    now = clock.now()
    return _all(
        KeyOut(
            key=key.name,
            limits=sorted(key.limits),
            jobs=key.jobs,
            running=key.running,
            queued=key.queued,
            oldest_queued_at=key.oldest_queued_at,
            oldest_queued_seconds=seconds_between(key.oldest_queued_at, now),
        )
        for key in status.keys(session())
    )


def _all(shown: Iterable[BaseModel]) -> Response:
    return jsonify({"items": [each.model_dump(mode="json") for each in shown]})


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
    return service.get(session(), name).id


def _event_id(text: str) -> int:
    found = int(text)
    if not 0 < found <= INT32:
        raise ValueError("not an id")
    return found
