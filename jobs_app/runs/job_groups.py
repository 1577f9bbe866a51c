"""Due jobs that are alike: read, planned and moved on together.

At a full hour most of a thousand jobs differ in nothing that a plan looks at. The
database groups them, so that a tick costs by the group and not by the job.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, case, cast, func, or_, select, text, update
from sqlalchemy.orm import Session

from jobs_app.core.states import ACTIVE, JobState, OverlapPolicy, RunState
from jobs_app.db import bulk_sql
from jobs_app.db.models.jobs import Job
from jobs_app.runs.insert import first_messages
from jobs_app.runs.messages import Message
from jobs_app.runs.planning import Plan, PlanInput
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Schedule

#: What a message says of a job.
_SENT = (
    *("task", "queue", "priority"),
    *("soft_time_limit_seconds", "time_limit_seconds"),
)
#: What a plan looks at, and what it is checked against when the jobs move on.
_PLANNED = (
    *("cron", "interval_seconds", "anchor_at", "at", "timezone", "start_at", "end_at"),
    *("jitter_seconds", "next_fire_at", "next_due_at", "version", "state"),
    *("overlap_policy", "starting_deadline_seconds"),
    *("catchup_policy", "catchup_window_seconds", "catchup_max_runs"),
)
_COLUMNS = tuple(getattr(Job, name) for name in (*_SENT, *_PLANNED))


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs with one and the same plan; *row* holds what they share.

    *active* and *waiting* count the unfinished runs of each of them.
    """

    job_ids: list[int]
    row: Any
    active: int = 0
    waiting: int = 0

    @property
    def next_due_at(self) -> datetime | None:
        """When their fire is due; None without a schedule."""
        due_at: datetime | None = self.row.next_due_at
        return due_at

    def is_late(self, *, at: datetime) -> bool:
        """Tell whether their deadline has passed."""
        deadline = timedelta(seconds=self.row.starting_deadline_seconds)
        return self.next_due_at is not None and at - self.next_due_at > deadline

    def schedule(self) -> Schedule:
        """Return their schedule."""
        row = self.row
        return Schedule(
            cron=row.cron,
            interval_seconds=row.interval_seconds,
            anchor_at=row.anchor_at,
            at=row.at,
            timezone=row.timezone,
            start_at=row.start_at,
            end_at=row.end_at,
            jitter_seconds=row.jitter_seconds,
            seed=row.seed,
        )

    def facts(self, *, watches: tuple[tuple[datetime, datetime], ...] | None) -> PlanInput:
        """Return what a plan must know of them."""
        row = self.row
        return PlanInput(
            schedule=self.schedule(),
            next_fire_at=row.next_fire_at,
            overlap_policy=row.overlap_policy,
            starting_deadline_seconds=row.starting_deadline_seconds,
            catchup_policy=row.catchup_policy,
            catchup_window_seconds=row.catchup_window_seconds,
            catchup_max_runs=row.catchup_max_runs,
            has_active=self.active > 0,
            waiting=self.waiting,
            runs_left=row.runs_left,
            watches=watches,
        )

    def messages(self, run_ids: Sequence[UUID]) -> list[Message]:
        """Return the first messages of their runs."""
        return first_messages(run_ids, self.row)


@dataclass(frozen=True, slots=True)
class Advance:
    """What a plan changes of the jobs of a group; no further fire ends them."""

    group: Group
    next_fire_at: datetime | None
    next_due_at: datetime | None
    starts: int

    @classmethod
    def of(cls, group: Group, planned: Plan) -> "Advance":
        """Return the advance of *group* to the next fire of its plan."""
        following = planned.next_fire_at
        due_at = None if following is None else schedules.due_at(group.schedule(), following)
        return cls(group, following, due_at, sum(row.is_start for row in planned.runs))


def groups(session: Session, job_ids: Sequence[int]) -> list[Group]:
    """Return the jobs among *job_ids* by what their plans look at."""
    # H and the jitter are drawn from the name: such jobs are like no other.
    is_drawn = or_(Job.jitter_seconds > 0, func.upper(Job.cron).like("%H%"))
    left = Job.max_runs - Job.runs_started
    shared = (
        *_COLUMNS,
        case((is_drawn, Job.name), else_="").label("seed"),
        case((left < 0, 0), else_=left).label("runs_left"),
    )
    chosen = (
        select(Job.id, *shared).where(bulk_sql.in_values(session, Job.id, job_ids)).cte("chosen")
    )
    keys = [chosen.c[column.key] for column in shared]
    ids = func.aggregate_strings(cast(chosen.c.id, Text), ",").label("ids")
    rows = session.execute(select(ids, *keys).group_by(*keys)).all()
    listed = [([int(number) for number in row.ids.split(",")], row) for row in rows]
    # With its runs side by side, a job's plan does not ask which are unfinished.
    asking = [
        job_id
        for job_ids, row in listed
        if row.overlap_policy is not OverlapPolicy.ALLOW_ALL
        for job_id in job_ids
    ]
    busy = unfinished(session, asking)
    return [group for job_ids, row in listed for group in _split(job_ids, row, busy)]


def _split(job_ids: list[int], row: Any, counts: Mapping[int, tuple[int, int]]) -> list[Group]:
    """Return the groups of jobs that differ in nothing but their unfinished runs."""
    busy = [job_id for job_id in job_ids if job_id in counts]
    if not busy:
        return [Group(job_ids, row)]
    by_count: dict[tuple[int, int], list[int]] = {}
    for job_id in job_ids:
        by_count.setdefault(counts.get(job_id, (0, 0)), []).append(job_id)
    return [Group(ids, row, *counts) for counts, ids in by_count.items()]


def unfinished(session: Session, job_ids: Sequence[int]) -> Mapping[int, tuple[int, int]]:
    """Return how many runs of each job are active, and how many wait; most jobs have none."""
    if not job_ids:
        return {}
    # The numbers stand in the statement, so that it is planned anew each time: a plan kept
    # from when `runs` was empty reads all of it, for each job.
    statement = _BUSY.format(job_ids=",".join(map(str, job_ids)))
    rows = session.connection().exec_driver_sql(statement)
    return {job_id: (active, waiting) for job_id, active, waiting in rows}


_IS_ACTIVE = f"runs.state IN {tuple(map(str, ACTIVE))}"

#: Counts the unfinished runs of jobs that have any. Each of the conditions is that of a
#: partial index. Job by job: in one search for all, PostgreSQL reads every queued run.
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
    """Have jobs whose plan failed looked at again at *until*; does not commit."""
    mine = update(Job).where(bulk_sql.in_values(session, Job.id, group.job_ids))
    values = {"scheduling_error": error, "next_due_at": until}
    session.execute(mine.values(values).execution_options(synchronize_session=False))


def advance(session: Session, advances: Sequence[Advance]) -> None:
    """Move jobs to their next fires, if they are still at those that were planned.

    Does not commit.
    """
    count = sum(len(each.group.job_ids) for each in advances)
    if not count:
        return
    if session.get_bind().dialect.name == "postgresql":
        moved = _advance_by_arrays(session, advances)
    else:
        moved = _advance_by_lists(session, advances)
    if moved != count:
        # The rows were locked; that they changed means that the lock does not hold.
        raise RuntimeError(f"{count - moved} jobs changed while their fires were recorded")


_MOVE = """
UPDATE jobs SET next_fire_at = {next_fire_at}, next_due_at = {next_due_at},
    runs_started = jobs.runs_started + {starts}, state = {state}, scheduling_error = NULL
{source} {is_moved} AND jobs.version = {version} AND jobs.next_fire_at = {fire_at}
"""
_MOVED = ("next_fire_at", "next_due_at", "starts", "state", "version", "fire_at")

# As the runs are inserted: the jobs with the numbers of their groups, the groups beside them.
_BY_ARRAYS = text(
    _MOVE.format(
        **{name: f"kind.{name}" for name in _MOVED},
        is_moved="jobs.id = moved.id",
        source="""
FROM unnest(CAST(:ids AS int[]), CAST(:kinds AS int[])) AS moved (id, kind)
    JOIN unnest(CAST(:next_fire_at AS timestamptz[]), CAST(:next_due_at AS timestamptz[]),
        CAST(:starts AS int[]), CAST(:state AS text[]), CAST(:version AS int[]),
        CAST(:fire_at AS timestamptz[])) WITH ORDINALITY
        AS kind (next_fire_at, next_due_at, starts, state, version, fire_at, number)
        ON kind.number = moved.kind
WHERE""",
    )
)
_BY_LIST = _MOVE.format(
    next_fire_at="?",
    next_due_at="?",
    starts="?",
    state="?",
    source="WHERE",
    is_moved="jobs.id IN (SELECT value FROM json_each(?))",
    version="?",
    fire_at="?",
)


def _moves(each: Advance) -> dict[str, Any]:
    is_over = each.next_fire_at is None
    return {
        "next_fire_at": each.next_fire_at,
        "next_due_at": each.next_due_at,
        "starts": each.starts,
        "state": (JobState.ENDED if is_over else each.group.row.state).value,
        "version": each.group.row.version,
        "fire_at": each.group.row.next_fire_at,
    }


def _advance_by_arrays(session: Session, advances: Sequence[Advance]) -> int:
    kinds = [_moves(each) for each in advances]
    result = session.execute(
        _BY_ARRAYS,
        {
            "ids": bulk_sql.array_literal(
                job_id for each in advances for job_id in each.group.job_ids
            ),
            "kinds": bulk_sql.array_literal(
                n for n, each in enumerate(advances, 1) for _ in each.group.job_ids
            ),
        }
        | {name: [kind[name] for kind in kinds] for name in _MOVED},
    )
    return bulk_sql.rowcount(result)


def _advance_by_lists(session: Session, advances: Sequence[Advance]) -> int:
    write = bulk_sql.bind_processor(session, Job.__table__.c.next_fire_at.type)
    rows = []
    for each in advances:
        moves = _moves(each)
        before = (
            write(each.next_fire_at),
            write(each.next_due_at),
            moves["starts"],
            moves["state"],
        )
        after = (moves["version"], write(moves["fire_at"]))
        rows.append((*before, json.dumps(each.group.job_ids), *after))
    return bulk_sql.rowcount(session.connection().exec_driver_sql(_BY_LIST, rows))
