"""The last log of a job: the end of the output of its newest finished run."""

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs import last_log as last_logs
from jobs_app.tasks.context import LastLog
from tests.factories import NOON, SECOND, claim, finish, make_job, make_run, make_worker, write_log


def last_log(database: Database, job: str, *, limit_bytes: int = 1000) -> LastLog | None:
    with database.reading() as session:
        return last_logs.last_log(session, job, limit_bytes=limit_bytes)


def test_the_last_log_of_a_job_is_that_of_its_newest_run_that_ended(database: Database) -> None:
    job, worker_id = make_job(database, name="nightly"), make_worker(database)
    other = make_job(database, name="other")
    assert last_log(database, "nightly") is None
    for text in ("old", "new"):
        run_id = make_run(database, job)
        claim(database, run_id, worker_id)
        write_log(database, run_id, text, " and more")
        finish(database, run_id, RunState.FAILED)
    ended = run_id
    of_another = make_run(database, other)
    claim(database, of_another, worker_id)
    finish(database, of_another)
    claim(database, make_run(database, job), worker_id)

    found = last_log(database, "nightly")

    assert found is not None
    assert (found.run_id, found.state, found.text, found.is_cut) == (
        ended,
        "failed",
        "new and more",
        False,
    )
    assert found.finished_at == NOON + SECOND


def test_of_a_long_log_the_end_is_read(database: Database) -> None:
    job, worker_id = make_job(database, name="nightly"), make_worker(database)
    run_id = make_run(database, job)
    claim(database, run_id, worker_id)
    write_log(database, run_id, "größe" * 10)
    finish(database, run_id)

    found = last_log(database, "nightly", limit_bytes=4)

    assert found is not None
    assert (found.text, found.is_cut) == ("ße", True)
