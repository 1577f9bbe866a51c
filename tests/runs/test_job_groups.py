"""Jobs that are alike: planned once, and never more alike than they are."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from jobs_app.core.states import OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.runs import job_groups
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import HOUR, NOON, SECOND, make_job, make_run, record, runs_of
from tests.factories import job as stored_job


def groups(database: Database, *jobs: Job) -> list[set[int]]:
    """Return the ids of *jobs* as they are grouped."""
    with database.reading() as session:
        found = job_groups.groups(session, [job.id for job in jobs])
    return sorted((set(group.job_ids) for group in found), key=min)


def test_jobs_that_differ_in_what_no_plan_asks_are_one_group(database: Database) -> None:
    first = make_job(database, cron="0 * * * *", description="one", kwargs={"duration": 1})
    second = make_job(database, cron="0 * * * *", tags=("x",), kwargs={"duration": 2})

    assert groups(database, first, second) == [{first.id, second.id}]


@pytest.mark.parametrize(
    "other",
    [
        {"cron": "0 */2 * * *"},
        {"cron": "0 * * * *", "timezone": "Asia/Kolkata"},
        {"cron": "0 * * * *", "overlap_policy": OverlapPolicy.ALLOW_ALL},
        {"cron": "0 * * * *", "starting_deadline_seconds": 5},
        {"cron": "0 * * * *", "max_runs": 3},
        {"cron": "0 * * * *", "queue": "other"},
        {"cron": "0 * * * *", "time_limit_seconds": 7},
    ],
)
def test_jobs_that_differ_in_what_a_plan_or_message_says_are_two(
    database: Database, other: dict[str, Any]
) -> None:
    first, second = make_job(database, cron="0 * * * *"), make_job(database, **other)

    assert groups(database, first, second) == [{first.id}, {second.id}]


@pytest.mark.parametrize(
    "drawn", [{"cron": "H * * * *"}, {"cron": "0 * * * *", "jitter_seconds": 5}]
)
def test_what_is_drawn_from_the_name_is_like_nothing_else(
    database: Database, drawn: dict[str, Any]
) -> None:
    first, second = make_job(database, **drawn), make_job(database, **drawn)

    assert groups(database, first, second) == [{first.id}, {second.id}]


def test_a_busy_job_is_planned_apart_from_the_idle_ones(database: Database) -> None:
    idle, busy, waiting, also_idle = (make_job(database, cron="0 * * * *") for _ in range(4))
    make_run(database, busy)
    make_run(database, waiting, state=RunState.WAITING)

    assert groups(database, idle, busy, waiting, also_idle) == [
        {idle.id, also_idle.id},
        {busy.id},
        {waiting.id},
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sqlite_gets_one_statement_whatever_jobs_are_due(database: Database) -> None:
    sent: set[str] = set()

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(*arguments: Any) -> None:
        sent.add(arguments[2])

    for job_ids in ([1], [2, 3], [4, 5, 6]):
        with database.reading() as session:
            job_groups.unfinished(session, job_ids)

    assert len(sent - {"BEGIN"}) == 1


def test_an_active_run_beside_others_makes_a_job_busy_too(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    make_run(database, job, policy=OverlapPolicy.ALLOW_ALL)

    record(database, job, at=NOON)

    skipped = [row for row in runs_of(database, job) if row.scheduled_for == NOON]
    assert [(row.state, row.reason) for row in skipped] == [(RunState.SKIPPED, "overlap")]


def test_each_run_takes_kwargs_and_limits_from_its_own_job(database: Database) -> None:
    jobs = [
        make_job(database, cron="0 * * * *", kwargs={"duration": number}, kill_grace_seconds=number)
        for number in (1, 2, 3)
    ]

    recorded = record(database, *jobs, at=NOON)

    assert recorded.rows == 3
    for number, job in enumerate(jobs, 1):
        (run,) = runs_of(database, job)
        assert (run.kwargs, run.kill_grace_seconds) == ({"duration": number}, number)
        assert (run.max_attempts, run.is_exclusive, run.attempt, run.sends) == (1, True, 1, 0)
        assert (run.created_at, run.queued_at, run.finished_at) == (NOON, NOON, None)
        assert run.send_at is not None
        assert stored_job(database, job.name).next_fire_at == NOON + HOUR


def test_jobs_of_one_batch_that_are_not_due_stay_where_they_are(database: Database) -> None:
    due, later = make_job(database, cron="0 * * * *"), make_job(database, cron="30 * * * *")

    recorded = record(database, due, later, at=NOON + SECOND)

    assert recorded.due == {due.id: NOON + HOUR, later.id: NOON + timedelta(minutes=30)}
    assert runs_of(database, later) == []


def test_jobs_with_the_same_schedules_are_one_group(database: Database) -> None:
    parts = (Schedule(cron="0 * * * *"), Schedule(cron="30 2 * * *", timezone="Asia/Shanghai"))
    first, second = (make_job(database, schedule=Schedules(parts)) for _ in range(2))
    other = make_job(database, schedule=Schedules(parts[::-1]))

    assert groups(database, first, second, other) == [{first.id, second.id}, {other.id}]


@pytest.mark.parametrize(
    "named", [Schedule(cron="H 2 * * *"), Schedule(cron="0 2 * * *", jitter_seconds=60)]
)
def test_a_later_schedule_that_depends_on_the_name_makes_a_group(
    database: Database, named: Schedule
) -> None:
    schedule = Schedules((Schedule(cron="0 * * * *"), named))
    first, second = (make_job(database, schedule=schedule) for _ in range(2))

    assert groups(database, first, second) == [{first.id}, {second.id}]
