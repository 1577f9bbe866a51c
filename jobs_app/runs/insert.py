"""Inserts runs: one that somebody starts, or all planned runs of a tick in one statement."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from jobs_app.core.field_spec import flat
from jobs_app.core.policies import RunLimits
from jobs_app.core.states import FINAL, OverlapPolicy, RunState, Trigger
from jobs_app.db.bulk_sql import array_literal, bind_processor, in_values, rowcount
from jobs_app.db.columns import new_run_id
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.outbox import RESEND_SECONDS
from jobs_app.runs.planning import PlannedRun


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is about to be inserted."""

    GROUPS: ClassVar[Mapping[str, type]] = {"limits": RunLimits}

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
    limits: RunLimits = field(default_factory=RunLimits)
    retry: dict[str, Any] = field(default_factory=dict)
    max_attempts: int = 1
    is_exclusive: bool = False
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    retry_of: UUID | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns to insert."""
        return flat(self) | _timestamps(self.state, at=self.created_at)


def new_run(
    job: Job,
    *,
    run_id: UUID,
    state: RunState,
    trigger: Trigger,
    at: datetime,
    policy: OverlapPolicy | None = None,
    **overrides: Any,
) -> NewRun:
    """Return a run of *job* with the job's task, queue and limits, but for *overrides*."""
    return NewRun(
        id=run_id,
        job_id=job.id,
        state=state,
        trigger=trigger,
        created_at=at,
        is_exclusive=(policy or job.overlap_policy) is not OverlapPolicy.ALLOW_ALL,
        **(work_of(job) | {"max_attempts": int(job.retry.get("max_attempts", 1))} | overrides),
    )


def work_of(source: Job | Run) -> dict[str, Any]:
    """Return the task, arguments, queue and limits of a job or a run, as NewRun has them."""
    return {name: getattr(source, name) for name in _WORK} | {"limits": RunLimits.of(source)}


def insert_runs(session: Session, new_runs: Sequence[NewRun]) -> None:
    """Insert *new_runs*; does not commit.

    Raises IntegrityError if a job would get a second active run (invariant 6).
    """
    session.execute(insert(Run), [new_run.columns() for new_run in new_runs])


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """The same planned row for each of *job_ids*, with an id for each run."""

    row: PlannedRun
    job_ids: Sequence[int]
    run_ids: Sequence[UUID]

    @classmethod
    def of(cls, row: PlannedRun, job_ids: Sequence[int]) -> "PlannedRuns":
        """Return *row* for each of *job_ids*, with new ids."""
        return cls(row, job_ids, [new_run_id() for _ in job_ids])

    def only(self, run_ids: Container[UUID]) -> "PlannedRuns":
        """Return those whose ids are among *run_ids*."""
        pairs = zip(self.job_ids, self.run_ids, strict=True)
        kept = {run_id: job_id for job_id, run_id in pairs if run_id in run_ids}
        return PlannedRuns(self.row, list(kept.values()), list(kept))


def insert_planned_runs(
    session: Session, planned: Sequence[PlannedRuns], *, at: datetime
) -> Sequence[PlannedRuns]:
    """Insert *planned* and return, for each of them, the runs that are new; does not commit.

    A fire that has a row already is skipped (invariant 2). The database copies what a run
    has from its job (task, kwargs, limits); the jobs must be locked. Raises IntegrityError
    if a job would get a second active run (invariant 6).
    """
    count = sum(len(runs.job_ids) for runs in planned)
    if not count:
        return planned
    if session.get_bind().dialect.name == "postgresql":
        inserted = _insert_by_arrays(session, planned, at=at)
    else:
        inserted = _insert_by_objects(session, planned, at=at)
    if inserted == count:
        return planned
    ids = [run_id for runs in planned for run_id in runs.run_ids]
    new = set(session.scalars(select(Run.id).where(in_values(session, Run.id, ids))))
    return [runs.only(new) for runs in planned]


#: Columns that a run copies from its job, that the plan sets, and that depend on the state.
_WORK = ("task", "kwargs", "queue", "priority", "retry", "concurrency_key", "concurrency_limit")
_JOB_COLUMNS = (*_WORK, *RunLimits.__slots__)
_PLAN_COLUMNS = ("scheduled_for", "state", "reason", "trigger", "fires")
_TIMESTAMPS = ("created_at", "queued_at", "finished_at", "send_at")
_INSERT = f"""
INSERT INTO runs (id, job_id, {", ".join(_JOB_COLUMNS)},
    {", ".join(_PLAN_COLUMNS)}, {", ".join(_TIMESTAMPS)},
    max_attempts, is_exclusive, attempt, sends, log_bytes, log_truncated)
SELECT {{run_id}}, jobs.id, {", ".join(f"jobs.{name}" for name in _JOB_COLUMNS)}, {{plan}},
    {{max_attempts}}, jobs.overlap_policy <> 'allow_all', 1, 0, 0, false
FROM {{source}}
ON CONFLICT (job_id, scheduled_for) DO NOTHING
"""  # noqa: S608 (built from the names above)

# Arrays of ids, each with the number of its plan; the few plans are arrays beside them.
_BY_ARRAYS = text(
    _INSERT.format(
        run_id="new_run.run_id",
        plan=", ".join(f"plan.{name}" for name in (*_PLAN_COLUMNS, *_TIMESTAMPS)),
        max_attempts="COALESCE((jobs.retry ->> 'max_attempts')::int, 1)",
        source="""
    unnest(CAST(:run_ids AS uuid[]), CAST(:job_ids AS int[]), CAST(:plans AS int[]))
        AS new_run (run_id, job_id, plan)
    JOIN unnest(CAST(:scheduled_for AS timestamptz[]), CAST(:state AS text[]),
        CAST(:reason AS text[]), CAST(:trigger AS text[]), CAST(:fires AS int[]),
        CAST(:created_at AS timestamptz[]), CAST(:queued_at AS timestamptz[]),
        CAST(:finished_at AS timestamptz[]), CAST(:send_at AS timestamptz[])) WITH ORDINALITY
        AS plan (scheduled_for, state, reason, trigger, fires,
            created_at, queued_at, finished_at, send_at, number)
        ON plan.number = new_run.plan
    JOIN jobs ON jobs.id = new_run.job_id""",
    )
)
# One statement for each plan; its ids are a JSON object that SQLite takes apart. With a
# statement for each run, SQLite would check the conditions of all partial indexes each time.
_BY_OBJECT = _INSERT.format(
    run_id="new_run.key",
    plan=", ".join("?" for _ in (*_PLAN_COLUMNS, *_TIMESTAMPS)),
    max_attempts="COALESCE(json_extract(jobs.retry, '$.max_attempts'), 1)",
    source="json_each(?) AS new_run CROSS JOIN jobs WHERE jobs.id = new_run.value",
)


def _insert_by_arrays(session: Session, planned: Sequence[PlannedRuns], *, at: datetime) -> int:
    """Insert with a single statement (PostgreSQL); return how many rows were new."""
    plans = [_plan_columns(runs.row, at=at) for runs in planned]
    result = session.execute(
        _BY_ARRAYS,
        {
            "run_ids": array_literal(run_id for runs in planned for run_id in runs.run_ids),
            "job_ids": array_literal(job_id for runs in planned for job_id in runs.job_ids),
            "plans": array_literal(n for n, runs in enumerate(planned, 1) for _ in runs.job_ids),
        }
        | {name: [plan[name] for plan in plans] for name in (*_PLAN_COLUMNS, *_TIMESTAMPS)},
    )
    return rowcount(result)


def _insert_by_objects(session: Session, planned: Sequence[PlannedRuns], *, at: datetime) -> int:
    """Insert with a statement for each of *planned* (SQLite); return how many rows were new."""
    columns = Run.__table__.c
    to_id = bind_processor(session, columns.id.type)
    names = (*_PLAN_COLUMNS, *_TIMESTAMPS)
    to_driver = {name: bind_processor(session, columns[name].type) for name in names}
    parameters = []
    for runs in planned:
        plan = _plan_columns(runs.row, at=at)
        job_by_run = dict(zip(map(to_id, runs.run_ids), runs.job_ids, strict=True))
        parameters.append(
            (*(to_driver[name](plan[name]) for name in names), json.dumps(job_by_run))
        )
    return rowcount(session.connection().exec_driver_sql(_BY_OBJECT, parameters))


def _plan_columns(row: PlannedRun, *, at: datetime) -> dict[str, Any]:
    return {
        "scheduled_for": row.scheduled_for,
        "state": row.state.value,
        "reason": row.reason,
        "trigger": row.trigger.value,
        "fires": row.fires,
    } | _timestamps(row.state, at=at)


def _timestamps(state: RunState, *, at: datetime) -> dict[str, datetime | None]:
    """Return the timestamps of a new run in *state*."""
    is_queued = state is RunState.QUEUED
    return {
        "created_at": at,
        "queued_at": at if is_queued else None,
        "finished_at": at if state in FINAL else None,
        # The message is sent right after the commit; if that fails, the janitor sends it.
        "send_at": at + timedelta(seconds=RESEND_SECONDS) if is_queued else None,
    }
