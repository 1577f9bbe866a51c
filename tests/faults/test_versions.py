"""Two versions of the product at work on one installation, as in every update."""

import pytest
from sqlalchemy import text

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.jobs.start import TaskStart, start_task
from tests.faults.installation import Installation
from tests.faults.test_messages import call, envelope, queue
from tests.profiles import sqlite_nightly
from tests.servers import ValkeyServer, wait_until

#: A message that nobody could read is sent again after 15 seconds.
RESENT_SECONDS = 40.0


@sqlite_nightly
def test_processes_work_on_after_a_newer_version_has_migrated_their_database(
    installation: Installation,
) -> None:
    installation.start_ready("worker")
    installation.start_ready("scheduler")
    job = installation.record()
    installation.wait_for_runs(job, 2)

    migrated = installation.fault("migrated", recovery_seconds=5)
    with migrated, installation.database.session() as session, session.begin():
        for table in ("jobs", "runs", "run_attempts", "workers", "schedulers"):
            session.execute(text(f"ALTER TABLE {table} ADD COLUMN new_thing TEXT"))
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    installation.wait_for_runs(job, 3)

    verdict = installation.assert_right(job)
    assert verdict.started == verdict.owed
    assert all(run.attempt == 1 for run in installation.runs(job))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_whose_message_only_another_version_can_read_is_not_lost(
    installation: Installation, own_valkey: ValkeyServer
) -> None:
    with installation.database.session() as session:
        start = TaskStart("sleep", {"duration": 0})
        started = start_task(session, start, app=installation.app, by="tester", at=clock.now())
    body = call(str(started.run.id), 1, {"since": "version 2"}, surprise=True)
    installation.start_ready("worker")
    installation.start_ready("scheduler")

    with own_valkey.client() as redis:
        redis.lpush(queue(installation), envelope(body))
        wait_until(lambda: redis.llen(queue(installation)) == 0, "it is taken")

    run = installation.wait_for_end(started.run.id, seconds=RESENT_SECONDS)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
