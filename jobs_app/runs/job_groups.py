"""Groups of due jobs that have the same plan: read, planned and moved on together.

At a full hour most of a thousand jobs differ in nothing that a plan depends on. The
database groups them, so that the cost of a tick grows with the groups, not with the jobs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, case, cast, func, or_, select, text, update
from sqlalchemy.orm import Session

from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import ACTIVE, JobState, OverlapPolicy, RunState
from jobs_app.core.text import counted
from jobs_app.db import bulk_sql
from jobs_app.db.models.jobs import SCHEDULE_COLUMNS, Job, has_start, schedule_in
from jobs_app.db.models.processes import Start
from jobs_app.runs import outbox
from jobs_app.runs.messages import Message
from jobs_app.runs.planning import MAX_ROWS, Plan, PlanInput, Spans
from jobs_app.schedules import schedule_json
from jobs_app.schedules import union as schedules
from jobs_app.schedules.union import AnySchedule

#: The columns that a plan depends on, and those that guard the move to the next fire.
_PLAN_COLUMNS = (
    *(*SCHEDULE_COLUMNS, *FirePolicy.__slots__),
    *("next_fire_at", "next_due_at", "version", "state", "observe"),
)
_COLUMNS = tuple(getattr(Job, name) for name in (*outbox.SHARED_COLUMNS, *_PLAN_COLUMNS))


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs with the same plan; *row* holds the columns that they share.

    *active* and *waiting* count the unfinished runs of each job. *starts* are the newest starts
    of jobs-app, if the jobs fire on them.
    """

    job_ids: list[int]
    row: Any
    active: int = 0
    waiting: int = 0
    starts: tuple[datetime, ...] = ()

    @property
    def next_due_at(self) -> datetime | None:
        """When their next fire is due; None without one."""
        due_at: datetime | None = self.row.next_due_at
        return due_at

    def is_late(self, *, at: datetime) -> bool:
        """Tell whether their deadline has passed."""
        deadline = timedelta(seconds=self.row.starting_deadline_seconds)
        return self.next_due_at is not None and at - self.next_due_at > deadline

    def schedule(self) -> AnySchedule:
        """Return their schedule, with a fire at each start that has no run yet."""
        first = self.row.next_fire_at
        starts = [start for start in self.starts if first is None or start >= first]
        return schedules.with_starts(schedule_in(self.row, seed=self.row.seed), starts)

    def awaits_start(self, *, new_runs: int) -> bool:
        """Tell whether they fire at the next start of jobs-app, after so many more runs."""
        left = self.row.runs_left
        has_runs = left is None or new_runs < left
        return has_runs and schedules.fires_on_start(schedule_in(self.row, seed=self.row.seed))

    def plan_input(self, *, scheduler_spans: Spans | None) -> PlanInput:
        """Return what `plan` needs to know of each job."""
        row = self.row
        return PlanInput(
            schedule=self.schedule(),
            next_fire_at=row.next_fire_at,
            policy=FirePolicy.of(row),
            has_active=self.active > 0,
            waiting=self.waiting,
            runs_left=row.runs_left,
            scheduler_spans=scheduler_spans,
            observes=row.observe,
        )

    def messages(self, run_ids: Sequence[UUID]) -> list[Message]:
        """Return the first messages of their runs."""
        return outbox.first_messages(run_ids, self.row)


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The plan of a group, and when the jobs are due next; None if they have no further fire."""

    group: Group
    plan: Plan
    next_due_at: datetime | None

    @property
    def cancelled_runs(self) -> int:
        """How many runs of a job give way to those of the plan."""
        active = self.group.active if self.plan.cancel is not None else 0
        return active + (self.group.waiting if self.plan.drop_waiting else 0)

    @classmethod
    def of(cls, group: Group, plan: Plan) -> "GroupPlan":
        """Return *plan* with the due instant of the next fire."""
        next_fire_at = plan.next_fire_at
        due_at = None if next_fire_at is None else schedules.due_at(group.schedule(), next_fire_at)
        return cls(group, plan, due_at)


def groups(session: Session, job_ids: Sequence[int]) -> list[Group]:
    """Return the jobs of *job_ids*, grouped by the columns that their plans depend on."""
    # H and jitter depend on the name of the job: such a job is a group of its own.
    uses_name = or_(
        Job.jitter_seconds > 0,
        func.upper(Job.cron).like("%H%"),
        Job.more_schedules.contains(schedule_json.NAMED),
    )
    runs_left = Job.max_runs - Job.runs_started
    shared = (
        *_COLUMNS,
        case((uses_name, Job.name), else_="").label("seed"),
        case((runs_left < 0, 0), else_=runs_left).label("runs_left"),
        has_start().label("has_start"),
    )
    chosen = (
        select(Job.id, *shared).where(bulk_sql.in_values(session, Job.id, job_ids)).cte("chosen")
    )
    keys = [chosen.c[column.key] for column in shared]
    ids = func.aggregate_strings(cast(chosen.c.id, Text), ",").label("ids")
    rows = session.execute(select(ids, *keys).group_by(*keys)).all()
    job_lists = [([int(number) for number in row.ids.split(",")], row) for row in rows]
    # With `allow_all`, the plan does not depend on unfinished runs.
    limited = [
        job_id
        for job_ids, row in job_lists
        if row.overlap_policy is not OverlapPolicy.ALLOW_ALL
        for job_id in job_ids
    ]
    busy = unfinished(session, limited)
    split = [group for job_ids, row in job_lists for group in _split(job_ids, row, busy)]
    if not any(row.has_start for _, row in job_lists):
        return split
    starts = _newest_starts(session)
    return [replace(group, starts=starts) if group.row.has_start else group for group in split]


def _newest_starts(session: Session) -> tuple[datetime, ...]:
    """Return the newest starts of jobs-app, oldest first; read after the jobs were locked."""
    newest = select(Start.at).order_by(Start.at.desc()).limit(MAX_ROWS)
    return tuple(reversed(session.scalars(newest).all()))


def _split(job_ids: list[int], row: Any, counts: Mapping[int, tuple[int, int]]) -> list[Group]:
    """Split a group by the numbers of unfinished runs."""
    busy = [job_id for job_id in job_ids if job_id in counts]
    if not busy:
        return [Group(job_ids, row)]
    by_count: dict[tuple[int, int], list[int]] = {}
    for job_id in job_ids:
        by_count.setdefault(counts.get(job_id, (0, 0)), []).append(job_id)
    return [Group(ids, row, *counts) for counts, ids in by_count.items()]


def unfinished(session: Session, job_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
    """Return how many runs of each job are active, and how many wait; leave out jobs with none."""
    if not job_ids:
        return {}
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        # The ids are literals, so that PostgreSQL plans the statement each time. A cached plan
        # from when `runs` was empty would scan all of it for each job.
        rows = connection.exec_driver_sql(_BUSY.format(job_ids=",".join(map(str, job_ids))))
    else:
        # One statement for all ids: SQLite's driver keeps the last 128 statements, each with
        # 0.1 MB for a thousand literals.
        statement = _BUSY.format(job_ids="SELECT value FROM json_each(?)")
        rows = connection.exec_driver_sql(statement, (json.dumps(list(job_ids)),))
    return {job_id: (active, waiting) for job_id, active, waiting in rows}


_IS_ACTIVE = f"runs.state IN {tuple(map(str, ACTIVE))}"

#: Counts the unfinished runs of jobs that have any. Each condition is that of a partial
#: index. Subqueries for each job: in one join for all, PostgreSQL reads every queued run.
_BUSY = f"""
SELECT id, active, waiting FROM (
    SELECT jobs.id,
        (SELECT count(*) FROM runs
            WHERE runs.job_id = jobs.id AND runs.is_exclusive AND {_IS_ACTIVE})
        + (SELECT count(*) FROM runs
            WHERE runs.job_id = jobs.id AND NOT runs.is_exclusive AND {_IS_ACTIVE}) AS active,
        (SELECT count(*) FROM runs
            WHERE runs.job_id = jobs.id AND runs.state = '{RunState.WAITING}') AS waiting
    FROM jobs WHERE jobs.id IN ({{job_ids}})
) AS counted WHERE active > 0 OR waiting > 0
"""  # noqa: S608 (numbers and names of states)


def put_off(session: Session, group: Group, error: str, *, until: datetime) -> None:
    """Try the jobs again at *until*, because their plan failed; does not commit."""
    mine = update(Job).where(bulk_sql.in_values(session, Job.id, group.job_ids))
    values = {"scheduling_error": error, "next_due_at": until}
    session.execute(mine.values(values).execution_options(synchronize_session=False))


def advance(session: Session, plans: Sequence[GroupPlan]) -> None:
    """Move jobs to their next fires; does not commit.

    Raises RuntimeError if a job is no longer at the fire and the version that were planned.
    """
    count = sum(len(planned.group.job_ids) for planned in plans)
    if not count:
        return
    if session.get_bind().dialect.name == "postgresql":
        moved = _advance_by_arrays(session, plans)
    else:
        moved = _advance_by_lists(session, plans)
    if moved != count:
        # The rows were locked: a change means that the lock does not work.
        changed = counted(count - moved, "job")
        raise RuntimeError(f"{changed} changed while fires were recorded")


def move(job: Job, planned: GroupPlan) -> None:
    """Move *job*, which belongs to no session, as `advance` moves its row."""
    values = _values(planned)
    job.next_fire_at, job.next_due_at = values["next_fire_at"], values["next_due_at"]
    job.runs_started += values["starts"]
    job.state = JobState(values["state"])


_MOVE = """
UPDATE jobs SET next_fire_at = {next_fire_at}, next_due_at = {next_due_at},
    runs_started = jobs.runs_started + {starts}, state = {state}, scheduling_error = NULL
{source} {is_job} AND jobs.version = {version} AND jobs.next_fire_at = {fire_at}
"""
_MOVED = ("next_fire_at", "next_due_at", "starts", "state", "version", "fire_at")

# Arrays of job ids, each with the number of its plan; the few plans are arrays beside them.
_BY_ARRAYS = text(
    _MOVE.format(
        **{name: f"plan.{name}" for name in _MOVED},
        is_job="jobs.id = moved.id",
        source="""
FROM unnest(CAST(:ids AS int[]), CAST(:plans AS int[])) AS moved (id, plan)
    JOIN unnest(CAST(:next_fire_at AS timestamptz[]), CAST(:next_due_at AS timestamptz[]),
        CAST(:starts AS int[]), CAST(:state AS text[]), CAST(:version AS int[]),
        CAST(:fire_at AS timestamptz[])) WITH ORDINALITY
        AS plan (next_fire_at, next_due_at, starts, state, version, fire_at, number)
        ON plan.number = moved.plan
WHERE""",
    )
)
_BY_LIST = _MOVE.format(
    next_fire_at="?",
    next_due_at="?",
    starts="?",
    state="?",
    source="WHERE",
    is_job="jobs.id IN (SELECT value FROM json_each(?))",
    version="?",
    fire_at="?",
)


def _values(planned: GroupPlan) -> dict[str, Any]:
    """Return the values of _MOVED for a plan; without a further fire, the jobs end."""
    plan, row = planned.plan, planned.group.row
    starts = sum(run.is_start for run in plan.runs)
    is_over = plan.next_fire_at is None and not planned.group.awaits_start(new_runs=starts)
    return {
        "next_fire_at": plan.next_fire_at,
        "next_due_at": planned.next_due_at,
        "starts": starts,
        "state": (JobState.ENDED if is_over else row.state).value,
        "version": row.version,
        "fire_at": row.next_fire_at,
    }


def _advance_by_arrays(session: Session, plans: Sequence[GroupPlan]) -> int:
    values = [_values(planned) for planned in plans]
    numbered = [(n, id_) for n, planned in enumerate(plans, 1) for id_ in planned.group.job_ids]
    result = session.execute(
        _BY_ARRAYS,
        {
            "ids": bulk_sql.array_literal(job_id for _, job_id in numbered),
            "plans": bulk_sql.array_literal(number for number, _ in numbered),
        }
        | {name: [plan[name] for plan in values] for name in _MOVED},
    )
    return bulk_sql.rowcount(result)


def _advance_by_lists(session: Session, plans: Sequence[GroupPlan]) -> int:
    to_driver = bulk_sql.bind_processor(session, Job.__table__.c.next_fire_at.type)
    parameters = []
    for planned in plans:
        values = _values(planned)
        for name in ("next_fire_at", "next_due_at", "fire_at"):
            values[name] = to_driver(values[name])
        job_ids = json.dumps(planned.group.job_ids)
        parameters.append(
            (
                *(values[name] for name in ("next_fire_at", "next_due_at", "starts", "state")),
                *(job_ids, values["version"], values["fire_at"]),
            )
        )
    return bulk_sql.rowcount(session.connection().exec_driver_sql(_BY_LIST, parameters))
