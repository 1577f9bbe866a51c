"""The ledger: every fire that came due while a job was active is on record, with its reason."""

from collections.abc import Callable
from datetime import datetime

import pytest

from jobs_app.accounts import audit
from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs import dry_run, service
from jobs_app.runs.planning import MAX_ROWS
from tests.factories import (
    DAY,
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
    runs_of,
)
from tests.factories import job as stored_job

Outcomes = list[tuple[datetime, str, str | None]]


def outcomes_of(database: Database, job: Job) -> Outcomes:
    # The run has a job: it has an instant.
    return [(row.scheduled_for, str(row.state), row.reason) for row in runs_of(database, job)]  # type: ignore[misc]


def was_alive(database: Database, *, since: datetime, until: datetime) -> None:
    """Put a scheduler on record that lived from *since* until *until*."""
    with database.session() as session, session.begin():
        session.add(
            SchedulerProcess(name="scheduler@test", pid=1, started_at=since, ticked_at=until)
        )


def remove(database: Database, job: Job, *, at: datetime) -> None:
    with database.session() as session:
        service.remove(session, job, version=None, by="ann", at=at)


def pause(database: Database, job: Job, *, at: datetime) -> None:
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=at)


def reschedule(database: Database, job: Job, *, at: datetime) -> None:
    with database.session() as session:
        wanted = definition(name=job.name, cron="30 5 * * *")
        service.change(session, job, wanted, version=None, app=TASKS, by="ann", at=at)


@pytest.mark.parametrize(
    "since, until, reason",
    [
        (NOON - DAY, NOON - SECOND, "scheduler_down"),
        (NOON - DAY, NOON + SECOND, "deadline"),
        (NOON + MINUTE, NOON + 10 * MINUTE, "deadline"),
        (NOON + MINUTE + SECOND, NOON + 10 * MINUTE, "scheduler_down"),
    ],
)
def test_a_missed_fire_says_whether_a_scheduler_lived_before_its_deadline(
    database: Database, since: datetime, until: datetime, reason: str
) -> None:
    job = make_job(database, cron="0 * * * *", catchup_policy=CatchupPolicy.NONE)
    was_alive(database, since=since, until=until)

    record(database, job, at=NOON + 10 * MINUTE)

    assert outcomes_of(database, job) == [(NOON, "missed", reason)]


def test_without_any_scheduler_on_record_nobody_was_there(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", catchup_policy=CatchupPolicy.NONE)

    record(database, job, at=NOON + 10 * MINUTE)

    assert outcomes_of(database, job) == [(NOON, "missed", "scheduler_down")]


def test_what_the_catch_up_policy_left_out_names_the_policy(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")

    record(database, job, at=NOON + HOUR + 30 * MINUTE)

    assert outcomes_of(database, job) == [
        (NOON, "missed", "catchup_last"),
        (NOON + HOUR, "queued", None),
    ]


def test_a_long_outage_is_folded_into_a_hundred_rows_that_count_every_fire(
    database: Database,
) -> None:
    job = make_job(database, cron="* * * * *", at=NOON - SECOND)

    record(database, job, at=NOON + DAY)

    rows = runs_of(database, job)
    assert len(rows) == MAX_ROWS
    assert (rows[0].scheduled_for, rows[0].reason) == (NOON, "outage_folded")
    assert rows[0].fires == 24 * 60 + 1 - (MAX_ROWS - 1)
    assert rows[-1].scheduled_for == NOON + DAY
    assert sum(row.fires for row in rows) == 24 * 60 + 1
    assert stored_job(database, job.name).next_fire_at == NOON + DAY + MINUTE


def test_a_job_of_every_second_fires_again_at_once_after_years(database: Database) -> None:
    job = make_job(database, interval_seconds=1, at=NOON - SECOND)
    at = NOON + 3 * 365 * DAY

    record(database, job, at=at)

    rows = runs_of(database, job)
    assert len(rows) == MAX_ROWS
    assert sum(row.fires for row in rows) == (at - NOON) // SECOND + 1
    assert stored_job(database, job.name).next_fire_at == at + SECOND


@pytest.mark.parametrize("act", [pause, reschedule])
def test_a_fire_that_came_due_just_before_a_change_still_runs(
    database: Database, act: Callable[..., None]
) -> None:
    job = make_job(database, cron="0 * * * *")

    act(database, job, at=NOON + SECOND)

    assert outcomes_of(database, job) == [(NOON, "queued", None)]
    assert runs_of(database, job)[0].send_at == NOON + SECOND


@pytest.mark.parametrize("act", [pause, reschedule, remove])
def test_a_change_during_an_outage_puts_its_fires_on_record_and_starts_none(
    database: Database, act: Callable[..., None]
) -> None:
    job = make_job(database, cron="0 * * * *", catchup_policy=CatchupPolicy.ALL)

    act(database, job, at=NOON + HOUR + 30 * MINUTE)

    assert outcomes_of(database, job) == [
        (NOON, "missed", "scheduler_down"),
        (NOON + HOUR, "missed", "scheduler_down"),
    ]


def test_a_fire_that_came_due_just_before_the_deletion_is_cancelled_on_record(
    database: Database,
) -> None:
    job = make_job(database, cron="0 * * * *")

    remove(database, job, at=NOON + SECOND)

    assert outcomes_of(database, job) == [(NOON, "cancelled", "job_deleted")]


def test_a_change_counts_the_runs_that_came_due_before_it(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", max_runs=2, overlap_policy=OverlapPolicy.ALLOW_ALL)

    pause(database, job, at=NOON + SECOND)

    assert stored_job(database, job.name).runs_started == 1


def test_a_job_whose_schedule_cannot_be_worked_out_can_still_be_changed(
    database: Database,
) -> None:
    job = make_job(database, cron="0 * * * *")
    with database.session() as session, session.begin():
        session.get_one(Job, job.id).timezone = "Mars/Olympus"

    reschedule(database, job, at=NOON + SECOND)

    assert stored_job(database, job.name).state is JobState.ACTIVE
    assert stored_job(database, job.name).timezone == "UTC"


def test_a_dry_run_of_a_resume_counts_the_catch_up_and_stores_nothing(
    database: Database,
) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=OverlapPolicy.BUFFER_ALL)
    pause(database, job, at=NOON - SECOND)
    at = NOON + 2 * HOUR + 30 * MINUTE

    def try_resume(on_missed: service.OnMissed) -> tuple[int, int]:
        with database.reading() as session:
            paused = service.get(session, job.name)
            found = dry_run.dry_run_resume(session, paused, on_missed=on_missed, app=TASKS, at=at)
        assert found.fires_before == []
        assert found.fires_after[0].at == NOON + 3 * HOUR
        return found.catchup_runs, found.recorded_runs.get(RunState.QUEUED, 0)

    assert try_resume("skip") == (0, 0)
    assert try_resume("last") == (1, 1)
    assert try_resume("all") == (3, 1)
    assert stored_job(database, job.name).state is JobState.PAUSED
    assert runs_of(database, job) == []


def test_a_dry_run_of_resuming_an_active_job_changes_nothing(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")

    with database.reading() as session:
        found = dry_run.dry_run_resume(
            session,
            service.get(session, job.name),
            on_missed="all",
            app=TASKS,
            at=NOON + 5 * HOUR,
        )

    assert (found.catchup_runs, found.job.version) == (0, job.version)
    assert found.fires_before == found.fires_after


@pytest.mark.parametrize("others, is_warned", [(19, False), (20, True)])
def test_a_crowd_at_the_same_minute_is_warned_of(
    database: Database, others: int, is_warned: bool
) -> None:
    for _ in range(others):
        make_job(database, cron="0 * * * *")
    wanted = definition(name="one-more", cron="0 * * * *", timezone="Europe/Paris")

    with database.reading() as session:
        found = dry_run.dry_run_change(
            session, wanted, job=None, version=None, app=TASKS, at=NOON - MINUTE
        )

    crowd = [text for text in found.schedule_warnings if "other jobs" in text]
    assert bool(crowd) is is_warned
    assert all("20 other jobs are due in the same minute, 14:00" in text for text in crowd)


def test_a_pause_after_failures_is_in_the_audit(database: Database) -> None:
    job = make_job(database, at=NOON, cron="0 * * * *", pause_after_failures=1)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))

    finish(database, run_id, RunState.FAILED)

    with database.reading() as session:
        events = audit.page(session, audit.EventFilter(job_id=job.id), before=None, limit=5)
    assert [(event.action, event.actor) for event in events] == [
        ("pause", "jobs-app"),
        ("create", "tester"),
    ]
