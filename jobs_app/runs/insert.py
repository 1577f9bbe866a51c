"""How runs come on record: one by one as drafts, or all fires of a tick in one statement.

Both pass over fires that are on record already (invariant 2).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.states import FINAL, OverlapPolicy, RunState, Trigger
from jobs_app.db.bulk_sql import array_literal, bind_processor, in_values, rowcount
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import RESEND_SECONDS, message_of
from jobs_app.runs.planning import PlannedRun


@dataclass(frozen=True, slots=True)
class NewRun:
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
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    retry_of: UUID | None = None

    def row(self) -> dict[str, Any]:
        """Return the columns to insert."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        return columns | _stamps(self.state, at=self.created_at)

    def message(self) -> Message:
        """Return the message of a queued run."""
        return message_of(self.id, 1, self)


def new_run(
    job: Job,
    *,
    run_id: UUID,
    state: RunState,
    trigger: Trigger,
    at: datetime,
    policy: OverlapPolicy | None = None,
    **given: Any,
) -> NewRun:
    """Return a run of *job* with the job's own task, limits and queue, for *given* changes."""
    defaults: dict[str, Any] = {
        "kwargs": job.kwargs,
        "soft_time_limit_seconds": job.soft_time_limit_seconds,
        "time_limit_seconds": job.time_limit_seconds,
        "kill_grace_seconds": job.kill_grace_seconds,
        "retry": job.retry,
        "max_attempts": int(job.retry.get("max_attempts", 1)),
    }
    return NewRun(
        id=run_id,
        job_id=job.id,
        state=state,
        trigger=trigger,
        task=job.task,
        queue=job.queue,
        priority=job.priority,
        concurrency_key=job.concurrency_key,
        concurrency_limit=job.concurrency_limit,
        created_at=at,
        is_exclusive=(policy or job.overlap_policy) is not OverlapPolicy.ALLOW_ALL,
        **(defaults | given),
    )


def insert_runs(session: Session, drafts: Sequence[NewRun]) -> set[UUID]:
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


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """The same planned row for many jobs: the fire of one of them is the fire of all."""

    row: PlannedRun
    job_ids: Sequence[int]
    run_ids: Sequence[UUID]

    @classmethod
    def of(cls, row: PlannedRun, job_ids: Sequence[int]) -> "PlannedRuns":
        """Return the births of *row*, with fresh ids, for each of *job_ids*."""
        return cls(row, job_ids, [new_run_id() for _ in job_ids])


def first_messages(run_ids: Sequence[UUID], limits: Any) -> list[Message]:
    """Return the messages of the first attempts of runs that have the same *limits*."""
    if not run_ids:
        return []
    shape = message_of(run_ids[0], 1, limits)[1:]
    return [Message(run_id, *shape) for run_id in run_ids]


def insert_planned_runs(
    session: Session, births: Sequence[PlannedRuns], *, at: datetime
) -> set[UUID] | None:
    """Insert all *births* and return the ids of those that were new, None for all of them.

    What a run copies from its job (task, kwargs, limits) is copied inside the
    database; the jobs must be locked. Does not commit. Raises IntegrityError if a
    job would get a second active run (invariant 6).
    """
    count = sum(len(each.job_ids) for each in births)
    if not count:
        return None
    if session.get_bind().dialect.name == "postgresql":
        inserted = _insert_by_arrays(session, births, at=at)
    else:
        inserted = _insert_by_objects(session, births, at=at)
    if inserted == count:
        return None
    ids = [run_id for each in births for run_id in each.run_ids]
    return set(session.scalars(select(Run.id).where(in_values(session, Run.id, ids))))


#: What a planned row says of itself, and what it takes from its job.
_COPIED = (
    *("task", "kwargs", "queue", "priority", "retry", "concurrency_key", "concurrency_limit"),
    *("soft_time_limit_seconds", "time_limit_seconds", "kill_grace_seconds"),
)
_SAID = ("scheduled_for", "state", "reason", "trigger", "fires")
_STAMPED = ("created_at", "queued_at", "finished_at", "send_at")
_INSERT = f"""
INSERT INTO runs (id, job_id, {", ".join(_COPIED)}, {", ".join(_SAID)}, {", ".join(_STAMPED)},
    max_attempts, is_exclusive, attempt, sends, log_bytes, log_truncated)
SELECT {{run_id}}, jobs.id, {", ".join(f"jobs.{name}" for name in _COPIED)}, {{said}},
    {{max_attempts}}, jobs.overlap_policy <> 'allow_all', 1, 0, 0, false
FROM {{source}}
ON CONFLICT (job_id, scheduled_for) DO NOTHING
"""  # noqa: S608 (built from the names above)

# The rows as arrays, each with the number of its kind; the few kinds as arrays beside them.
_BY_ARRAYS = text(
    _INSERT.format(
        run_id="born.run_id",
        said=", ".join(f"kind.{name}" for name in (*_SAID, *_STAMPED)),
        max_attempts="COALESCE((jobs.retry ->> 'max_attempts')::int, 1)",
        source="""
    unnest(CAST(:run_ids AS uuid[]), CAST(:job_ids AS int[]), CAST(:kinds AS int[]))
        AS born (run_id, job_id, kind)
    JOIN unnest(CAST(:scheduled_for AS timestamptz[]), CAST(:state AS text[]),
        CAST(:reason AS text[]), CAST(:trigger AS text[]), CAST(:fires AS int[]),
        CAST(:created_at AS timestamptz[]), CAST(:queued_at AS timestamptz[]),
        CAST(:finished_at AS timestamptz[]), CAST(:send_at AS timestamptz[])) WITH ORDINALITY
        AS kind (scheduled_for, state, reason, trigger, fires,
            created_at, queued_at, finished_at, send_at, number)
        ON kind.number = born.kind
    JOIN jobs ON jobs.id = born.job_id""",
    )
)
# The rows of one kind as an object of ids, which SQLite takes apart itself: a statement a row
# would have it look anew each time at what the conditions of partial indexes list.
_BY_OBJECT = _INSERT.format(
    run_id="born.key",
    said=", ".join("?" for _ in (*_SAID, *_STAMPED)),
    max_attempts="COALESCE(json_extract(jobs.retry, '$.max_attempts'), 1)",
    source="json_each(?) AS born CROSS JOIN jobs WHERE jobs.id = born.value",
)


def _insert_by_arrays(session: Session, births: Sequence[PlannedRuns], *, at: datetime) -> int:
    """Insert with a single statement (PostgreSQL); return how many rows were new."""
    kinds = [_said(each.row) | _stamps(each.row.state, at=at) for each in births]
    result = session.execute(
        _BY_ARRAYS,
        {
            "run_ids": array_literal(run_id for each in births for run_id in each.run_ids),
            "job_ids": array_literal(job_id for each in births for job_id in each.job_ids),
            "kinds": array_literal(n for n, each in enumerate(births, 1) for _ in each.job_ids),
        }
        | {name: [kind[name] for kind in kinds] for name in (*_SAID, *_STAMPED)},
    )
    return rowcount(result)


def _insert_by_objects(session: Session, births: Sequence[PlannedRuns], *, at: datetime) -> int:
    """Insert with a statement for each of *births* (SQLite); return how many rows were new."""
    columns = Run.__table__.c
    write_id = bind_processor(session, columns.id.type)
    write = {name: bind_processor(session, columns[name].type) for name in (*_SAID, *_STAMPED)}
    rows = []
    for each in births:
        kind = _said(each.row) | _stamps(each.row.state, at=at)
        said = (write[name](kind[name]) for name in (*_SAID, *_STAMPED))
        born = zip(map(write_id, each.run_ids), each.job_ids, strict=True)
        rows.append((*said, json.dumps(dict(born))))
    result = session.connection().exec_driver_sql(_BY_OBJECT, rows)
    return rowcount(result)


def _said(row: PlannedRun) -> dict[str, Any]:
    return {
        "scheduled_for": row.scheduled_for,
        "state": row.state.value,
        "reason": row.reason,
        "trigger": row.trigger.value,
        "fires": row.fires,
    }


def _stamps(state: RunState, *, at: datetime) -> dict[str, datetime | None]:
    """Return the instants of a run that is born in *state*."""
    is_queued = state is RunState.QUEUED
    return {
        "created_at": at,
        "queued_at": at if is_queued else None,
        "finished_at": at if state in FINAL else None,
        # The message goes out right after the commit; if that fails, the janitor repeats it.
        "send_at": at + timedelta(seconds=RESEND_SECONDS) if is_queued else None,
    }
