"""Finished runs as traces: what OpenTelemetry calls spans, read from the rows of runs."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.orm import Session

from jobs_app.core.states import FAILURES, RunState
from jobs_app.core.text import rfc3339
from jobs_app.db import bulk_sql
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Attempt, Run

#: Runs that one step of the counting hands on; of a burst the others get no trace.
MAX_TRACES = 1000


# Not whole runs: a result may have a megabyte.
_COLUMNS = (
    *(Run.id, Run.state, Run.trigger, Run.attempt, Run.task, Run.queue, Run.error),
    *(Run.scheduled_for, Run.created_at, Run.started_at, Run.finished_at),
)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time within the trace *trace_id*, which is the id of the run.

    The span of the run has no parent. `error` says why it failed, None if it did not.
    """

    trace_id: UUID
    span_id: bytes
    parent_id: bytes | None
    name: str
    started_at: datetime
    ended_at: datetime
    attributes: dict[str, str | int]
    error: str | None = None


def span_id(run_id: UUID, attempt: int = 0) -> bytes:
    """Return the id of the span of an attempt, or of the whole run: the same at each call."""
    return hashlib.sha256(run_id.bytes + attempt.to_bytes(4, "big")).digest()[:8]


def read_spans(session: Session, which: ColumnElement[bool]) -> list[Span]:
    """Return the spans of the finished runs that *which* holds of, up to MAX_TRACES runs."""
    statement = (
        select(*_COLUMNS, Job.name.label("job"), Worker.name.label("worker"))
        .outerjoin(Job, Job.id == Run.job_id)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(which, Run.finished_at.is_not(None), Run.started_at.is_not(None))
        .order_by(Run.id)
        .limit(MAX_TRACES)
    )
    rows = session.execute(statement).all()
    earlier: dict[UUID, list[Attempt]] = defaultdict(list)
    retried = [row.id for row in rows if row.attempt > 1]
    if retried:
        attempts = select(Attempt).where(bulk_sql.in_values(session, Attempt.run_id, retried))
        for attempt in session.scalars(attempts.order_by(Attempt.attempt)):
            earlier[attempt.run_id].append(attempt)
    return [span for row in rows for span in _spans(row, earlier[row.id])]


def _spans(run: Row[Any], earlier: Sequence[Attempt]) -> Iterator[Span]:
    attributes = _known(
        {
            "jobs_app.run.id": str(run.id),
            "jobs_app.run.state": run.state.value,
            "jobs_app.run.trigger": run.trigger.value,
            "jobs_app.run.attempts": run.attempt,
            "jobs_app.task": run.task,
            "jobs_app.queue": run.queue,
            "jobs_app.scheduled_for": run.scheduled_for and rfc3339(run.scheduled_for),
        }
    )
    root = span_id(run.id)
    error = _error(run.state, run.error)
    times = (run.created_at, max(run.finished_at, run.created_at))
    yield Span(run.id, root, None, run.job or run.task, *times, attributes, error)
    for attempt in earlier:
        if attempt.started_at is None or attempt.attempt >= run.attempt:
            continue
        yield Span(
            run.id,
            span_id(run.id, attempt.attempt),
            root,
            f"attempt {attempt.attempt}",
            attempt.started_at,
            max(attempt.finished_at, attempt.started_at),
            _known({"jobs_app.run.state": attempt.state.value, "jobs_app.worker": attempt.worker}),
            _error(attempt.state, attempt.error),
        )
    yield Span(
        run.id,
        span_id(run.id, run.attempt),
        root,
        f"attempt {run.attempt}",
        run.started_at,
        max(run.finished_at, run.started_at),
        _known({"jobs_app.run.state": run.state.value, "jobs_app.worker": run.worker}),
        error,
    )


def _known(attributes: dict[str, Any]) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value is not None}


def _error(state: RunState, error: dict[str, Any] | None) -> str | None:
    """Return the type of the error of a failure; its message may be anything, and stays here."""
    if state not in FAILURES:
        return None
    return str((error or {}).get("type") or state.value)
