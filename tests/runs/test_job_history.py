"""The newest runs of one job in short."""

from datetime import timedelta

from sqlalchemy import update

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.job_history import ERROR_CHARS, beside, newest
from tests.factories import MINUTE, NOON, make_job, make_run
from tests.plans import captured, kept_plans


def test_a_job_has_its_newest_runs_in_one_statement(database: Database) -> None:
    job, other = (make_job(database, schedule=None) for _ in range(2))
    ids = []
    for number in range(5):
        at = NOON + number * MINUTE
        fired = {"scheduled_for": at} if number % 2 else {}
        ids.append(make_run(database, job, state=RunState.SUCCEEDED, at=at, **fired))
    make_run(database, other)

    with captured(database, "SELECT") as statements, database.reading() as session:
        runs = newest(session, job.id, limit=3)

    assert [run.id for run in runs] == ids[:1:-1]
    assert len(statements) == 1


def test_a_run_knows_how_long_it_took_and_how_late_it_began(database: Database) -> None:
    job = make_job(database, schedule=None)
    start, end = NOON + timedelta(seconds=2), NOON + timedelta(seconds=5)
    error = {"type": "Broken", "message": "x" * 2 * ERROR_CHARS, "traceback": None}
    run_id = make_run(database, job, state=RunState.FAILED, scheduled_for=NOON)
    values = {"started_at": start, "finished_at": end, "error": error, "attempt": 1}
    with database.session() as session:
        session.execute(update(Run).where(Run.id == run_id).values(values))
        session.commit()

    with database.reading() as session:
        (run,) = newest(session, job.id, limit=3)

    assert (run.duration_seconds, run.delay_seconds) == (3.0, 2.0)
    assert (run.error_type, run.error_message) == ("Broken", "x" * ERROR_CHARS)


def test_a_run_that_did_not_start_took_no_time(database: Database) -> None:
    job = make_job(database, schedule=None)
    make_run(database, job, state=RunState.MISSED, scheduled_for=NOON)

    with database.reading() as session:
        (run,) = newest(session, job.id, limit=3)

    assert (run.duration_seconds, run.delay_seconds) == (None, None)


def test_a_run_has_an_older_and_a_newer_one_of_its_job(database: Database) -> None:
    job, other = (make_job(database, schedule=None) for _ in range(2))
    ids = []
    for number in range(6):
        # Two of them, a fire and a start by hand, have the same instant.
        at = NOON + number // 2 * MINUTE
        fired = {"scheduled_for": at} if number % 2 else {}
        ids.append(make_run(database, job, state=RunState.SUCCEEDED, at=at, **fired))
        make_run(database, other, state=RunState.SUCCEEDED, at=at)
    alone = make_run(database)

    with database.reading() as session:
        runs = [history.get(session, run_id) for run_id in ids]
        with captured(database, "SELECT") as statements:
            found = [beside(session, run) for run in runs]
        assert beside(session, history.get(session, alone)) == (None, None)

    assert found == list(zip([None, *ids], [*ids[1:], None], strict=False))
    assert len(statements) == len(ids)
    plan = "\n".join(kept_plans(database, lambda session: beside(session, runs[0])))
    if database.engine.dialect.name == "sqlite":
        assert "TEMP B-TREE" not in plan
        assert "SCAN runs" not in plan
