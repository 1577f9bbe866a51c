"""/queues and /concurrency: the queues and concurrency keys, and the runs that wait."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from flask import Response
from pydantic import BaseModel

from jobs_app.core import clock
from jobs_app.runs import status
from jobs_app.web.api import pagination
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.pagination import ListQuery
from jobs_app.web.api.schemas.fields import Instant, seconds_between
from jobs_app.web.session import session

api = LateBlueprint("queues", __name__, abp_tags=[INSTALLATION])

QUEUES_KIND = "queues"
KEYS_KIND = "concurrency"

Item = TypeVar("Item")


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


class QueuePage(BaseModel):
    """Part of the list of queues; `next_cursor` is null at its end."""

    items: list[QueueOut]
    next_cursor: str | None


class KeyOut(BaseModel):
    """A concurrency key; `limits` has more than one value where its jobs do not agree."""

    key: str
    limits: list[int]
    jobs: int
    running: int
    queued: int
    oldest_queued_at: Instant | None
    oldest_queued_seconds: float | None


class KeyPage(BaseModel):
    """Part of the list of concurrency keys; `next_cursor` is null at its end."""

    items: list[KeyOut]
    next_cursor: str | None


@api.get("/queues", responses={200: QueuePage, **problems(400)})
def list_queues(query: ListQuery) -> Response:
    """List the queues that a worker serves, that a job names, or that have unfinished runs."""
    return _page(QUEUES_KIND, query, status.queues, _show_queue)


@api.get("/concurrency", responses={200: KeyPage, **problems(400)})
def list_keys(query: ListQuery) -> Response:
    """List the concurrency keys: their limits, running runs, and how long others wait.

    A key is listed while a job names it or an unfinished run has it.
    """
    return _page(KEYS_KIND, query, status.keys, _show_key)


def _page(
    kind: str,
    query: ListQuery,
    list_after: Callable[..., list[Item]],
    show: Callable[[Item, datetime], BaseModel],
) -> Response:
    after = pagination.decode(kind, query.cursor, _name)
    return pagination.page(
        kind,
        query.limit,
        list_after(session(), after=after, limit=query.limit + 1),
        key=attrgetter("name"),
        show=partial(_show_all, show, clock.now()),
    )


def _name(text: str) -> str:
    """Return a name of a cursor, whatever a worker calls its queues."""
    if not text.isprintable():
        raise ValueError("not a name")
    return text


def _show_all(
    show: Callable[[Item, datetime], BaseModel], now: datetime, items: Iterable[Item]
) -> list[dict[str, Any]]:
    return [show(item, now).model_dump(mode="json") for item in items]


def _show_queue(queue: status.Queue, now: datetime) -> QueueOut:
    return QueueOut(
        **{name: getattr(queue, name) for name in status.Queue.__slots__},
        served=queue.is_served,
        oldest_queued_seconds=seconds_between(queue.oldest_queued_at, now),
        warning=queue.warning,
    )


def _show_key(key: status.Key, now: datetime) -> KeyOut:
    return KeyOut(
        key=key.name,
        limits=sorted(key.limits),
        jobs=key.jobs,
        running=key.running,
        queued=key.queued,
        oldest_queued_at=key.oldest_queued_at,
        oldest_queued_seconds=seconds_between(key.oldest_queued_at, now),
    )
