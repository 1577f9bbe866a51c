"""The state of the installation: its schedulers, workers, queues and keys. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from jobs_app.accounts.tag_limit import ALL_JOBS, is_limited
from jobs_app.core.states import UNFINISHED, RunState
from jobs_app.core.text import counted
from jobs_app.db.bulk_sql import in_code_points
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.db.models.runs import IS_UNFINISHED, PARKED, Run

#: Workers that are gone and still listed: the newest ones.
GONE_LISTED = 100

#: The states that a queue counts.
QUEUE_STATES = tuple(map(str, UNFINISHED))

# Literals, not bound parameters: only then is the index of unfinished runs used.
_UNFINISHED = text(f"runs.state IN {tuple(map(str, UNFINISHED))} AND runs.{IS_UNFINISHED}")
_RUNNING = text(f"runs.state = '{RunState.RUNNING}' AND runs.{IS_UNFINISHED}")


@dataclass(slots=True)
class Queue:
    """A queue: its workers, the jobs that name it, and its unfinished runs.

    `parked` counts the queued runs that wait for a slot of their concurrency key.
    `oldest_queued_at` is when the run was queued that has waited longest.
    """

    name: str
    workers: int = 0
    slots: int = 0
    jobs: int = 0
    waiting: int = 0
    queued: int = 0
    parked: int = 0
    running: int = 0
    retrying: int = 0
    oldest_queued_at: datetime | None = None

    @property
    def is_served(self) -> bool:
        """At least one living worker serves it."""
        return self.workers > 0

    @property
    def warning(self) -> str | None:
        """Why its runs do not start; None if they do, or if neither a job nor a run needs it."""
        runs = self.waiting + self.queued + self.retrying
        if self.is_served or not (self.jobs or runs):
            return None
        jobs, waiting = counted(self.jobs, "job"), counted(runs, "run")
        name, wait = "names" if self.jobs == 1 else "name", "waits" if runs == 1 else "wait"
        return f"No worker serves the queue {self.name!r}: {jobs} {name} it, {waiting} {wait}."


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker and its running runs, oldest first."""

    worker: Worker
    runs: list["RunningRun"]
    #: Its running runs of jobs that the session does not find.
    other_runs: int = 0

    @property
    def free(self) -> int:
        """How many more runs it can take."""
        taken = len(self.runs) + self.other_runs
        return 0 if self.worker.gone_at else max(self.worker.concurrency - taken, 0)


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that a worker executes."""

    id: UUID
    job: str | None
    task: str
    queue: str
    attempt: int
    started_at: datetime | None


@dataclass(slots=True)
class Key:
    """A concurrency key: its limits, the jobs that name it, and its unfinished runs.

    `queued` counts the runs that wait for a worker or for a slot.
    """

    name: str
    limits: set[int] = field(default_factory=set)
    jobs: int = 0
    running: int = 0
    queued: int = 0
    oldest_queued_at: datetime | None = None


def last_tick(session: Session) -> datetime | None:
    """Return when a scheduler last ticked; None if all that there were have been stopped."""
    return session.scalars(select(func.max(SchedulerProcess.ticked_at))).one()


def workers(session: Session) -> list[Worker]:
    """Return the living workers by name."""
    statement = select(Worker).where(Worker.gone_at.is_(None)).order_by(Worker.name, Worker.id)
    return list(session.scalars(statement))


def worker_problems(session: Session, *, limit: int = 20) -> dict[str, str]:
    """Return the problems of living workers by their names."""
    statement = (
        select(Worker.name, Worker.problem)
        .where(Worker.gone_at.is_(None), Worker.problem.is_not(None))
        .order_by(Worker.name)
        .limit(limit)
    )
    return {row.name: row.problem for row in session.execute(statement)}


def worker_states(session: Session, *, with_gone: bool = False) -> list[WorkerState]:
    """Return the living workers by name with their runs; *with_gone* also those gone last."""
    listed = workers(session)
    if with_gone:
        gone = select(Worker).where(Worker.gone_at.is_not(None)).order_by(Worker.gone_at.desc())
        listed += session.scalars(gone.limit(GONE_LISTED))
    columns = (Run.id, Job.name.label("job"), Run.task, Run.queue, Run.attempt, Run.started_at)
    running = (
        select(Run.worker_id, *columns)
        .outerjoin(Job, Job.id == Run.job_id)
        .where(_RUNNING)
        .order_by(Run.started_at, Run.id)
    )
    by_worker: dict[UUID | None, list[RunningRun]] = {}
    for row in session.execute(running):
        run = RunningRun(**{name: getattr(row, name) for name in RunningRun.__slots__})
        by_worker.setdefault(row.worker_id, []).append(run)
    counts = _running_counts(session) if is_limited(session) else {}
    return [
        WorkerState(worker, runs, max(counts.get(worker.id, 0) - len(runs), 0))
        for worker in listed
        for runs in (by_worker.get(worker.id, []),)
    ]


def _running_counts(session: Session) -> dict[UUID | None, int]:
    """Return how many runs each worker runs, of all jobs."""
    statement = select(Run.worker_id, func.count()).where(_RUNNING).group_by(Run.worker_id)
    return dict(session.execute(statement, execution_options=ALL_JOBS).all())


def queues(session: Session, *, after: str | None = None, limit: int) -> list[Queue]:
    """Return queues with a worker, job or unfinished run, by name: those later than *after*."""
    living = workers(session)
    named = select(Job.queue).where(Job.deleted_at.is_(None))
    names = _first_names(
        session,
        (named, select(Run.queue).where(_UNFINISHED)),
        {name for worker in living for name in worker.queues},
        after=after,
        limit=limit,
    )
    by_name = {name: Queue(name) for name in names}
    for worker in living:
        for name in by_name.keys() & set(worker.queues):
            by_name[name].workers += 1
            by_name[name].slots += worker.concurrency
    jobs = select(Job.queue, func.count()).where(Job.deleted_at.is_(None), Job.queue.in_(names))
    for name, count in session.execute(jobs.group_by(Job.queue)):
        by_name[name].jobs = count
    _count_unfinished(session, by_name, Run.queue.in_(names))
    return list(by_name.values())


def queues_in_use(session: Session, living: Iterable[Worker]) -> list[Queue]:
    """Return the queues of *living* workers or unfinished runs, by name, without their `jobs`."""
    by_name: dict[str, Queue] = {}
    for worker in living:
        for name in set(worker.queues):
            queue = by_name.setdefault(name, Queue(name))
            queue.workers += 1
            queue.slots += worker.concurrency
    _count_unfinished(session, by_name)
    return [by_name[name] for name in sorted(by_name)]


def _count_unfinished(
    session: Session, by_name: dict[str, Queue], *conditions: ColumnElement[bool]
) -> None:
    """Add the unfinished runs that meet *conditions* to their queues in *by_name*."""
    is_parked = text(PARKED)
    counts = (
        select(
            Run.queue,
            Run.state,
            func.count().label("count"),
            func.count().filter(is_parked).label("parked"),
            func.min(Run.queued_at).label("since"),
        )
        .where(_UNFINISHED, *conditions)
        .group_by(Run.queue, Run.state)
    )
    for row in session.execute(counts):
        counted = by_name.setdefault(row.queue, Queue(row.queue))
        setattr(counted, row.state, row.count)
        if row.state is RunState.QUEUED:
            counted.parked, counted.oldest_queued_at = row.parked, row.since


def _first_names(
    session: Session,
    selects: Iterable[Select[Any]],
    others: Iterable[str] = (),
    *,
    after: str | None,
    limit: int,
) -> list[str]:
    """Return the first *limit* names of *selects* and *others* that are later than *after*.

    Each of *selects* has one column. No more of its names are read than may be returned.
    """
    names = {name for name in others if after is None or name > after}
    for statement in selects:
        (column,) = statement.selected_columns
        name = in_code_points(session, column)
        if after is not None:
            statement = statement.where(name > after)
        statement = statement.with_only_columns(name).distinct().order_by(name)
        names |= {*session.scalars(statement.limit(limit))}
    return sorted(names)[:limit]


def unserved(session: Session, *, limit: int = 20) -> list[str]:
    """Return the queues that jobs name and no living worker serves, by name."""
    served = {name for worker in workers(session) for name in worker.queues}
    named = select(Job.queue).where(Job.deleted_at.is_(None), Job.queue.not_in(served))
    return list(session.scalars(named.distinct().order_by(Job.queue).limit(limit)))


def keys(session: Session, *, after: str | None = None, limit: int) -> list[Key]:
    """Return concurrency keys of jobs or unfinished runs, by name: those later than *after*."""
    of_jobs = (Job.concurrency_key.is_not(None), Job.deleted_at.is_(None))
    of_runs = (
        Run.concurrency_key.is_not(None),
        _UNFINISHED,
        Run.state.in_((RunState.QUEUED, RunState.RUNNING)),
    )
    selects = (
        select(Job.concurrency_key).where(*of_jobs),
        select(Run.concurrency_key).where(*of_runs),
    )
    names = _first_names(session, selects, after=after, limit=limit)
    by_name = {name: Key(name) for name in names}
    named = (
        select(Job.concurrency_key, Job.concurrency_limit, func.count().label("jobs"))
        .where(*of_jobs, Job.concurrency_key.in_(names))
        .group_by(Job.concurrency_key, Job.concurrency_limit)
    )
    for jobs_row in session.execute(named):
        counted = by_name[jobs_row.concurrency_key]
        counted.limits.add(jobs_row.concurrency_limit)
        counted.jobs += jobs_row.jobs
    counts = (
        select(
            Run.concurrency_key,
            Run.concurrency_limit,
            Run.state,
            func.count().label("runs"),
            func.min(Run.queued_at).label("since"),
        )
        .where(*of_runs, Run.concurrency_key.in_(names))
        .group_by(Run.concurrency_key, Run.concurrency_limit, Run.state)
    )
    for row in session.execute(counts):
        counted = by_name[row.concurrency_key]
        counted.limits.add(row.concurrency_limit)
        if row.state is RunState.RUNNING:
            counted.running += row.runs
        else:
            counted.queued += row.runs
            known = filter(None, (counted.oldest_queued_at, row.since))
            counted.oldest_queued_at = min(known, default=None)
    return list(by_name.values())
