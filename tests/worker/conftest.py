"""A process that works on runs, without a worker around it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

import pytest
from celery import Celery

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.worker import execution
from jobs_app.worker.liveness.lease import now as lease_now
from jobs_app.worker.pool_process import Process, set_process
from tests.factories import make_worker


class WorkOn(Protocol):
    """Works on an attempt of a run, as a worker does that gets its message."""

    def __call__(self, run_id: UUID, attempt: int = 1, /) -> None:
        """Claim the attempt, run its task, and finish it."""


#: A machine that stands still for a while ends no test: a process that loses its lease exits.
LEASE_SECONDS = 3600.0


@contextmanager
def process_without_worker(database: Database, settings: Settings) -> Iterator[Process]:
    """Make this very process one that works on runs, with a lease that has just begun."""
    app: Celery = make_celery(settings)
    app.finalize()
    process = Process(app, settings, "worker@test", is_prefork=False)
    process.lease.adopt(make_worker(database))
    process.lease.renew(lease_now() + LEASE_SECONDS)
    set_process(process)
    yield process
    process.database.close()


@pytest.fixture
def process(database: Database, database_url: str) -> Iterator[Process]:
    """The surroundings of runs in this very process."""
    settings = Settings(database_url=database_url, redis_url="redis://127.0.0.1:1/0")
    with process_without_worker(database, settings) as process:
        yield process


@pytest.fixture
def work_on(process: Process) -> WorkOn:
    """Does with a run what a worker does that gets its message."""

    def work(run_id: UUID, attempt: int = 1) -> None:
        execution.run(str(run_id), attempt)

    return work
