"""Processes of PostgreSQL that stand still, while the server goes on: TCP notices nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from sqlalchemy import text

from jobs_app.core.states import RunState
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.servers import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

OF_PORTS = text("SELECT pid, client_port FROM pg_stat_activity WHERE datname = current_database()")


@contextmanager
def frozen(installation: Installation, name: str) -> Iterator[None]:
    """Freeze what PostgreSQL has for the main process of *name*, and nothing that comes later."""
    main = psutil.Process(installation.processes[name].pid)
    ports = {each.laddr.port for each in main.net_connections("tcp")}
    with installation.database.reading() as session:
        backends = [
            psutil.Process(row.pid) for row in session.execute(OF_PORTS) if row.client_port in ports
        ]
        for backend in backends:
            backend.send_signal(signal.SIGSTOP)
    assert backends, f"{name} has connections"
    try:
        yield
    finally:
        for backend in backends:
            backend.send_signal(signal.SIGCONT)


@pytest.mark.nightly
def test_a_heartbeat_without_an_answer_is_repeated_on_a_new_connection(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    run_id = installation.start_run("sleep", duration=3 * installation.settings.lost_seconds)
    installation.wait_for(run_id, lambda run: run.state is RunState.RUNNING, "it runs")

    with frozen(installation, "worker"):
        run = installation.wait_for_end(run_id, seconds=40)

    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert "worker_was_given_up" not in installation.log("worker")


# It takes as long as the server may take for an answer.
@pytest.mark.chaos
def test_a_lone_scheduler_without_an_answer_goes_on_with_new_connections(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record(interval_seconds=2)
    installation.wait_for_runs(job, 2)

    with (
        installation.fault("no answers", recovery_seconds=10),
        frozen(installation, "scheduler"),
    ):
        pause(1)
        installation.wait_for_runs(job, 3, seconds=60)
    wait_until(lambda: any(installation.schedulers().values()), "it leads")

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
