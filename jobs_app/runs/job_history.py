"""The newest runs of one job in short: what a page shows of them, in one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState, Trigger
from jobs_app.db import run_indexes
from jobs_app.db.models.runs import FIRST_STARTED_AT, Run

#: Characters of an error's message that are read; the rest is on the page of the run.
ERROR_CHARS = 200


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in short; `instant` is that of its fire, or of its manual start.

    The durations are of its last attempt.
    """

    id: UUID
    state: RunState
    reason: str | None
    trigger: Trigger
    triggered_by: str | None
    note: str | None
    fires: int
    attempt: int
    max_attempts: int
    instant: datetime
    scheduled_for: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    error_type: str | None
    error_message: str | None

    @property
    def duration_seconds(self) -> float | None:
        """How long it took over all attempts; None if it did not start, or has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())

    @property
    def delay_seconds(self) -> float | None:
        """How long after its fire the first attempt started; None if that is not known."""
        if self.scheduled_for is None or self.started_at is None:
            return None
        return max(0.0, (self.started_at - self.scheduled_for).total_seconds())


def newest(session: Session, job_id: int, *, limit: int) -> list[RunSummary]:
    """Return the newest *limit* runs of a job, newest first."""
    ranges = [
        select(Run.id.label("id"), index_range.instant.label("instant"))
        .where(*index_range.guard)
        .order_by(*index_range.newest_first)
        .limit(limit)
        .subquery()
        for index_range in run_indexes.of_job(job_id)
    ]
    merged = union_all(*(select(part) for part in ranges)).subquery()
    order = (merged.c.instant.desc(), merged.c.id.desc())
    ids = select(merged.c.id, merged.c.instant).order_by(*order).limit(limit).subquery()
    statement = (
        select(*_columns(), ids.c.instant)
        .join(ids, ids.c.id == Run.id)
        .order_by(ids.c.instant.desc(), ids.c.id.desc())
    )
    return [_summary(row._mapping) for row in session.execute(statement)]


def beside(session: Session, run: Run) -> tuple[UUID | None, UUID | None]:
    """Return the run of its job before *run* and the one after it; None where there is none."""
    if run.job_id is None:
        return None, None
    branches = []
    own = tuple_(literal(run.instant, Run.created_at.type), literal(run.id, Run.id.type))
    for index_range in run_indexes.of_job(run.job_id):
        instant = index_range.instant
        columns = (Run.id.label("id"), instant.label("instant"))
        of_range, place = select(*columns).where(*index_range.guard), tuple_(instant, Run.id)
        # The bound of the instant alone is what SQLite searches in the index.
        older = of_range.where(instant <= run.instant, place < own)
        newer = of_range.where(instant >= run.instant, place > own)
        branches += [
            older.order_by(*index_range.newest_first).limit(1).subquery(),
            newer.order_by(*index_range.oldest_first).limit(1).subquery(),
        ]
    nearest = union_all(*(select(part.c.instant, part.c.id) for part in branches))
    rows = [(row.instant, row.id) for row in session.execute(nearest)]
    before = max((row for row in rows if row < (run.instant, run.id)), default=None)
    after = min((row for row in rows if row > (run.instant, run.id)), default=None)
    return before and before[1], after and after[1]


def _columns() -> list[Any]:
    whole = (Run.id, Run.state, Run.reason, Run.trigger, Run.triggered_by, Run.note, Run.fires)
    times = (Run.scheduled_for, FIRST_STARTED_AT.label("started_at"), Run.finished_at)
    message = func.substr(Run.error["message"].as_string(), 1, ERROR_CHARS)
    error = (Run.error["type"].as_string().label("error_type"), message.label("error_message"))
    return [*whole, Run.attempt, Run.max_attempts, *times, Run.exit_code, *error]


def _summary(row: Any) -> RunSummary:
    return RunSummary(**row)
