"""The finish of a run: what the database refuses never keeps it from ending."""

from typing import Any

import pytest
from sqlalchemy import select, text

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk
from jobs_app.runs.outcome import Outcome
from jobs_app.worker import execution
from jobs_app.worker.completer import FinishedRun
from jobs_app.worker.finish_run import finish_run
from jobs_app.worker.output.log_store import SqlChunkStore
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.pool_process import Process
from tests.disk import full_disk
from tests.factories import claim, make_job, make_run, run


def finish(process: Process, database: Database, outcome: Outcome, **values: Any) -> Any:
    """Claim a new run, finish it with *outcome*, and return its row."""
    run_id = make_run(database, **values)
    claimed = claim(database, run_id, process.lease.worker_id)
    assert claimed is not None
    finish_run(process, FinishedRun(claimed, outcome, clock.now()))
    return run(database, run_id)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_log_that_a_full_disk_refused_is_stored_before_the_finish(
    process: Process, database: Database
) -> None:
    run_id = make_run(database)
    claimed = claim(database, run_id, process.lease.worker_id)
    assert claimed is not None
    log = RunLog(SqlChunkStore(process.database, run_id, claimed.attempt))

    with full_disk():
        log.write("stdout", b"what it said")
        assert not log.close(timeout_seconds=0)
    outcome = Outcome(RunState.SUCCEEDED, log_bytes=log.total_bytes, log_truncated=False)
    finish_run(process, FinishedRun(claimed, outcome, clock.now(), log))

    with database.reading() as session:
        assert session.scalars(select(LogChunk.text)).all() == ["what it said"]
    assert (run(database, run_id).state, log.total_bytes) == (RunState.SUCCEEDED, 12)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(RunState.SUCCEEDED, exit_code=2**70),
        Outcome(RunState.FAILED, reason="\ud800"),
        Outcome(RunState.SUCCEEDED, result={1, 2}),
        Outcome(RunState.SUCCEEDED, log_bytes=10**30, log_truncated=False),
        Outcome(RunState.FAILED, retry_after_seconds=1e30),
        Outcome(RunState.FAILED, retry_after_seconds=float("nan")),
    ],
    ids=["exit code", "surrogate", "no JSON", "log size", "never", "NaN"],
)
def test_an_outcome_that_cannot_be_stored_fails_the_run(
    process: Process, database: Database, outcome: Outcome
) -> None:
    finished = finish(process, database, outcome)

    assert finished.state is RunState.FAILED
    assert "could not be stored" in finished.error["message"]


def test_a_run_ends_even_if_the_row_of_its_job_refuses_the_count(
    process: Process, database: Database
) -> None:
    job = make_job(database)
    with database.session() as session:
        session.execute(text("UPDATE jobs SET failures_in_a_row = 2147483647"))
        if session.get_bind().dialect.name == "sqlite":
            # SQLite's integers have 64 bits; the sum becomes a float that no column takes.
            session.execute(
                text(
                    "CREATE TRIGGER refuse BEFORE UPDATE OF failures_in_a_row ON jobs "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            )
        session.commit()

    finished = finish(process, database, Outcome(RunState.FAILED), job=job)

    assert finished.state is RunState.FAILED


def test_a_run_whose_row_cannot_be_read_fails_and_says_why(
    process: Process, database: Database
) -> None:
    run_id = make_run(database)
    with database.session() as session:
        session.execute(text("""UPDATE runs SET retry = '{"no such field": 1}'"""))
        session.commit()

    execution.run(str(run_id), 1)

    failed = run(database, run_id)
    assert failed.state is RunState.FAILED
    assert failed.reason is not None
    assert "cannot be read" in failed.reason


@pytest.mark.parametrize("attempt", [0, -1, 2**31, 2**63, 10**30, True, 1.0, "1", None, [1]])
def test_a_message_without_an_attempt_number_is_dropped(
    process: Process, database: Database, attempt: Any
) -> None:
    run_id = make_run(database)

    execution.run(str(run_id), attempt)
    execution.run(attempt, 1)

    assert run(database, run_id).state is RunState.QUEUED
    assert process.take_dropped() == 2
