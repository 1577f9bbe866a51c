"""Jobs, runs and workers for tests: a test names the values that matter, the rest are defaults."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from celery import Celery
from sqlalchemy import select

from jobs_app.celery_app import TASK_MODULES
from jobs_app.core.field_spec import grouped
from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.jobs import service
from jobs_app.jobs.document import Definition
from jobs_app.runs import claim as runs_claim
from jobs_app.runs import finish as runs_finish
from jobs_app.runs import fires, insert, workers
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.workers import Registration
from jobs_app.schedules.schedule import Schedule

#: A Monday, on the hour, far from any change of any clock.
NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_numbers: Iterator[int] = count(1)


def tasks_app() -> Celery:
    """Return a Celery application with the built-in tasks and without a broker."""
    app = Celery("tests", set_as_current=False)
    for name in TASK_MODULES:
        app.loader.import_task_module(name)
    app.finalize()
    return app


TASKS = tasks_app()


def is_built_in(task: str) -> bool:
    """Return whether a task is one of jobs-app: other tests register tasks of users."""
    return TASKS.tasks[task].__module__.startswith("jobs_app.")


def definition(**values: Any) -> Definition:
    """Return a definition: `sleep`, hourly, with *values* for its fields.

    `cron`, `interval_seconds`, `every`, `once_at`, `timezone` and the like go to the schedule.
    """
    names = (
        "cron",
        "interval_seconds",
        "every",
        "anchor_at",
        "timezone",
        "jitter_seconds",
        "start_at",
        "end_at",
    )
    when = {name: values.pop(name) for name in names if name in values}
    if "once_at" in values:
        when["at"] = values.pop("once_at")
    if when:
        values["schedule"] = Schedule(**when)
    values.setdefault("schedule", Schedule(cron="0 * * * *"))
    values.setdefault("name", f"job-{next(_numbers)}")
    plain = {"task": "sleep", "kwargs": {"duration": 0}}
    return Definition(**grouped(Definition, plain | values))


def make_job(database: Database, *, at: datetime = NOON - MINUTE, **values: Any) -> Job:
    """Create a job as a person would, one minute before noon."""
    with database.session() as session:
        return service.create(session, definition(**values), app=TASKS, by="tester", at=at)


def make_worker(database: Database, *, at: datetime = NOON) -> UUID:
    """Register a worker and return its id."""
    with database.session() as session:
        registration = Registration("worker@test", 1, ("default",), 2, "prefork")
        return workers.register(session, registration, at=at)


def make_run(
    database: Database,
    job: Job | None = None,
    *,
    state: RunState = RunState.QUEUED,
    at: datetime = NOON,
    **values: Any,
) -> UUID:
    """Record a run, of *job* or of none, and return its id."""
    values.setdefault("trigger", Trigger.MANUAL)
    if job is not None:
        new_run = insert.new_run(job, run_id=new_run_id(), state=state, at=at, **values)
    else:
        plain: dict[str, Any] = {"task": "sleep", "kwargs": {}, "queue": "default", "priority": 5}
        new_run = insert.NewRun(
            id=new_run_id(), job_id=None, state=state, created_at=at, **(plain | values)
        )
    with database.session() as session:
        insert.insert_runs(session, [new_run])
        session.commit()
    return new_run.id


def write_log(database: Database, run_id: UUID, *texts: str, attempt: int = 1) -> None:
    """Store the output of an attempt of a run, in so many chunks."""
    chunk = {"run_id": run_id, "attempt": attempt, "stream": "stdout", "at": NOON}
    with database.session() as session:
        session.add_all(LogChunk(**chunk, seq=seq, text=text) for seq, text in enumerate(texts))
        session.commit()


def claim(
    database: Database,
    run_id: UUID,
    worker_id: UUID,
    *,
    attempt: int = 1,
    at: datetime = NOON,
) -> ClaimedRun | None:
    """Try to claim an attempt."""
    with database.session() as session:
        return runs_claim.claim(session, run_id, attempt, worker_id=worker_id, at=at)


def finish(
    database: Database,
    run_id: UUID,
    state: RunState = RunState.SUCCEEDED,
    *,
    attempt: int = 1,
    at: datetime = NOON + SECOND,
    retry: RetryPolicy | None = None,
    **outcome: Any,
) -> bool:
    """Finish an attempt, as its worker would."""
    job_id = run(database, run_id).job_id
    with database.session() as session:
        return runs_finish.finish(
            session,
            run_id,
            attempt,
            Outcome(state, **outcome),
            retry=retry or RetryPolicy(),
            job_id=job_id,
            at=at,
        )


def record(database: Database, *jobs_due: Job, at: datetime) -> fires.RecordedFires:
    """Record the due fires of jobs, as a tick does."""
    with database.session() as session:
        return fires.record_due(session, [job.id for job in jobs_due], at=at)


def run(database: Database, run_id: UUID) -> Run:
    """Return a run as the database has it."""
    with database.reading() as session:
        return session.get_one(Run, run_id)


def runs_of(database: Database, job: Job) -> list[Run]:
    """Return the runs of a job, by fire, then by age."""
    statement = select(Run).where(Run.job_id == job.id).order_by(Run.scheduled_for, Run.id)
    with database.reading() as session:
        return list(session.scalars(statement))


def job(database: Database, name: str) -> Job:
    """Return the row of a job that is not deleted."""
    with database.reading() as session:
        return service.get(session, name)


def columns(database: Database, run_id: UUID) -> dict[str, Any]:
    """Return the columns of a run except its id, by name."""
    row = run(database, run_id)
    return {c.key: getattr(row, c.key) for c in Run.__table__.c if c.key != "id"}
