"""Lists of runs: what is found, and by which indexes."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.states import JobSort, RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import explain, listing, service, stats
from jobs_app.jobs.explain_when import When
from jobs_app.runs import history, job_history, pruning, status
from jobs_app.runs.history import Filter, Position
from jobs_app.runs.id_prefix import IdRange
from jobs_app.runs.recent import recent_runs
from jobs_app.runs.same_error import same_error
from tests.factories import DAY, HOUR, MINUTE, NOON, make_job, make_run, run
from tests.plans import ERROR, RUNS, plans
from tests.profiles import sqlite_nightly

FAILURES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)


def found(database: Database, wanted: Filter, *, limit: int = 50) -> list[UUID]:
    with database.reading() as session:
        return [each.id for each in history.page(session, wanted, before=None, limit=limit)[0]]


def failed(database: Database, number: int, message: str) -> UUID:
    """Record a run that failed with this message, so many minutes after noon."""
    run_id = make_run(database, state=RunState.FAILED, at=NOON + number * MINUTE)
    with database.session() as session, session.begin():
        session.get_one(Run, run_id).error = ERROR | {"message": message}
    return run_id


def test_words_are_found_also_beyond_what_is_looked_through(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SEARCHED_FIRST", 3)
    ids = [failed(database, number, f"batch {number % 2}") for number in range(10)]
    make_run(database, at=NOON + HOUR)
    even, odd = ids[::2], ids[1::2]

    assert found(database, Filter(q="BATCH 1")) == odd[::-1]
    assert found(database, Filter(q="batch 0"), limit=3) == even[:1:-1]
    assert found(database, Filter(q="batch 2")) == []
    with database.reading() as session:
        after = Position.of(run(database, odd[-1]))
        page, _ = history.page(session, Filter(q="batch 1"), before=after, limit=2)
    assert [each.id for each in page] == [odd[3], odd[2]]


def test_words_are_found_under_the_other_conditions(database: Database) -> None:
    first = failed(database, 1, "bad")
    second = failed(database, 2, "bad")
    noted = make_run(database, state=RunState.SUCCEEDED, at=NOON, note="a bad day")

    assert found(database, Filter(q="bad")) == [second, first, noted]
    assert found(database, Filter(q="bad", states=(RunState.FAILED,))) == [second, first]
    assert found(database, Filter(q="bad", until=NOON + 2 * MINUTE)) == [first, noted]
    assert found(database, Filter(q="bad", job="none")) == []
    assert found(database, Filter(q="bad", triggers=(Trigger.SCHEDULE,))) == []


def test_a_run_is_found_by_what_it_was_about_and_not_by_when_it_was_recorded(
    database: Database,
) -> None:
    owner = make_job(database)
    caught_up = make_run(
        database, owner, state=RunState.SUCCEEDED, at=NOON + DAY, scheduled_for=NOON
    )

    assert found(database, Filter(since=NOON, until=NOON + MINUTE)) == [caught_up]
    assert found(database, Filter(since=NOON + HOUR)) == []


def test_the_runs_of_many_jobs_that_had_one_name_are_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for number in range(4):
        owner = make_job(database, name="again", schedule=None)
        ids.append(make_run(database, owner, state=RunState.FAILED, at=NOON + number * MINUTE))
        with database.session() as session:
            service.remove(session, owner, version=None, by="ann", at=NOON - HOUR)

    assert found(database, Filter(job="again")) == ids[::-1]
    assert found(database, Filter(job="again", states=FAILURES)) == ids[::-1]
    monkeypatch.setattr(history, "MAX_RANGES", 3)
    assert found(database, Filter(job="again", states=FAILURES)) == ids[::-1]


def listed(**wanted: Any) -> Callable[[Session], object]:
    return lambda session: history.page(session, Filter(**wanted), before=None, limit=51)


def last_runs(session: Session) -> object:
    page, _ = listing.page(
        session, listing.Filter(last_state=(RunState.FAILED,)), after=None, limit=51, at=NOON
    )
    return listing.last_runs(session, [job.id for job, _ in page])


def in_order(sort: JobSort) -> Callable[[Session], object]:
    return lambda session: listing.page(
        session, listing.Filter(), after=None, limit=51, sort=sort, at=NOON
    )


MIDDLE = NOON + RUNS // 2 * MINUTE


def a_failed_run(session: Session) -> Run:
    (failed_run,), _ = history.page(session, Filter(states=FAILURES), before=None, limit=1)
    return failed_run


#: What is asked for, and the indexes that serve it.
LOOKS: dict[str, tuple[Callable[[Session], object], *tuple[str, ...]]] = {
    "all": (listed(), "ix_runs_instant", "ix_runs_unfinished"),
    "a job": (listed(job="job-3"), "uq_runs_fire", "ix_runs_without_fire"),
    "a state": (listed(states=(RunState.FAILED,)), "ix_runs_state"),
    "a state that none is in": (listed(states=(RunState.LOST,)), "ix_runs_state"),
    "a state of what is not over": (listed(states=(RunState.QUEUED,)), "ix_runs_unfinished"),
    "states": (listed(states=FAILURES), "ix_runs_state"),
    "a trigger": (listed(triggers=(Trigger.MANUAL,)), "ix_runs_trigger"),
    "triggers": (listed(triggers=(Trigger.MANUAL, Trigger.CATCHUP)), "ix_runs_trigger"),
    "a job by triggers": (
        listed(job="job-3", triggers=(Trigger.MANUAL, Trigger.CATCHUP)),
        "ix_runs_job_trigger",
    ),
    "the trigger of most": (
        listed(triggers=(Trigger.SCHEDULE,)),
        "ix_runs_instant",
        "ix_runs_unfinished",
    ),
    "to": (listed(until=MIDDLE), "ix_runs_instant"),
    "from and to": (listed(since=MIDDLE, until=MIDDLE + HOUR), "ix_runs_instant"),
    "words": (listed(q="no such"), "ix_runs_said"),
    "who started it": (listed(by="nobody"), "ix_runs_triggered_by"),
    "a job by who started it": (listed(by="nobody", job="job-3"), "ix_runs_triggered_by"),
    "a job in states": (listed(job="job-3", states=FAILURES), "ix_runs_outcome"),
    "a job in a state of what is not over": (
        listed(job="job-3", states=(RunState.QUEUED, RunState.WAITING)),
        "uq_runs_active",
        "ix_runs_beside",
        "ix_runs_awaited",
    ),
    "a job by a trigger": (listed(job="job-3", triggers=(Trigger.MANUAL,)), "ix_runs_job_trigger"),
    "the beginning of an id": (listed(ids=IdRange.read("0193583e8f")),),
    "words of a job": (listed(job="job-3", q="disk"), "ix_runs_job_said"),
    "a job from and to": (
        listed(job="job-3", since=MIDDLE, until=MIDDLE + DAY),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "jobs by their last runs": (last_runs, "uq_runs_fire", "ix_runs_without_fire"),
    "jobs that need attention": (in_order(JobSort.ATTENTION), "ix_runs_unfinished"),
    "jobs by their newest runs": (
        in_order(JobSort.LAST),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "jobs that stand somehow": (
        lambda session: listing.facets(session, at=NOON),
        "ix_runs_unfinished",
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "the last runs of jobs": (
        lambda session: recent_runs(session, session.scalars(select(Job.id))),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "the span of a job": (
        lambda session: pruning.span(session, 3),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "jobs with old runs": (
        lambda session: pruning.jobs_with_old_runs(
            session, after=0, limit=100, oldest=MIDDLE, keep_runs=10
        ),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "the n-th oldest of a job": (
        lambda session: pruning.nth_oldest(session, 3, 150),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "queues": (partial(status.queues, after="a", limit=201), "ix_runs_unfinished"),
    "keys": (partial(status.keys, after="a", limit=201), "ix_runs_unfinished"),
    "workers": (status.worker_states, "ix_runs_unfinished"),
    "explain": (
        lambda session: explain.explain(session, "job-3", When(MIDDLE, HOUR), at=MIDDLE + DAY),
        "ix_runs_folded",
    ),
    "a list from its first row, and what is newer": (
        lambda session: history.page_from(
            session, Filter(), Position.of(a_failed_run(session)), limit=51, most_newer=21
        ),
        "ix_runs_instant",
        "ix_runs_unfinished",
    ),
    "the runs beside a run": (
        lambda session: job_history.beside(session, a_failed_run(session)),
        "uq_runs_fire",
        "ix_runs_without_fire",
    ),
    "the same error": (
        lambda session: same_error(session, a_failed_run(session)),
        "ix_runs_outcome",
    ),
    "stats": (
        lambda session: stats.of_job(session, service.get(session, "job-3"), last=100),
        "ix_runs_outcome",
    ),
}


@sqlite_nightly
def test_no_list_reads_the_whole_history(long_history: Database) -> None:
    for name, (work, *indexes) in LOOKS.items():
        plan = plans(long_history, work)
        for index in indexes:
            assert index in plan, f"{name}: {plan}"
        # Neither in the order of the table, nor all of an index to be sorted.
        assert not re.search(r"Seq Scan on runs|SCAN runs(?! USING)", plan), f"{name}: {plan}"


@sqlite_nightly
def test_a_page_in_the_depth_costs_what_the_first_one_does(long_history: Database) -> None:
    with long_history.reading() as session:
        deep = session.scalars(select(Run).order_by(Run.id).offset(RUNS // 2).limit(1)).one()

    plan = plans(
        long_history,
        lambda session: history.page(session, Filter(), before=Position.of(deep), limit=51),
    )

    if long_history.engine.dialect.name == "postgresql":
        reading = r"Index Scan Backward using ix_runs_instant.*\n\s+Index Cond: .*ROW\("
        assert re.search(reading, plan), plan
    else:
        assert "SEARCH runs USING INDEX ix_runs_instant (<expr><?)" in plan


@sqlite_nightly
def test_deleting_a_run_or_a_worker_scans_no_history(long_history: Database) -> None:
    """The foreign keys that name them are looked up by an index each."""
    looks = {
        "SELECT 1 FROM runs WHERE retry_of = {}": "ix_runs_retry_of",
        "SELECT 1 FROM runs WHERE worker_id = {}": "ix_runs_worker",
    }
    with long_history.engine.connect() as connection:
        for statement, index in looks.items():
            if long_history.engine.dialect.name == "postgresql":
                asked = f"EXPLAIN {statement.format(repr(str(new_run_id())))}"
            else:
                asked = f"EXPLAIN QUERY PLAN {statement.format(repr(new_run_id().hex))}"
            plan = "\n".join(str(row[-1]) for row in connection.exec_driver_sql(asked))
            assert index in plan


def test_a_place_is_read_as_it_was_written() -> None:
    place = Position(NOON + timedelta(microseconds=7), new_run_id())

    assert Position.read(str(place)) == place
    for text in ("", "x", str(place.id), "0001-01-01T00:00:00+23:59 " + str(place.id)):
        with pytest.raises(ValueError, match=r"\S"):
            Position.read(text)
