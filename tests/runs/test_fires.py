"""Recording fires: one row a fire, and the advance with it, in one transaction."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import update

from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy, RunState, Trigger
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.jobs import service
from jobs_app.runs import fires, overlap
from jobs_app.runs.insert import insert_runs, new_run
from jobs_app.schedules import union as schedules
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    TASKS,
    claim,
    definition,
    finish,
    make_job,
    make_run,
    make_worker,
    record,
    run,
    runs_of,
)
from tests.factories import job as stored_job


def test_a_due_fire_becomes_one_queued_run_and_the_job_moves_on(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")

    recorded = record(database, job, at=NOON)

    (run_row,) = runs_of(database, job)
    assert (run_row.scheduled_for, run_row.state) == (NOON, RunState.QUEUED)
    assert [message.run_id for message in recorded.messages] == [run_row.id]
    assert recorded.due == {job.id: NOON + HOUR}
    assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_several_schedules_are_followed_as_one(database: Database) -> None:
    parts = (
        Schedule(cron="0 * * * *"),
        Schedule(at=NOON + 10 * MINUTE),
        Schedule(cron="0 12 * * *"),
    )
    job = make_job(database, schedule=Schedules(parts), overlap_policy=OverlapPolicy.ALLOW_ALL)
    assert schedule_of(job) == schedules.seeded(Schedules(parts), job.name)

    record(database, job, at=NOON + SECOND)
    moved_to = stored_job(database, job.name).next_fire_at
    record(database, job, at=NOON + 11 * MINUTE)

    assert moved_to == NOON + 10 * MINUTE
    assert [row.scheduled_for for row in runs_of(database, job)] == [NOON, NOON + 10 * MINUTE]
    assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_a_second_tick_for_the_same_fire_adds_no_run(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")

    record(database, job, at=NOON)
    again = record(database, job, at=NOON + 2 * SECOND)

    assert [row.scheduled_for for row in runs_of(database, job)] == [NOON]
    assert again.messages == []


def test_two_schedulers_at_once_record_a_fire_once(database: Database) -> None:
    due = [make_job(database, cron="0 * * * *") for _ in range(20)]
    barrier = threading.Barrier(2)
    messages: list[object] = []

    def tick() -> None:
        barrier.wait()
        for _ in range(3):
            messages.extend(record(database, *due, at=NOON).messages)

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(messages) == 20
    assert all(len(runs_of(database, job)) == 1 for job in due)


def test_a_fire_of_a_calendar_interval_is_followed_by_one_at_its_local_time(
    database: Database,
) -> None:
    start = datetime(2026, 10, 23, 7, tzinfo=UTC)
    schedule = {"every": "1 week", "anchor_at": start, "timezone": "Europe/Paris"}
    job, other = (make_job(database, at=start - HOUR, **schedule) for _ in range(2))

    record(database, job, other, at=start)

    assert [run.scheduled_for for run in runs_of(database, job)] == [start]
    # A week and an hour later: the clock was set back.
    assert stored_job(database, other.name).next_fire_at == start + timedelta(days=7, hours=1)


def test_a_clock_that_was_set_back_fires_nothing_twice(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    record(database, job, at=NOON)

    record(database, job, at=NOON - HOUR)
    record(database, job, at=NOON)

    assert len(runs_of(database, job)) == 1


def test_a_row_for_the_fire_that_is_there_already_is_kept(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=OverlapPolicy.ALLOW_ALL)
    present = new_run(
        job,
        run_id=new_run_id(),
        state=RunState.QUEUED,
        trigger=Trigger.BACKFILL,
        at=NOON,
        scheduled_for=NOON,
    )
    with database.session() as session:
        insert_runs(session, [present])
        session.commit()

    recorded = record(database, job, at=NOON)

    assert [row.id for row in runs_of(database, job)] == [present.id]
    assert recorded.messages == []
    assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_a_fire_during_another_run_is_on_record_as_skipped(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    make_run(database, job)

    recorded = record(database, job, at=NOON)

    skipped = [row for row in runs_of(database, job) if row.scheduled_for == NOON]
    assert [(row.state, row.reason) for row in skipped] == [(RunState.SKIPPED, "overlap")]
    assert recorded.messages == []


def test_allow_all_starts_a_second_run_beside_the_first(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=OverlapPolicy.ALLOW_ALL)

    record(database, job, at=NOON)
    record(database, job, at=NOON + HOUR)

    assert [row.state for row in runs_of(database, job)] == ["queued", "queued"]


def test_cancel_other_ends_what_runs_and_waits_for_its_place(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=OverlapPolicy.CANCEL_OTHER)
    old = make_run(database, job)
    claim(database, old, make_worker(database))

    recorded = record(database, job, at=NOON)

    assert run(database, old).cancel_mode == "graceful"
    assert recorded.promote == [job.id]
    (new,) = [row for row in runs_of(database, job) if row.scheduled_for == NOON]
    assert new.state is RunState.WAITING
    finish(database, old, RunState.CANCELLED)
    with database.session() as session:
        message = overlap.promote(session, job.id, at=NOON)
    assert message is not None
    assert message.run_id == new.id


def test_one_schedule_that_cannot_be_worked_out_does_not_stop_the_others(
    database: Database,
) -> None:
    good, bad = make_job(database, cron="0 * * * *"), make_job(database, cron="0 * * * *")
    with database.session() as session, session.begin():
        broken = update(Job).where(Job.id == bad.id)
        session.execute(broken.values(timezone="Mars/Olympus"))

    recorded = record(database, good, bad, at=NOON)

    assert len(recorded.messages) == 1
    assert len(runs_of(database, good)) == 1
    left = stored_job(database, bad.name)
    assert left.scheduling_error is not None
    assert "Mars/Olympus" in left.scheduling_error
    assert recorded.due[bad.id] == NOON + MINUTE
    assert left.next_fire_at == NOON


def test_a_fire_that_was_put_off_comes_on_record_before_its_job_is_paused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(database, cron="0 * * * *")
    with monkeypatch.context() as broken:
        broken.setattr(fires, "plan", Mock(side_effect=LookupError("simulated")))
        record(database, job, at=NOON)

    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON + SECOND)

    assert [row.scheduled_for for row in runs_of(database, job)] == [NOON]


def test_the_entry_of_a_deleted_job_is_removed(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=NOON - SECOND)

    recorded = record(database, job, at=NOON)

    assert recorded.due == {job.id: None}
    assert runs_of(database, job) == []


def test_a_paused_job_does_not_fire(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND)

    record(database, job, at=NOON)

    assert runs_of(database, job) == []


def test_a_job_with_one_instant_ends_when_it_has_fired(database: Database) -> None:
    job = make_job(database, once_at=NOON)

    record(database, job, at=NOON)

    assert len(runs_of(database, job)) == 1
    assert stored_job(database, job.name).state is JobState.ENDED


def test_the_database_finds_what_redis_forgot(database: Database) -> None:
    due, later = make_job(database, cron="0 * * * *"), make_job(database, cron="30 * * * *")

    with database.reading() as session:
        assert fires.overdue_jobs(session, at=NOON - SECOND, limit=10) == []
        assert fires.overdue_jobs(session, at=NOON, limit=10) == [due.id]
        assert fires.overdue_jobs(session, at=NOON + 30 * MINUTE, limit=10) == [due.id, later.id]


@pytest.mark.parametrize(
    "on_missed, expected",
    [("skip", []), ("last", [NOON + 2 * HOUR]), ("all", [NOON, NOON + HOUR, NOON + 2 * HOUR])],
)
@pytest.mark.parametrize("policy", list(OverlapPolicy))
def test_resume_runs_only_what_it_is_asked_to(
    database: Database, on_missed: service.OnMissed, expected: list[object], policy: OverlapPolicy
) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=policy)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND)
    at = NOON + timedelta(hours=2, minutes=30)

    with database.session() as session:
        service.resume(session, job, on_missed=on_missed, by="ann", at=at)

    assert [row.scheduled_for for row in runs_of(database, job)] == expected
    assert stored_job(database, job.name).next_fire_at == NOON + 3 * HOUR


def test_late_fires_run_one_after_the_other_under_skip(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", catchup_policy=CatchupPolicy.ALL)
    record(database, job, at=NOON + timedelta(hours=2, minutes=30))
    worker = make_worker(database)
    started = []

    for row in runs_of(database, job):
        claim(database, row.id, worker, at=NOON + timedelta(hours=3))
        started.append([str(other.state) for other in runs_of(database, job)])
        finish(database, row.id, at=NOON + timedelta(hours=3))
        with database.session() as session:
            overlap.promote(session, job.id, at=NOON + timedelta(hours=3))

    assert started == [
        ["running", "waiting", "waiting"],
        ["succeeded", "running", "waiting"],
        ["succeeded", "succeeded", "running"],
    ]


def change(database: Database, job: Job, *, at: datetime, **values: Any) -> None:
    with database.session() as session:
        wanted = definition(**({"name": job.name, "cron": "0 * * * *"} | values))
        service.change(session, job, wanted, version=None, app=TASKS, by="ann", at=at)


def test_a_fire_of_a_job_that_only_watches_is_on_record_and_nobody_runs_it(
    database: Database,
) -> None:
    watching = make_job(database, cron="0 * * * *", observe=True, max_runs=1)
    other = make_job(database, cron="0 * * * *")

    recorded = record(database, watching, other, at=NOON + SECOND)

    (row,) = runs_of(database, watching)
    assert (row.state, row.scheduled_for, row.finished_at) == ("observed", NOON, NOON + SECOND)
    assert (row.queued_at, row.send_at, row.started_at) == (None, None, None)
    (queued,) = runs_of(database, other)
    assert [message.run_id for message in recorded.messages] == [queued.id]
    assert claim(database, row.id, make_worker(database)) is None
    moved = stored_job(database, watching.name)
    assert (moved.next_fire_at, moved.runs_started) == (NOON + HOUR, 0)


def test_a_fire_that_is_due_at_a_switch_is_recorded_as_before_it(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", observe=True)

    change(database, job, at=NOON + SECOND)
    record(database, job, at=NOON + 2 * SECOND)
    record(database, job, at=NOON + HOUR)
    change(database, job, at=NOON + 2 * HOUR, observe=True)
    record(database, job, at=NOON + 3 * HOUR)

    fires = [(row.scheduled_for, str(row.state)) for row in runs_of(database, job)]
    assert fires == [
        (NOON, "observed"),
        (NOON + HOUR, "queued"),
        (NOON + 2 * HOUR, "skipped"),
        (NOON + 3 * HOUR, "observed"),
    ]


def test_a_switch_loses_no_fire_that_its_jitter_puts_off(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", jitter_seconds=1800, observe=True)
    due_at = stored_job(database, job.name).next_due_at
    assert due_at is not None
    assert due_at > NOON

    change(database, job, at=NOON, jitter_seconds=1800)
    record(database, job, at=due_at)

    assert [(row.scheduled_for, str(row.state)) for row in runs_of(database, job)] == [
        (NOON, "queued")
    ]


def test_a_switch_and_a_scheduler_at_once_record_a_fire_once(database: Database) -> None:
    jobs = [make_job(database, cron="0 * * * *", observe=True) for _ in range(8)]
    barrier = threading.Barrier(2)

    def tick() -> None:
        barrier.wait()
        for _ in range(3):
            record(database, *jobs, at=NOON)

    scheduler = threading.Thread(target=tick)
    scheduler.start()
    barrier.wait()
    for job in jobs:
        change(database, job, at=NOON)
    scheduler.join()

    for job in jobs:
        assert [(row.scheduled_for, str(row.state)) for row in runs_of(database, job)] == [
            (NOON, "observed")
        ]
        assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_a_resume_of_a_job_that_only_watches_catches_up_with_nothing(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", observe=True)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON - SECOND)
    with database.session() as session:
        resumed = stored_job(database, job.name)
        at = NOON + 2 * HOUR + MINUTE
        service.resume(session, resumed, on_missed="all", by="ann", at=at)

    assert runs_of(database, job) == []
    assert stored_job(database, job.name).runs_started == 0
