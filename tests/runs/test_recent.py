"""The last runs of several jobs."""

from jobs_app.accounts import tag_limit
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs import job_history
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.recent import recent_runs
from jobs_app.runs.retry import RetryPolicy
from tests.factories import (
    MINUTE,
    NOON,
    SECOND,
    claim,
    finish,
    make_job,
    make_run,
    make_worker,
)
from tests.plans import captured

RETRY = RetryPolicy(max_attempts=2)


def test_each_job_has_its_last_runs_oldest_first(database: Database) -> None:
    often, once, never = (make_job(database, schedule=None) for _ in range(3))
    ids = []
    for number in range(5):
        fired = {"scheduled_for": NOON + number * MINUTE} if number % 2 else {}
        at = NOON + number * MINUTE
        ids.append(make_run(database, often, state=RunState.FAILED, at=at, **fired))
    only = make_run(database, once)

    with captured(database, "SELECT") as statements, database.reading() as session:
        recent = recent_runs(session, [often.id, once.id, never.id], limit=3)

    assert [run.id for run in recent[often.id]] == ids[2:]
    assert [run.instant for run in recent[often.id]] == [NOON + n * MINUTE for n in (2, 3, 4)]
    assert [(run.id, run.state) for run in recent[once.id]] == [(only, RunState.QUEUED)]
    assert never.id not in recent
    assert len(statements) == 1


def test_the_runs_of_jobs_without_the_tags_of_a_caller_are_left_out(database: Database) -> None:
    seen, hidden = (make_job(database, tags=(tag,)) for tag in ("ops", "billing"))
    for job in (seen, hidden):
        make_run(database, job)

    with database.session() as session:
        tag_limit.limit(session, frozenset({"ops"}))
        recent = recent_runs(session, [seen.id, hidden.id])

    assert recent.keys() == {seen.id}


def test_a_run_with_several_attempts_took_the_time_of_all(database: Database) -> None:
    job, worker_id = make_job(database), make_worker(database)
    run_id = make_run(database, job)
    claim(database, run_id, worker_id, at=NOON)
    finish(database, run_id, RunState.FAILED, retry=RETRY, at=NOON + SECOND)
    with database.session() as session:
        queue_due_retries(session, at=NOON + MINUTE)
    claim(database, run_id, worker_id, attempt=2, at=NOON + MINUTE)
    finish(database, run_id, attempt=2, at=NOON + 2 * MINUTE)

    with database.reading() as session:
        (recent,) = recent_runs(session, [job.id])[job.id]
        (summary,) = job_history.newest(session, job.id, limit=9)

    assert (recent.started_at, recent.duration_seconds) == (NOON, 120)
    assert (summary.started_at, summary.duration_seconds) == (NOON, 120)
