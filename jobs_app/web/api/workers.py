"""/workers: the workers, and the runs that each one runs."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from flask import Response
from pydantic import BaseModel, Field

from jobs_app.core import clock
from jobs_app.runs import status
from jobs_app.runs.status import RunningRun, WorkerState
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import Instant, seconds_between
from jobs_app.web.session import session

api = LateBlueprint("workers", __name__, abp_tags=[INSTALLATION])


class RunningOut(BaseModel):
    """A run that a worker runs now."""

    id: UUID
    job: str | None
    task: str
    queue: str
    attempt: int
    started_at: Instant | None
    running_seconds: float | None


#: Columns about what went wrong.
PROBLEMS = ("messages_dropped", "problem")


class WorkerOut(BaseModel):
    """A worker, and the runs that it runs.

    `seen_at` is its last heartbeat, by its own clock. `messages_dropped` counts messages
    that could start nothing: repeated ones, and those of a run that was cancelled or that
    found no free slot. `problem` says what a live worker cannot do.
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
    problem: str | None
    runs: list[RunningOut]
    other_runs: int = Field(description="Its running runs that the caller may not see.")


class WorkerList(BaseModel):
    """Every live worker, and on request the newest of those that are gone."""

    items: list[WorkerOut]


class WorkerQuery(Query):
    """The workers to list: the live ones; with `gone` also those that stopped or vanished."""

    include: Literal["gone"] | None = None


@api.get("/workers", responses={200: WorkerList, **problems()})
def list_workers(query: WorkerQuery) -> Response:
    """List the live workers, and the runs that they run."""
    states = status.worker_states(session(), with_gone=query.include == "gone")
    now = clock.now()
    return unpaged(_show_worker(state, now) for state in states)


def _show_worker(state: WorkerState, now: datetime) -> WorkerOut:
    worker = state.worker
    columns = ("id", "name", "pid", "queues", "concurrency", "pool", "started_at", "seen_at")
    running = [
        RunningOut(
            **{name: getattr(run, name) for name in RunningRun.__slots__},
            running_seconds=seconds_between(run.started_at, now),
        )
        for run in state.runs
    ]
    return WorkerOut(
        **{name: getattr(worker, name) for name in (*columns, "gone_at", *PROBLEMS)},
        seen_seconds_ago=seconds_between(worker.seen_at, now) or 0.0,
        free=state.free,
        runs=running,
        other_runs=state.other_runs,
    )
