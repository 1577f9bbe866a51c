"""A worker with few processes starts others as runs come: all of them run at once."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from jobs_app import __version__
from jobs_app.core.states import RunState
from jobs_app.db.models.processes import Worker
from tests.integration.system import System, pool_processes_of

AT_ONCE = 4


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_more_runs_than_idle_processes_run_at_once(make_system: Callable[..., System]) -> None:
    system = make_system(worker_concurrency=AT_ONCE, worker_idle_processes=1)
    worker = system.start_ready("worker")
    assert len(pool_processes_of(worker)) == 1

    runs = [system.start_run("sleep", duration=60) for _ in range(AT_ONCE)]
    for run_id in runs:
        system.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    assert len(pool_processes_of(worker)) == AT_ONCE
    with system.database.reading() as session:
        row = session.scalars(select(Worker)).one()
    assert row.concurrency == AT_ONCE
    # The doctor compares these with those of other processes.
    assert row.version == __version__
    assert row.settings is not None
    assert row.settings["fence_seconds"] > 0
