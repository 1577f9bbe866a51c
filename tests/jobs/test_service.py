"""What people do to jobs, where the rows decide: versions, names, deletion."""

import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from jobs_app.core.errors import Conflict, InvalidInput, NotFound, StaleVersion
from jobs_app.core.states import JobState, OverlapPolicy, RunState
from jobs_app.db import bulk_sql
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.jobs.definition import definition_of
from jobs_app.runs import fires
from tests.db.queries import transaction_sizes
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
from tests.jobs.slow_check import SLOW_CHECK, slow_check_app


def change(database: Database, job: Job, version: int | None = None, **given: object) -> None:
    with database.session() as session:
        wanted = definition(**({"name": job.name} | given))
        service.change(session, job, wanted, version=version, app=TASKS, by="ann", at=NOON)


def remove(database: Database, job: Job, *, to_purge: bool = False) -> Job:
    with database.session() as session:
        return service.remove(session, job, version=None, by="ann", at=NOON, to_purge=to_purge)


def test_a_new_job_fires_strictly_later_than_it_was_made(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON)

    assert job.next_fire_at == NOON + HOUR


def test_two_people_who_edit_the_same_version_do_not_overwrite_each_other(
    database: Database,
) -> None:
    job = make_job(database)
    change(database, job, version=1, description="mine")

    with pytest.raises(StaleVersion, match="version 2, not 1"):
        change(database, job, version=1, description="theirs")

    assert stored_job(database, job.name).description == "mine"


def test_an_edit_that_keeps_the_schedule_keeps_the_next_fire(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - HOUR - MINUTE)

    change(database, job, cron="0 * * * *", description="new")

    # Overdue since an hour: an edit must not make the fire disappear.
    assert stored_job(database, job.name).next_fire_at == NOON - HOUR


def test_an_edit_of_the_schedule_counts_from_the_edit(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - HOUR)

    change(database, job, cron="30 * * * *")

    assert stored_job(database, job.name).next_fire_at == NOON + 30 * MINUTE


def test_an_interval_keeps_its_anchor_over_edits(database: Database) -> None:
    job = make_job(database, interval_seconds=60, at=NOON - 10 * SECOND)

    change(database, job, interval_seconds=90)

    edited = stored_job(database, job.name)
    assert edited.anchor_at == NOON - 10 * SECOND
    assert edited.next_fire_at == NOON + 80 * SECOND


@pytest.mark.parametrize("start", [NOON + 7 * HOUR + SECOND, NOON - 7 * HOUR])
def test_a_new_interval_is_anchored_at_its_start(database: Database, start: datetime) -> None:
    job = make_job(database, interval_seconds=14 * 86_400, start_at=start)

    assert job.anchor_at == start
    assert job.next_fire_at == (start if start > NOON else start + 14 * 24 * HOUR)


def test_an_anchor_comes_before_the_start(database: Database) -> None:
    job = make_job(database, interval_seconds=7200, anchor_at=NOON - HOUR, start_at=NOON + 2 * HOUR)

    assert job.next_fire_at == NOON + 3 * HOUR


def test_an_interval_keeps_its_anchor_when_it_gets_a_start(database: Database) -> None:
    job = make_job(database, interval_seconds=60, at=NOON - 10 * SECOND)

    change(database, job, interval_seconds=60, start_at=NOON + 7 * SECOND)

    assert stored_job(database, job.name).next_fire_at == NOON + 50 * SECOND


def test_a_start_past_all_years_is_refused_as_a_start(database: Database) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_job(database, interval_seconds=60, start_at=datetime(9999, 6, 1, tzinfo=UTC))

    assert "/schedule/anchor_at" not in {error.pointer for error in refused.value.errors}


def test_an_interval_is_anchored_on_a_whole_second(database: Database) -> None:
    job = make_job(database, interval_seconds=2, at=NOON + timedelta(milliseconds=700))

    assert job.next_fire_at == NOON + 2 * SECOND


def test_a_name_is_free_again_when_its_job_is_deleted(database: Database) -> None:
    first = make_job(database, name="report")
    with pytest.raises(Conflict, match="report"):
        make_job(database, name="report")

    remove(database, first)
    second = make_job(database, name="report")

    assert second.id != first.id


def test_deleting_keeps_the_history_and_cancels_what_has_not_begun(database: Database) -> None:
    job = make_job(database)
    run_id = make_run(database, job)

    remove(database, job)

    assert run(database, run_id).state is RunState.CANCELLED
    assert run(database, run_id).reason == "job_deleted"
    with pytest.raises(NotFound):
        stored_job(database, job.name)


def test_many_runs_of_a_deleted_job_are_cancelled_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_sql, "UPDATE_BATCH", 2)
    job = make_job(database, schedule=None, overlap_policy=OverlapPolicy.ALLOW_ALL)
    for _ in range(5):
        make_run(database, job)
    sizes = transaction_sizes(database, "runs")

    remove(database, job)

    assert {run.state for run in runs_of(database, job)} == {RunState.CANCELLED}
    assert max(sizes) == 2


def test_a_purge_deletes_the_history_too(database: Database) -> None:
    job = make_job(database)
    run_id = make_run(database, job)
    claim(database, run_id, make_worker(database))
    finish(database, run_id)
    removed = remove(database, job, to_purge=True)

    with database.session() as session:
        service.purge(session, removed, by="ann", at=NOON)

    assert runs_of(database, job) == []


def test_a_purge_of_a_running_job_is_refused_and_deletes_nothing(database: Database) -> None:
    job = make_job(database)
    claim(database, make_run(database, job), make_worker(database))

    with pytest.raises(Conflict, match="has not ended"):
        remove(database, job, to_purge=True)

    assert stored_job(database, job.name).state is JobState.ACTIVE


def test_pausing_twice_keeps_the_first_reason(database: Database) -> None:
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason="disk full", by="ann", at=NOON)
    with database.session() as session:
        service.pause(session, job, reason="me too", by="bob", at=NOON + HOUR)

    paused = stored_job(database, job.name)
    assert (paused.paused_by, paused.paused_reason, paused.paused_at) == ("ann", "disk full", NOON)


def test_a_pause_or_resume_that_changes_nothing_returns_a_job_to_read(database: Database) -> None:
    job = make_job(database)
    with database.session() as session:
        service.pause(session, job, reason=None, by="ann", at=NOON)
    with database.session() as session:
        paused = service.pause(session, job, reason=None, by="bob", at=NOON + HOUR)
    with database.session() as session:
        service.resume(session, job, by="ann", at=NOON + HOUR)
    with database.session() as session:
        resumed = service.resume(session, job, by="bob", at=NOON + HOUR)

    # After the request its entry in Redis is written from these.
    assert [(paused.id, paused.version), (resumed.id, resumed.version)] == [
        (job.id, 2),
        (job.id, 3),
    ]


def test_a_job_without_a_schedule_waits_to_be_started(database: Database) -> None:
    job = make_job(database, schedule=None)

    assert (job.state, job.next_fire_at) == (JobState.ACTIVE, None)


def test_a_job_whose_one_instant_has_passed_can_be_renamed(database: Database) -> None:
    made = make_job(database, once_at=NOON)
    record(database, made, at=NOON)

    with database.session() as session:
        ended = service.get(session, made.name)
        said = replace(definition_of(ended), name="renamed")
        service.change(session, ended, said, version=None, app=TASKS, by="tester", at=NOON + MINUTE)

    with database.reading() as session:
        assert service.get(session, "renamed").state == "ended"


@pytest.fixture
def broken_zone(tmp_path: Path) -> Iterator[str]:
    """The name of a zone whose file on this machine ends too early."""
    (tmp_path / "Broken").write_bytes(b"TZif2" + bytes(20))
    usual = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([tmp_path])
    yield "Broken"
    zoneinfo.reset_tzpath(usual)


def pause(database: Database, job: Job) -> object:
    with database.session() as session:
        return service.pause(session, job, reason=None, by="ann", at=NOON)


CHANGES: dict[str, Callable[[Database, Job], object]] = {
    "change": lambda database, job: change(database, job, cron="30 * * * *"),
    "pause": pause,
    "remove": remove,
}


@pytest.mark.parametrize("made", CHANGES)
@pytest.mark.parametrize(
    "damage",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "Broken"},
        {"cron": "@fortnightly"},
        {"cron": None},
    ],
    ids=str,
)
@pytest.mark.usefixtures("broken_zone")
def test_a_row_that_cannot_be_planned_can_be_changed(
    database: Database, damage: dict[str, str | None], made: str
) -> None:
    broken = make_job(database, at=NOON - HOUR)
    with database.session() as session, session.begin():
        session.execute(update(Job).where(Job.id == broken.id).values(**damage))

    CHANGES[made](database, broken)

    assert runs_of(database, broken) == []
    with database.reading() as session:
        left = session.get_one(Job, broken.id)
    assert left.next_fire_at == (NOON + HOUR / 2 if made == "change" else None)


def test_a_zone_whose_file_ends_too_early_is_refused(database: Database, broken_zone: str) -> None:
    job = make_job(database)

    with pytest.raises(InvalidInput):
        change(database, job, timezone=broken_zone, cron="0 9 * * *")


def test_an_error_of_the_database_is_none_of_the_schedule(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(database, at=NOON - HOUR)
    gone = OperationalError("SELECT", None, OSError("gone"))
    monkeypatch.setattr(fires, "plan", Mock(side_effect=gone))

    with pytest.raises(OperationalError):
        pause(database, job)


def test_a_job_that_others_change_during_the_check_of_an_edit_is_checked_again(
    database: Database,
) -> None:
    checked: list[int] = []
    meanwhile: list[Callable[[], object]] = []
    app = slow_check_app(meanwhile, checked)
    job = make_job(database, description="first")
    # Twice: the second check is overtaken as the first was.
    meanwhile += [
        lambda: change(database, job, description="second"),
        lambda: change(database, job, description="third"),
    ]

    with database.session() as session:
        edited = definition(name=job.name, task=SLOW_CHECK, kwargs={"value": 7})
        service.change(session, job, edited, version=None, app=app, by="slow", at=NOON)

    assert checked == [7, 7, 7]
    stored = stored_job(database, job.name)
    assert (stored.task, stored.version) == (SLOW_CHECK, 4)
    with database.reading() as session:
        newest = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc())).first()
    assert newest is not None
    assert newest.detail["before"]["description"] == "third"


@pytest.mark.parametrize(
    "overtake, error",
    [
        (lambda database, job: change(database, job, description="theirs"), StaleVersion),
        (lambda database, job: remove(database, job), NotFound),
    ],
    ids=["changed", "deleted"],
)
def test_an_edit_of_one_version_loses_to_what_others_write_during_its_check(
    database: Database, overtake: Callable[[Database, Job], object], error: type[Exception]
) -> None:
    job = make_job(database)
    app = slow_check_app([lambda: overtake(database, job)], [])

    with database.session() as session:
        edited = definition(name=job.name, task=SLOW_CHECK, kwargs={"value": 0})
        with pytest.raises(error):
            service.change(session, job, edited, version=1, app=app, by="slow", at=NOON)
        # Nothing is locked any more.
        make_job(database)

    with database.reading() as session:
        assert session.get_one(Job, job.id).task == "sleep"
