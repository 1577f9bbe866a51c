"""A jobs-app worker for a benchmark, and the runs that it executes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.peers import Pool
from jobs_app.celery_app import JobsCelery
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.runs.messages import Message, publish
from jobs_app.secrets.signing import Signer


@contextmanager
def running_worker(
    settings: Settings, pool: Pool, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that has the tasks of bench/noop.py."""
    variables = os.environ | {
        "JOBS_DATABASE_URL": settings.effective_database_url,
        "JOBS_REDIS_URL": str(settings.redis_url),
        "JOBS_DATA_DIR": str(settings.data_dir),
        "JOBS_LOG_LEVEL": "WARNING",
        "JOBS_IMPORTS": "bench.noop",
        "JOBS_WORKER_POOL": pool.name,
        "JOBS_WORKER_CONCURRENCY": str(pool.size),
    }
    # A worker makes no key.
    Signer(settings).load(makes_key=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs_app", "worker"],
            env=variables | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait()


def queue_runs(database: Database, task: str, count: int) -> list[Message]:
    """Record a queued run for each of *count* new jobs and return their messages, unsent."""
    now = datetime.now(UTC)
    # Job names are unique, also among those of earlier calls.
    suffix = new_run_id().hex
    with database.session() as session:
        jobs = [
            {"name": f"job-{suffix}-{number}", "task": task, "created_at": now, "updated_at": now}
            for number in range(count)
        ]
        job_ids = session.scalars(
            insert(Job).returning(Job.id, sort_by_parameter_order=True), jobs
        ).all()
        rows = [_row(job_id, task, now) for job_id in job_ids]
        session.execute(insert(Run), rows)
        session.commit()
        if session.get_bind().dialect.name == "postgresql":
            session.connection().exec_driver_sql("ANALYZE")
            session.commit()
    return [Message(row["id"], 1, task, "default") for row in rows]


def _row(job_id: int, task: str, now: datetime) -> dict[str, Any]:
    """Return a run's row as the scheduler records it for a fire."""
    return {
        "id": new_run_id(),
        "job_id": job_id,
        "scheduled_for": now,
        "state": RunState.QUEUED,
        "trigger": Trigger.SCHEDULE,
        "task": task,
        "kwargs": {},
        "queue": "default",
        "is_exclusive": True,
        "send_at": now,
        "created_at": now,
        "queued_at": now,
    }


def send(app: JobsCelery, messages: Sequence[Message]) -> None:
    """Publish *messages* to the broker."""
    publish(app, messages)
