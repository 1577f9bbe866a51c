"""The starts of jobs-app: jobs with `on: start` fire on each once, whoever marks it."""

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from jobs_app.core.states import CatchupPolicy, JobState
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess, Start
from jobs_app.jobs import service, starts
from jobs_app.jobs.explain import explain
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TASKS,
    definition,
    make_job,
    record,
    runs_of,
)
from tests.factories import job as stored_job

ON_START = Schedule(on="start")
ALSO_HOURLY = Schedules((Schedule(cron="0 * * * *"), ON_START))


def mark(database: Database, start_id: UUID | None = None, *, at: datetime) -> set[int]:
    """Mark a start, that of an `up` with *start_id*; return the jobs that fire on it."""
    with database.session() as session:
        return {job.id for job in starts.mark(session, start_id, at=at)}


def start(database: Database, *, at: datetime) -> set[int]:
    """Mark a start of an `up` that is new."""
    return mark(database, uuid4(), at=at)


def fires(database: Database, job: Job) -> list[tuple[datetime, str]]:
    return [(run.instant, str(run.state)) for run in runs_of(database, job)]


def test_a_start_is_a_fire_and_the_job_waits_for_the_next_one(database: Database) -> None:
    job = make_job(database, schedule=ON_START, overlap_policy="allow_all")
    other = make_job(database, cron="0 13 * * *")
    assert (job.state, job.next_fire_at) == (JobState.ACTIVE, None)

    due = start(database, at=NOON)
    recorded = record(database, job, other, at=NOON + SECOND)
    after = stored_job(database, job.name)
    start(database, at=NOON + HOUR)
    record(database, job, at=NOON + HOUR)

    assert due == {job.id}
    assert len(recorded.messages) == 1
    assert recorded.due[job.id] is None
    assert (after.state, after.next_fire_at, after.runs_started) == (JobState.ACTIVE, None, 1)
    assert fires(database, job) == [(NOON, "queued"), (NOON + HOUR, "queued")]


def test_the_same_start_is_marked_once_however_often_its_scheduler_starts(
    database: Database,
) -> None:
    job = make_job(database, schedule=ON_START)
    up = uuid4()

    first = mark(database, up, at=NOON)
    record(database, job, at=NOON)
    again = [mark(database, up, at=NOON + number * HOUR) for number in range(1, 4)]

    assert (first, again) == ({job.id}, [set()] * 3)
    assert fires(database, job) == [(NOON, "queued")]


def test_several_processes_mark_one_start_once(database: Database) -> None:
    job = make_job(database, schedule=ON_START)
    up, due = uuid4(), []
    barrier = threading.Barrier(4)

    def scheduler() -> None:
        barrier.wait()
        due.append(mark(database, up, at=NOON))

    threads = [threading.Thread(target=scheduler) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record(database, job, at=NOON)

    assert sorted(due, key=len) == [set(), set(), set(), {job.id}]
    assert fires(database, job) == [(NOON, "queued")]


def test_schedulers_without_up_that_start_together_are_one_start(database: Database) -> None:
    job = make_job(database, schedule=ON_START)
    due = []
    barrier = threading.Barrier(3)

    def scheduler(number: int) -> None:
        barrier.wait()
        due.append(mark(database, at=NOON + number * SECOND))

    threads = [threading.Thread(target=scheduler, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(due, key=len) == [set(), set(), {job.id}]


@pytest.mark.parametrize("seconds, fires_on_it", [(29, False), (31, True)])
def test_a_scheduler_without_up_is_a_start_if_no_other_one_is_alive(
    database: Database, seconds: int, fires_on_it: bool
) -> None:
    job = make_job(database, schedule=ON_START)
    with database.session() as session, session.begin():
        columns = {"pid": 1, "is_active": True, "started_at": NOON, "ticked_at": NOON}
        session.add(SchedulerProcess(id=new_run_id(), name="other", **columns))

    due = mark(database, at=NOON + seconds * SECOND)

    assert due == ({job.id} if fires_on_it else set())


def pause(database: Database, job: Job, *, at: datetime) -> None:
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=at)


def resume(database: Database, job: Job, *, at: datetime, **given: Any) -> None:
    with database.session() as session:
        service.resume(session, stored_job(database, job.name), by="ann", at=at, **given)


def test_a_start_before_the_job_or_during_its_pause_is_no_fire(database: Database) -> None:
    start(database, at=NOON - HOUR)
    new, paused = (make_job(database, schedule=ON_START) for _ in range(2))
    pause(database, paused, at=NOON)

    due = start(database, at=NOON + MINUTE)
    resume(database, paused, at=NOON + HOUR)
    record(database, new, paused, at=NOON + HOUR)

    assert due == {new.id}
    assert len(runs_of(database, new)) == 1
    assert runs_of(database, paused) == []
    assert stored_job(database, paused.name).state is JobState.ACTIVE


def test_a_resume_may_catch_up_with_the_starts_of_the_pause(database: Database) -> None:
    job = make_job(database, schedule=ON_START, overlap_policy="allow_all")
    start(database, at=NOON - SECOND)
    record(database, job, at=NOON - SECOND)
    pause(database, job, at=NOON)
    start(database, at=NOON + HOUR)
    start(database, at=NOON + 2 * HOUR)

    resume(database, job, at=NOON + 3 * HOUR, on_missed="last")

    instants = [instant for instant, _ in fires(database, job)]
    assert instants == [NOON - SECOND, NOON + 2 * HOUR]


def test_a_start_does_not_hide_the_fires_of_other_schedules(database: Database) -> None:
    options: dict[str, Any] = {
        "overlap_policy": "allow_all",
        "catchup_policy": CatchupPolicy.ALL,
    }
    job = make_job(database, schedule=ALSO_HOURLY, **options)

    start(database, at=NOON - 30 * SECOND)
    record(database, job, at=NOON - 30 * SECOND)
    # Nothing ticks for an hour and a half: two fires are overdue when jobs-app starts again.
    due = start(database, at=NOON + 90 * MINUTE)
    record(database, job, at=NOON + 90 * MINUTE + SECOND)

    assert due == set()
    assert [instant for instant, _ in fires(database, job)] == [
        NOON - 30 * SECOND,
        NOON,
        NOON + HOUR,
        NOON + 90 * MINUTE,
    ]
    assert stored_job(database, job.name).next_fire_at == NOON + 2 * HOUR


def test_a_start_and_a_tick_at_once_lose_no_fire(database: Database) -> None:
    """Whichever is first, the overdue fire and the start are on record in the end."""
    options: dict[str, Any] = {
        "overlap_policy": "allow_all",
        "catchup_policy": CatchupPolicy.ALL,
    }
    jobs = [make_job(database, schedule=ALSO_HOURLY, **options) for _ in range(6)]
    began = NOON + 10 * MINUTE
    barrier = threading.Barrier(2)

    def tick() -> None:
        barrier.wait()
        for _ in range(4):
            record(database, *jobs, at=began + SECOND)

    scheduler = threading.Thread(target=tick)
    scheduler.start()
    barrier.wait()
    start(database, at=began)
    scheduler.join()
    record(database, *jobs, at=began + 2 * SECOND)

    for job in jobs:
        assert [instant for instant, _ in fires(database, job)] == [NOON, began]
        assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_the_last_run_of_max_runs_ends_the_job(database: Database) -> None:
    job = make_job(database, schedule=ON_START, max_runs=1)

    start(database, at=NOON)
    record(database, job, at=NOON)

    assert stored_job(database, job.name).state is JobState.ENDED
    assert start(database, at=NOON + HOUR) == set()


def test_an_edit_before_the_tick_keeps_the_fire_of_a_start(database: Database) -> None:
    job = make_job(database, schedule=ON_START)
    start(database, at=NOON)

    with database.session() as session:
        wanted = definition(name=job.name, cron="0 3 * * *")
        service.change(session, job, wanted, version=None, app=TASKS, by="ann", at=NOON + SECOND)
    record(database, job, at=NOON + 2 * SECOND)

    assert fires(database, job) == [(NOON, "queued")]


def test_a_jitter_spreads_the_runs_of_a_start(database: Database) -> None:
    job = make_job(database, schedule=Schedule(on="start", jitter_seconds=600))

    start(database, at=NOON)
    due_at = stored_job(database, job.name).next_due_at
    assert due_at is not None
    early = record(database, job, at=due_at - SECOND)
    record(database, job, at=due_at)

    assert NOON < due_at <= NOON + timedelta(seconds=600)
    assert early.rows == 0
    assert fires(database, job) == [(NOON, "queued")]


def test_the_newest_start_explains_the_job(database: Database) -> None:
    job = make_job(database, schedule=ON_START)
    with database.reading() as session:
        before = explain(session, job.name, None, at=NOON)
    start(database, at=NOON)
    record(database, job, at=NOON)

    with database.reading() as session:
        after = explain(session, job.name, None, at=NOON + HOUR)

    assert before.verdict == "will_run"
    assert "when jobs-app starts next" in before.sentence
    assert before.run is None
    assert after.verdict == "will_run"
    assert after.run == runs_of(database, job)[0].id


def test_only_the_newest_starts_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "MOST_STARTS", 2)
    for number in range(5):
        start(database, at=NOON + number * HOUR)

    with database.reading() as session:
        assert session.scalar(select(func.min(Start.at))) == NOON + 3 * HOUR
