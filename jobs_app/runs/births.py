"""How runs come on record: the draft of a row, and the insert that passes over known fires."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.dispatch import Message
from jobs_app.models import Job, Run
from jobs_app.runs.outbox import RESEND_SECONDS, message_of
from jobs_app.states import OverlapPolicy, RunState, Trigger


@dataclass(frozen=True, slots=True)
class Draft:
    """A run about to be recorded."""

    id: UUID
    job_id: int | None
    state: RunState
    trigger: Trigger
    task: str
    kwargs: dict[str, Any]
    queue: str
    priority: int
    created_at: datetime
    scheduled_for: datetime | None = None
    reason: str | None = None
    triggered_by: str | None = None
    note: str | None = None
    fires: int = 1
    soft_time_limit_seconds: int | None = None
    time_limit_seconds: int | None = None
    kill_grace_seconds: int = 10
    retry: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 1
    is_exclusive: bool = False
    retry_of: UUID | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns to insert."""
        is_queued = self.state is RunState.QUEUED
        is_over = self.state in (RunState.SKIPPED, RunState.MISSED)
        return {name: getattr(self, name) for name in self.__slots__} | {
            "queued_at": self.created_at if is_queued else None,
            "finished_at": self.created_at if is_over else None,
            # The message goes out right after the commit; if that fails, the janitor repeats it.
            "send_at": self.created_at + timedelta(seconds=RESEND_SECONDS) if is_queued else None,
        }

    def message(self) -> Message:
        """Return the message of a queued run."""
        return message_of(self.id, 1, self)


def draft(
    job: Job,
    *,
    run_id: UUID,
    state: RunState,
    trigger: Trigger,
    at: datetime,
    policy: OverlapPolicy | None = None,
    **given: Any,
) -> Draft:
    """Return a run of *job* with the job's own task, limits and queue, for *given* changes."""
    defaults: dict[str, Any] = {
        "kwargs": job.kwargs,
        "soft_time_limit_seconds": job.soft_time_limit_seconds,
        "time_limit_seconds": job.time_limit_seconds,
        "kill_grace_seconds": job.kill_grace_seconds,
        "retry": job.retry,
        "max_attempts": int(job.retry.get("max_attempts", 1)),
    }
    return Draft(
        id=run_id,
        job_id=job.id,
        state=state,
        trigger=trigger,
        task=job.task,
        queue=job.queue,
        priority=job.priority,
        created_at=at,
        is_exclusive=(policy or job.overlap_policy) is not OverlapPolicy.ALLOW_ALL,
        **(defaults | given),
    )


def insert_drafts(session: Session, drafts: Sequence[Draft]) -> set[UUID]:
    """Insert *drafts* and return the ids of those that were new; does not commit.

    A fire that is on record already is passed over in silence (invariant 2).
    Raises IntegrityError if a job would get a second active run (invariant 6).
    """
    if not drafts:
        return set()
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(Run)
        .on_conflict_do_nothing(index_elements=["job_id", "scheduled_for"])
        .returning(Run.id)
    )
    return set(session.scalars(statement, [each.row() for each in drafts]))
