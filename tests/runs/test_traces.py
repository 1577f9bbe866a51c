"""Finished runs as spans: one for the run, and one for each attempt, on both databases."""

from sqlalchemy import true

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.traces import Span, read_spans, span_id
from tests.factories import MINUTE, NOON, SECOND, claim, finish, make_job, make_run, make_worker


def spans(database: Database) -> list[Span]:
    with database.reading() as session:
        return read_spans(session, true())


def test_a_run_has_a_span_and_one_for_each_attempt(database: Database) -> None:
    job = make_job(database, name="nightly")
    run_id, worker_id = make_run(database, job), make_worker(database)
    claim(database, run_id, worker_id, at=NOON + SECOND)
    retry = RetryPolicy(max_attempts=2, delay_seconds=1)
    error = RunError("OSError", "the disk is full of secrets")
    finish(database, run_id, RunState.FAILED, at=NOON + 2 * SECOND, retry=retry, error=error)
    with database.session() as session:
        queue_due_retries(session, at=NOON + MINUTE)
    claim(database, run_id, worker_id, attempt=2, at=NOON + MINUTE)
    finish(database, run_id, attempt=2, at=NOON + MINUTE + SECOND)

    whole, first, second = spans(database)

    assert [span.name for span in (whole, first, second)] == ["nightly", "attempt 1", "attempt 2"]
    assert {span.trace_id for span in (whole, first, second)} == {run_id}
    assert whole.parent_id is None
    assert first.parent_id == second.parent_id == whole.span_id
    assert len({whole.span_id, first.span_id, second.span_id}) == 3
    assert second.span_id == span_id(run_id, 2)
    assert (whole.started_at, whole.ended_at) == (NOON, NOON + MINUTE + SECOND)
    assert (first.started_at, first.ended_at) == (NOON + SECOND, NOON + 2 * SECOND)
    assert [span.error for span in (whole, first, second)] == [None, "OSError", None]
    assert second.attributes["jobs_app.worker"] == "worker@test"
    assert whole.attributes["jobs_app.run.attempts"] == 2


def test_what_never_ran_or_still_runs_has_no_span(database: Database) -> None:
    make_run(database)
    running = make_run(database)
    claim(database, running, make_worker(database))

    assert spans(database) == []
