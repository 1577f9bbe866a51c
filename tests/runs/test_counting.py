"""Counting runs for /metrics: each once, whatever finished it, on both databases."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from jobs_app.core import clock
from jobs_app.core.job_series import JobSeries
from jobs_app.core.states import RunState, Trigger
from jobs_app.db.columns import first_id_at
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.metrics import MetricCounter, RunCounting, UncountedRun
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.runs import counting
from jobs_app.runs.cancel import purge
from jobs_app.runs.counting import SETTLING, RunCounter
from jobs_app.runs.traces import Span
from tests.factories import NOON, SECOND, claim, finish, make_job, make_run, make_worker

ALL_JOBS = JobSeries(100)


def _later() -> datetime:
    """Return an instant at which all runs of the test are old enough to be counted."""
    return clock.now() + SETTLING + timedelta(seconds=1)


@pytest.fixture
def counter(database: Database) -> RunCounter:
    """A counter that has begun: it counts the runs from now on."""
    begun = RunCounter(database, ALL_JOBS)
    begun.step(at=clock.now() + SETTLING - timedelta(seconds=1))
    return begun


def _values(database: Database, name: str, **where: Any) -> dict[tuple[int, str], float]:
    statement = select(MetricCounter).filter_by(name=name, **where)
    with database.reading() as session:
        rows = session.scalars(statement)
        return {(row.job_id, row.label): row.value for row in rows}


def _buckets(database: Database, name: str) -> dict[str, float]:
    return {label: value for (_, label), value in _values(database, name).items()}


def _finished(database: Database, job: Job | None, seconds: float = 1.0) -> None:
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))
    finish(database, run_id, at=NOON + seconds * SECOND)


def test_a_finished_run_is_counted_once(database: Database, counter: RunCounter) -> None:
    job = make_job(database)
    _finished(database, job, seconds=20)

    for _ in range(3):
        counter.step(at=_later())

    assert _values(database, counting.FINISHED) == {(job.id, "succeeded"): 1}
    assert _buckets(database, counting.DURATION) == {"60": 1, "sum": pytest.approx(20, abs=0.001)}
    assert _buckets(database, counting.WAIT) == {"0.05": 1}
    assert _values(database, counting.RETRIES) == {}


def test_a_run_is_counted_when_it_ends_and_not_before(
    database: Database, counter: RunCounter
) -> None:
    run_id = make_run(database)
    counter.step(at=_later())
    before = _values(database, counting.FINISHED)
    claim(database, run_id, make_worker(database))

    finish(database, run_id, RunState.FAILED)
    counter.step(at=_later() + SECOND)
    counter.step(at=_later() + 2 * SECOND)

    assert before == {}
    assert _values(database, counting.FINISHED) == {(counting.NO_JOB, "failed"): 1}
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(UncountedRun)) == 0


def test_the_runs_of_before_count_only_if_they_are_under_way(database: Database) -> None:
    old, under_way = make_run(database), make_run(database)
    worker_id = make_worker(database)
    claim(database, old, worker_id)
    finish(database, old)
    counter = RunCounter(database, ALL_JOBS)
    counter.step(at=_later())

    claim(database, under_way, worker_id)
    finish(database, under_way)
    counter.step(at=_later() + SECOND)

    assert _values(database, counting.FINISHED) == {(counting.NO_JOB, "succeeded"): 1}


def test_two_counters_count_each_run_once(database: Database, counter: RunCounter) -> None:
    _finished(database, None)
    step = RunCounter(database, ALL_JOBS)
    with database.reading() as session:
        first = session.scalar(select(RunCounting.next_id))
        assert first is not None
        read = step._read(session, first, first_id_at(_later()))
    assert read is not None

    counter.step(at=_later())
    step._write(read)

    assert _values(database, counting.FINISHED) == {(counting.NO_JOB, "succeeded"): 1}


def test_what_one_step_does_not_reach_the_next_one_counts(
    database: Database, counter: RunCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MAX_RUNS", 2)
    waiting = [make_run(database) for _ in range(5)]
    at = _later()
    assert [counter.step(at=at) for _ in range(4)] == [True, True, False, False]
    worker_id = make_worker(database)
    for run_id in waiting:
        claim(database, run_id, worker_id)
        finish(database, run_id)

    for number in range(4):
        counter.step(at=at + (number + 1) * SECOND)

    assert _values(database, counting.FINISHED) == {(counting.NO_JOB, "succeeded"): 5}


def test_a_run_that_is_deleted_before_it_ends_is_forgotten(
    database: Database, counter: RunCounter
) -> None:
    run_id = make_run(database)
    counter.step(at=_later())

    with database.session() as session, session.begin():
        purge(session, [run_id])
    counter.step(at=_later() + SECOND)

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(UncountedRun)) == 0


def test_fires_are_counted_by_what_became_of_them(database: Database, counter: RunCounter) -> None:
    fires: list[dict[str, Any]] = [
        {"state": RunState.QUEUED, "trigger": Trigger.SCHEDULE},
        {"state": RunState.SKIPPED, "trigger": Trigger.SCHEDULE, "reason": "overlap"},
        {"state": RunState.MISSED, "trigger": Trigger.CATCHUP, "reason": "outage"},
        {"state": RunState.OBSERVED, "trigger": Trigger.SCHEDULE},
        {"state": RunState.QUEUED, "trigger": Trigger.MANUAL},
    ]
    for number, fire in enumerate(fires):
        run_id = make_run(database, make_job(database), **fire)
        at = NOON + number * SECOND if fire["trigger"] != Trigger.MANUAL else None
        values = {"scheduled_for": at, "fires": 40 if fire["state"] is RunState.MISSED else 1}
        with database.session() as session, session.begin():
            session.execute(update(Run).where(Run.id == run_id).values(**values))

    counter.step(at=_later())

    assert _values(database, counting.FIRES) == {
        (0, "run"): 1,
        (0, "skipped"): 1,
        (0, "missed"): 40,
        (0, "observed"): 1,
    }


def test_jobs_beyond_the_limit_count_together_and_keep_doing_so(database: Database) -> None:
    counter = RunCounter(database, JobSeries(1))
    counter.step(at=clock.now() + SETTLING - timedelta(seconds=1))
    first, second = make_job(database), make_job(database)
    for job in (first, second, second):
        _finished(database, job)
    # Not later: the runs that follow are to be new.
    counter.step(at=clock.now() + SETTLING)

    with database.session() as session:
        service.remove(session, first, version=None, by="tester", at=NOON - SECOND)
        session.commit()
    _finished(database, second)
    counter.step(at=_later() + SECOND)

    # The deleted job makes room; the others never fall.
    assert _values(database, counting.FINISHED) == {
        (counting.OTHER_JOBS, "succeeded"): 2,
        (second.id, "succeeded"): 1,
    }


def test_the_database_sums_the_jobs_beyond_the_limit(database: Database) -> None:
    counter = RunCounter(database, JobSeries(1))
    counter.step(at=clock.now() + SETTLING - timedelta(seconds=1))
    jobs = [make_job(database) for _ in range(3)]
    for job in jobs:
        _finished(database, job)

    with database.reading() as session:
        first = session.scalar(select(RunCounting.next_id))
        assert first is not None
        read = counter._read(session, first, first_id_at(_later()))

    assert read is not None
    assert {key.job_id for key in read.amounts if key.name == counting.FINISHED} == {
        jobs[0].id,
        counting.OTHER_JOBS,
    }


def test_only_jobs_that_the_setting_names_count_alone(database: Database) -> None:
    counter = RunCounter(database, JobSeries(10, ("backup-*",)))
    counter.step(at=clock.now() + SETTLING - timedelta(seconds=1))
    named, other = make_job(database, name="backup-1"), make_job(database)
    for job in (named, other, None):
        _finished(database, job)

    counter.step(at=_later())

    assert set(_values(database, counting.FINISHED)) == {
        (named.id, "succeeded"),
        (counting.OTHER_JOBS, "succeeded"),
        (counting.NO_JOB, "succeeded"),
    }


def test_without_news_nothing_is_written(database: Database, counter: RunCounter) -> None:
    counter.step(at=_later())
    with database.reading() as session:
        before = session.scalar(select(RunCounting.next_id))

    counter.step(at=_later() + timedelta(hours=1))
    counter.step(at=_later() - timedelta(days=1))

    with database.reading() as session:
        assert session.scalar(select(RunCounting.next_id)) == before


def test_each_finished_run_is_handed_on_as_a_trace_once(database: Database) -> None:
    spans: list[Span] = []
    counter = RunCounter(database, ALL_JOBS, on_spans=spans.extend)
    counter.step(at=clock.now() + SETTLING - timedelta(seconds=1))
    make_run(database)
    _finished(database, None)

    for _ in range(3):
        counter.step(at=_later())

    assert [span.name for span in spans] == ["sleep", "attempt 1"]
