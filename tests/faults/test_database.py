"""The database crashes, or does not answer for a while: nothing is lost or doubled."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.migrations import migrate
from jobs_app.runs.history import log
from jobs_app.runs.retry import RetryPolicy
from tests.faults.checker import recording_command
from tests.faults.installation import Installation
from tests.integration.system import pause
from tests.servers import PostgresServer, crowding, wait_until

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


def test_a_result_that_comes_while_the_database_is_gone_is_written_when_it_is_back(
    make_installation: Callable[..., Installation], own_postgres: PostgresServer
) -> None:
    url = own_postgres.create_database()
    migrate(Settings(database_url=url))
    installation = make_installation(
        url, fence_seconds=20, lost_seconds=30, imports="tests.faults.bad_tasks"
    )
    installation.start_ready("worker")
    command = f"{recording_command(installation.effects_file, seconds=2)}; echo said"
    run_id = installation.start_run("shell", command=command)
    python_id = installation.start_run("tests.faults.bad_tasks.naps", seconds=2)
    wait_until(lambda: len(installation.effects()) > 0, "the command works")
    installation.wait_for(python_id, lambda run: run.state is RunState.RUNNING, "the task too")

    own_postgres.crash()
    wait_until(lambda: installation.effects()[-1].what == "end", "the command ends")
    wait_until(lambda: len(refused(installation)) == 1, "a result is refused")
    pause(5)
    back_at = clock.now()
    own_postgres.start()

    for each in (run_id, python_id):
        run = installation.wait_for_end(each, seconds=20)
        assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    napped = installation.run(python_id).finished_at
    assert napped is not None
    # That is when it ended, not when that could be written.
    assert napped < back_at
    with installation.database.reading() as session:
        assert "said\n" in "".join(chunk.text for chunk in log(session, run_id, attempt=1))


def test_a_database_that_is_gone_for_longer_than_the_lease_ends_the_runs_of_its_workers(
    make_installation: Callable[..., Installation], own_postgres: PostgresServer
) -> None:
    url = own_postgres.create_database()
    migrate(Settings(database_url=url))
    installation = make_installation(url, fence_seconds=3, lost_seconds=5)
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    soon = clock.now() + timedelta(seconds=1)
    given: dict[str, Any] = {
        "seconds": 8,
        "interval_seconds": 3600,
        "anchor_at": soon - timedelta(hours=1),
        "overlap_policy": OverlapPolicy.SKIP,
    }
    again = installation.record(**given)
    once = installation.record(**given, retry=RetryPolicy())
    wait_until(lambda: len(begun(installation)) == 2, "both work")

    with installation.fault("PostgreSQL gone", recovery_seconds=15, excuses=["lost"]):
        own_postgres.crash()
        gone_at = clock.now()
        wait_until(lambda: len(refused(installation)) == 2, "both were ended by the fence")
        ended_at = clock.now()
        pause(3)
        own_postgres.start()
        lost = installation.wait_for_end(installation.runs(once)[0].id, seconds=30)
        retried = installation.wait_for_end(installation.runs(again)[0].id, seconds=40)

    assert (lost.state, lost.attempt) == (RunState.LOST, 1)
    assert (retried.state, retried.attempt) == (RunState.SUCCEEDED, 2)
    firsts = [effect for effect in installation.effects() if effect.attempt == 1]
    assert max(effect.at for effect in firsts) <= ended_at
    assert (ended_at - gone_at).total_seconds() < 3 + 5 * crowding()
    installation.assert_right(again, once)


def test_a_server_that_has_no_connection_left_delays_and_loses_nothing(
    make_installation: Callable[..., Installation], own_postgres: PostgresServer
) -> None:
    url = own_postgres.create_database()
    migrate(Settings(database_url=url))
    installation = make_installation(url)
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    long = installation.start_run("sleep", duration=12)
    job = installation.record()
    installation.wait_for_runs(job, 3)

    with ExitStack() as held, installation.fault("no connection", recovery_seconds=20):
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(own_postgres.admin_url))
        # New ones are refused. Longer than a worker may be silent: its heart has its own.
        pause(installation.settings.lost_seconds + 2)
    installation.wait_for_runs(job, 3, seconds=30)

    run = installation.wait_for_end(long)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs())


def begun(installation: Installation) -> set[str]:
    """Return the runs whose command has begun."""
    return {effect.run_id for effect in installation.effects()}


def refused(installation: Installation) -> set[str]:
    """Return the runs whose result the database did not take, so far."""
    return set(re.findall(r"finish_failed run=(\S+)", installation.log("worker")))


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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_process_frozen_in_the_middle_of_a_write_holds_up_sqlite_until_it_dies(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    job = installation.record()

    with installation.fault("frozen in a write", recovery_seconds=RECOVERY_SECONDS):
        installation.start_crashing("scheduler-1", "jobs-advanced:3", whom="frozen")
        wait_until(lambda: installation.was_reached("jobs-advanced"), "it is frozen")
        file = installation.settings.effective_database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            assert other.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        installation.kill("scheduler-1")
        installation.start_ready("scheduler-2")
    installation.wait_for_runs(job, 3)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_process_frozen_in_the_middle_of_a_write_holds_up_only_its_own_jobs_on_postgresql(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    held = installation.record()

    with installation.fault("frozen in a write", recovery_seconds=RECOVERY_SECONDS):
        installation.start_crashing("scheduler-1", "jobs-advanced:3", whom="frozen")
        wait_until(lambda: installation.was_reached("jobs-advanced"), "it is frozen")
        installation.start_ready("scheduler-2")
        other = installation.record()
        installation.wait_for_runs(other, 3)
        installation.kill("scheduler-1")
    installation.wait_for_runs(held, 3)

    verdict = installation.assert_right(held, other)
    assert verdict.started == verdict.owed
