"""/queues and /concurrency: the queues and concurrency keys, and the runs that wait."""

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel

from jobs_app.core import clock
from jobs_app.runs import status
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.schemas.fields import Instant, seconds_between
from jobs_app.web.session import session

api = APIBlueprint("queues", __name__, abp_tags=[INSTALLATION])


class QueueOut(BaseModel):
    """A queue: its workers, the jobs that name it, and its runs that have not ended.

    `slots` is the number of runs that its workers can run at once, over all their queues.
    `parked` of the queued runs wait for a free slot of their concurrency key. `warning`
    says why none of its runs will start: no worker serves it, but jobs name it or runs wait.
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


@api.get("/queues", responses={200: QueueList, **problems()})
def list_queues() -> Response:
    """List the queues that a worker serves, that a job names, or that have unfinished runs."""
    now = clock.now()
    return unpaged(
        QueueOut(
            **{name: getattr(queue, name) for name in status.Queue.__slots__},
            served=queue.is_served,
            oldest_queued_seconds=seconds_between(queue.oldest_queued_at, now),
            warning=queue.warning,
        )
        for queue in status.queues(session())
    )


@api.get("/concurrency", responses={200: KeyList, **problems()})
def list_keys() -> Response:
    """List the concurrency keys: their limits, running runs, and how long others wait."""
    now = clock.now()
    return unpaged(
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
