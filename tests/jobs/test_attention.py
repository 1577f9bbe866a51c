"""What needs a person: each line, its order, and what one pays for the list."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from jobs_app.accounts import tag_limit
from jobs_app.core.states import (
    CatchupPolicy,
    Event,
    JobState,
    NotificationState,
    OverlapPolicy,
    RunState,
)
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.db.models.runs import Run
from jobs_app.jobs.attention import Item, Kind, attention
from tests.factories import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    make_job,
    make_run,
    make_worker,
    record,
    write_log,
)
from tests.plans import captured

PAUSED = {"state": JobState.PAUSED, "next_fire_at": None, "next_due_at": None}


@pytest.fixture(autouse=True)
def _healthy(database: Database) -> None:
    """A scheduler that has just looked, and a worker of the queue `default`."""
    make_worker(database)
    with database.session() as session:
        columns = {"pid": 1, "is_active": True, "started_at": NOON, "ticked_at": NOON}
        session.add(SchedulerProcess(name="s", **columns))
        session.commit()


def look(database: Database, **options: Any) -> list[Item]:
    with database.reading() as session:
        return attention(session, at=NOON, **options)


def make(database: Database, name: str, definition: dict[str, Any], **columns: Any) -> Job:
    """Create a job and set *columns* of its row."""
    job = make_job(database, name=name, **definition)
    with database.session() as session:
        session.execute(update(Job).where(Job.id == job.id).values(version=2, **columns))
        session.commit()
    return job


def set_ticked(database: Database, seconds: float) -> None:
    with database.session() as session:
        ticked_at = NOON - timedelta(seconds=seconds)
        session.execute(update(SchedulerProcess).values(ticked_at=ticked_at))
        session.commit()


def test_nothing_needs_anybody_where_all_is_well(database: Database) -> None:
    make_run(database, make_job(database), state=RunState.SUCCEEDED)

    assert look(database) == []


def test_a_scheduler_that_is_silent_is_first_and_explains_late_fires(database: Database) -> None:
    make(database, "nightly", {}, failures_in_a_row=1, next_due_at=NOON - HOUR)
    set_ticked(database, 59)
    assert [item.kind for item in look(database)] == [Kind.FAILING, Kind.LATE]
    set_ticked(database, 60)

    items = look(database)

    assert [item.kind for item in items] == [Kind.NO_SCHEDULER, Kind.FAILING]
    assert items[0].since == NOON - MINUTE


def test_a_queue_without_a_worker_is_one_line_however_many_runs_are_late(
    database: Database,
) -> None:
    policy: dict[str, Any] = {"queue": "slow", "overlap_policy": OverlapPolicy.ALLOW_ALL}
    for name in ("a", "b"):
        job = make_job(database, name=name, **policy)
        for number in range(3):
            make_run(database, job, at=NOON - number * HOUR)

    (item,) = look(database)

    assert (item.kind, item.queue, item.since) == (Kind.NO_WORKER, "slow", NOON - 2 * HOUR)
    assert item.sentence == "No worker serves the queue 'slow': 2 jobs name it."


def test_a_run_that_waits_for_a_busy_worker_is_late(database: Database) -> None:
    job = make_job(database, name="import", overlap_policy=OverlapPolicy.ALLOW_ALL)
    make_run(database, job, at=NOON - 2 * HOUR)
    newest = make_run(database, job, at=NOON - 5 * MINUTE)
    make_run(database, job, at=NOON - 5 * MINUTE + SECOND)

    (item,) = look(database)

    assert (item.kind, item.job, item.run) == (Kind.LATE, "import", newest)
    assert item.since == NOON - 2 * HOUR
    assert item.sentence == "2 runs wait for a free worker of the queue 'default'."


def test_a_failing_job_names_its_last_failure(database: Database) -> None:
    failing = {"failures_in_a_row": 2, "failures_carried": 1, "failing_since": NOON - DAY}
    job = make(database, "nightly", {"overlap_policy": OverlapPolicy.ALLOW_ALL}, **failing)
    make_run(database, job, state=RunState.FAILED, at=NOON - 3 * HOUR)
    last = make_run(database, job, state=RunState.TIMED_OUT, at=NOON - 2 * HOUR)
    with database.session() as session:
        error = {"exit_code": 2, "error": {"type": "OSError", "message": "No disk\nat all"}}
        session.execute(update(Run).where(Run.id == last).values(**error))
        session.commit()
    write_log(database, last, "first\n", "cannot reach \x1b[1mdb1\x1b[0m\n\n")
    make_run(database, job, state=RunState.SKIPPED, at=NOON - HOUR)

    (item,) = look(database)

    assert (item.kind, item.run, item.since) == (Kind.FAILING, last, NOON - DAY)
    assert item.last_line == "cannot reach db1"
    assert item.sentence == "Failed 3 times in a row."
    assert item.error == "exit code 2, OSError: No disk"


def test_a_job_that_its_failures_have_paused_is_not_failing_besides(database: Database) -> None:
    paused = {"paused_by": "jobs-app", "paused_at": NOON - 40 * DAY, "failures_in_a_row": 5}
    make(database, "nightly", {}, **PAUSED, **paused)

    (item,) = look(database)

    assert (item.kind, item.since) == (Kind.PAUSED_BY_FAILURES, NOON - 40 * DAY)
    assert item.sentence == "Paused after it failed 5 times in a row."


def test_a_pause_is_reported_after_thirty_days_unless_it_has_an_end(database: Database) -> None:
    by_ann = {"paused_by": "ann", "paused_reason": "db-main is moved."}
    make(database, "new", {}, **PAUSED, **by_ann, paused_at=NOON - 30 * DAY + SECOND)
    make(database, "old", {}, **PAUSED, **by_ann, paused_at=NOON - 30 * DAY)
    ends = {"paused_at": NOON - 60 * DAY, "paused_until": NOON + DAY}
    make(database, "ends", {}, **PAUSED, **by_ann, **ends)

    (item,) = look(database)

    assert (item.kind, item.job) == (Kind.LONG_PAUSED, "old")
    assert item.sentence == "Paused for over 30 days: db-main is moved."


def test_missed_fires_of_a_day_are_one_line_a_job(database: Database) -> None:
    job = make_job(database, name="nightly")
    for hours, fires in ((24, 9), (23, 2), (2, 1)):
        at = NOON - hours * HOUR
        missed: dict[str, Any] = {
            "state": RunState.MISSED,
            "at": at,
            "scheduled_for": at,
            "fires": fires,
        }
        newest = make_run(database, job, **missed)

    (item,) = look(database)

    assert (item.kind, item.run, item.since) == (Kind.MISSED, newest, NOON - 23 * HOUR)
    assert item.sentence == "3 fires were missed in the last 24 hours."


def test_a_secret_that_is_gone_is_named_to_those_who_may_know(database: Database) -> None:
    job = make_job(database, name="nightly")
    kwargs = {"command": "true", "env": {"PW": "${secret:db-pass}"}}
    with database.session() as session:
        values = {"task": "shell", "kwargs": kwargs}
        session.execute(update(Job).where(Job.id == job.id).values(**values))
        session.commit()

    (item,) = look(database)
    (hidden,) = look(database, with_secrets=False)

    assert (item.kind, item.job) == (Kind.SECRET_GONE, "nightly")
    assert item.sentence.endswith(": 'db-pass'.")
    assert "db-pass" not in hidden.sentence


def notify(database: Database, state: NotificationState, **columns: Any) -> None:
    common = {"channel_id": 1, "channel": "ops", "event": Event.FAILED, "group_key": ""}
    with database.session() as session:
        session.add(Notification(state=state, created_at=NOON - HOUR, **common, **columns))
        session.commit()


def test_a_channel_is_reported_until_a_message_goes_out(database: Database) -> None:
    notify(database, NotificationState.SENT)
    notify(database, NotificationState.FAILED, error="HTTP 500.")
    notify(database, NotificationState.PENDING)

    (item,) = look(database)
    assert (item.kind, item.channel, item.since) == (Kind.CHANNEL_FAILED, "ops", NOON - HOUR)
    assert item.sentence == "The last message was not delivered: HTTP 500."

    notify(database, NotificationState.SENT)
    assert look(database) == []


def ran(database: Database, job: Job, *, start: Any, seconds: int | None) -> None:
    """Record a run that started then, and took *seconds*, or still runs."""
    state = RunState.RUNNING if seconds is None else RunState.SUCCEEDED
    run_id = make_run(database, job, state=state, at=start)
    end = None if seconds is None else start + timedelta(seconds=seconds)
    with database.session() as session:
        times = {"started_at": start, "finished_at": end}
        session.execute(update(Run).where(Run.id == run_id).values(**times))
        session.commit()


def test_a_run_that_takes_three_times_as_long_as_usual_is_reported(database: Database) -> None:
    usual = make_job(database, name="usual")
    for number in range(5):
        ran(database, usual, start=NOON - number * DAY - DAY, seconds=400)
    ran(database, usual, start=NOON - timedelta(seconds=1200), seconds=None)
    new = make_job(database, name="new")
    ran(database, new, start=NOON - DAY, seconds=1)
    ran(database, new, start=NOON - HOUR, seconds=None)
    assert look(database) == []

    with database.session() as session:
        is_running = Run.state == RunState.RUNNING
        started = {"started_at": NOON - timedelta(seconds=1201)}
        session.execute(update(Run).where(is_running, Run.job_id == usual.id).values(**started))
        session.commit()
    (item,) = look(database)

    assert (item.kind, item.job) == (Kind.OVERRUN, "usual")


def test_a_schema_of_a_newer_version_is_reported(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.commit()

    assert [item.kind for item in look(database)] == [Kind.NEWER_SCHEMA]


def test_the_list_is_for_the_jobs_of_the_caller_and_takes_three_statements(
    database: Database,
) -> None:
    reference = {"task": "shell", "kwargs": {"env": {"A": "${secret:gone}"}}}
    for tag in ("mine", "theirs"):
        job = make(database, f"{tag}-failing", {"tags": (tag,), "queue": tag}, failures_in_a_row=1)
        at = NOON - HOUR
        make_run(database, job, state=RunState.MISSED, at=at, scheduled_for=at)
        with database.session() as session:
            session.execute(update(Job).where(Job.id == job.id).values(**reference))
            session.commit()

    with database.session() as session, captured(database, "SELECT") as statements:
        tag_limit.limit(session, frozenset({"mine"}))
        items = attention(session, at=NOON)

    kinds = [Kind.NO_WORKER, Kind.FAILING, Kind.MISSED, Kind.SECRET_GONE]
    assert [item.kind for item in items] == kinds
    assert {item.job or item.queue for item in items} == {"mine", "mine-failing"}
    assert len(statements) == 3


def test_fires_that_a_job_missed_while_it_only_watches_need_nobody(database: Database) -> None:
    for name, observe in (("runs", False), ("watches", True)):
        policy = {"catchup_policy": CatchupPolicy.NONE, "observe": observe}
        job = make_job(database, name=name, at=NOON - 3 * HOUR, **policy)
        record(database, job, at=NOON - 50 * MINUTE)

    (item,) = look(database)

    assert (item.kind, item.job) == (Kind.MISSED, "runs")
