"""The database crashes, or does not answer for a while: nothing is lost or doubled."""

import sqlite3
from collections.abc import Callable

import pytest

from jobs_app.db import migrate
from jobs_app.settings import Settings
from jobs_app.states import OverlapPolicy
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.servers import PostgresServer

#: New connections, and the fires of the outage one after the other.
RECOVERY_SECONDS = 8.0


def test_a_crash_of_postgresql_loses_and_doubles_nothing(
    make_installation: Callable[..., Installation], own_postgres: PostgresServer
) -> None:
    url = own_postgres.create_database()
    migrate(Settings(database_url=url))
    installation = make_installation(url)
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    short = installation.record()
    long = installation.record(
        seconds=2.5, interval_seconds=3, overlap_policy=OverlapPolicy.BUFFER_ALL
    )
    installation.wait_for_runs(short, 3)

    for _ in range(2):
        with installation.fault("PostgreSQL crashes", recovery_seconds=RECOVERY_SECONDS):
            own_postgres.restart()
        installation.wait_for_runs(short, 3)

    verdict = installation.assert_right(short, long)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_others_hold_delays_and_loses_nothing(installation: Installation) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)

    with installation.fault("database locked", recovery_seconds=RECOVERY_SECONDS):
        file = installation.settings.effective_database_url.removeprefix("sqlite:///")
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        # Less than the fence: the worker may go on with what it runs.
        pause(3)
        holder.execute("COMMIT")
        holder.close()
    installation.wait_for_runs(job, 3)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs())
