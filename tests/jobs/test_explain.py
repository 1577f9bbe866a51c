"""What is found on record around an instant, on both databases."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from jobs_app.core.errors import NotFound
from jobs_app.core.states import CatchupPolicy, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.jobs import explain, service
from jobs_app.jobs.explain import Explanation
from jobs_app.jobs.explain_when import Day, DayTime, When
from jobs_app.runs import pruning
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules, due_at
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
    write_log,
)

NEW_YORK = "America/New_York"
NOW = NOON + 10 * DAY


def ask(
    database: Database, name: str, begin: datetime, *, at: datetime = NOW, seconds: int = 60
) -> Explanation:
    with database.reading() as session:
        return explain.explain(session, name, When(begin, timedelta(seconds=seconds)), at=at)


def ask_newest(database: Database, job: Job, *, at: datetime) -> Explanation:
    """Explain the job without an instant."""
    with database.reading() as session:
        return explain.explain(session, job.name, None, at=at)


def local(text: str) -> datetime:
    """Return a local time as it is asked for: without a zone."""
    return datetime.fromisoformat(text)


def pause(database: Database, job: Job, *, at: datetime, reason: str | None = None) -> None:
    with database.session() as session:
        service.pause(session, job, reason=reason, by="ann", at=at)


def resume(database: Database, job: Job, *, at: datetime, **given: Any) -> None:
    with database.session() as session:
        service.resume(session, job, by="bob", at=at, **given)


def change(database: Database, job: Job, *, at: datetime, **given: Any) -> None:
    with database.session() as session:
        wanted = definition(**({"name": job.name} | given))
        service.change(session, job, wanted, version=None, app=TASKS, by="ann", at=at)


def remove(database: Database, job: Job, *, at: datetime) -> None:
    with database.session() as session:
        service.remove(session, job, version=None, by="cleo", at=at)


def test_a_fire_that_ran_names_its_run(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    record(database, job, at=NOON)
    (row,) = runs_of(database, job)
    claim(database, row.id, make_worker(database), at=NOON + SECOND)
    finish(database, row.id, at=NOON + 4 * SECOND)

    found = ask(database, job.name, NOON)

    assert (found.verdict, found.run) == ("ran", row.id)
    assert "started at 2026-06-15 12:00:01 UTC and succeeded after 3 s" in found.sentence
    assert found.previous is not None
    assert found.next is not None
    assert (found.previous.at, found.next.at) == (NOON - HOUR, NOON + HOUR)


@pytest.mark.parametrize("state, line", [(RunState.FAILED, "no db1"), (RunState.SUCCEEDED, None)])
def test_a_run_that_failed_comes_with_its_last_line(
    database: Database, state: RunState, line: str | None
) -> None:
    job = make_job(database, cron="0 * * * *")
    run_id = make_run(database, job, state=state, scheduled_for=NOON, at=NOON)
    write_log(database, run_id, "begin\nno db1\n")

    found = ask(database, job.name, NOON)

    assert (found.run, found.last_line) == (run_id, line)


def test_a_fire_is_found_in_the_minute_that_is_asked_for(database: Database) -> None:
    job = make_job(database, interval_seconds=3600, anchor_at=NOON + 17 * SECOND)
    record(database, job, at=NOON + 17 * SECOND)

    assert ask(database, job.name, NOON).verdict == "will_run"
    assert ask(database, job.name, NOON, seconds=1).verdict == "not_a_fire"


def test_a_skipped_fire_names_the_run_that_had_not_ended(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    ended = make_run(database, job, at=NOON - 30 * MINUTE)
    claim(database, ended, make_worker(database), at=NOON - 30 * MINUTE)
    finish(database, ended, at=NOON - 20 * MINUTE)
    blocking = make_run(database, job, at=NOON - 10 * MINUTE)
    claim(database, blocking, make_worker(database), at=NOON - 10 * MINUTE)
    record(database, job, at=NOON)
    finish(database, blocking, at=NOON + MINUTE)

    found = ask(database, job.name, NOON)

    assert found.verdict == "skipped"
    assert f"run {blocking} had not ended, it ran from 2026-06-15 11:50 UTC" in found.sentence


def test_a_run_that_waits_names_the_one_in_front_of_it(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", overlap_policy=OverlapPolicy.BUFFER_ONE)
    first = make_run(database, job, at=NOON - MINUTE)
    record(database, job, at=NOON)

    found = ask(database, job.name, NOON, at=NOON + MINUTE)

    assert found.verdict == "will_run"
    assert f"behind run {first}" in found.sentence


def test_a_queued_run_says_that_no_worker_serves_its_queue(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", queue="slow")
    make_worker(database)
    record(database, job, at=NOON)

    found = ask(database, job.name, NOON, at=NOON + MINUTE)

    assert "no worker serves the queue 'slow'" in found.sentence


def test_a_queued_run_says_that_the_workers_are_busy(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    worker = make_worker(database)
    for _ in range(2):
        claim(database, make_run(database), worker)
    record(database, job, at=NOON)

    found = ask(database, job.name, NOON, at=NOON + MINUTE)

    assert "the workers of the queue 'default' are busy with 2 other runs" in found.sentence


def test_a_missed_fire_names_the_one_that_was_caught_up_in_its_place(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    record(database, job, at=NOON + HOUR + 30 * MINUTE)
    caught_up = runs_of(database, job)[-1]

    found = ask(database, job.name, NOON)

    assert found.verdict == "missed"
    assert f"that of 2026-06-15 13:00 UTC (run {caught_up.id})" in found.sentence


def test_a_fire_of_a_long_outage_is_explained_by_the_row_it_was_folded_into(
    database: Database,
) -> None:
    job = make_job(database, cron="* * * * *", at=NOON - SECOND)
    record(database, job, at=NOON + DAY)
    folded = runs_of(database, job)[0]
    last_folded = NOON + (folded.fires - 1) * MINUTE

    assert ask(database, job.name, NOON + 5 * MINUTE).run == folded.id
    assert ask(database, job.name, last_folded).run == folded.id
    after = ask(database, job.name, last_folded + MINUTE)
    assert after.run not in {None, folded.id}


def test_a_fire_during_a_pause_says_who_paused_and_who_resumed(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    pause(database, job, at=NOON - MINUTE, reason="Disk full.")
    resume(database, job, at=NOON + MINUTE)

    found = ask(database, job.name, NOON)

    assert found.verdict == "paused"
    assert found.sentence == (
        "The job was paused from 2026-06-15 11:59 UTC by ann (Disk full)"
        " until 2026-06-15 12:01 UTC by bob."
    )
    assert ask(database, job.name, NOON + HOUR).verdict == "unrecorded"


def test_a_fire_of_a_pause_that_was_caught_up_ran(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    pause(database, job, at=NOON - MINUTE)
    resume(database, job, at=NOON + MINUTE, on_missed="last")
    (row,) = runs_of(database, job)

    assert ask(database, job.name, NOON).run == row.id


def test_a_fire_to_come_of_a_paused_job_is_paused(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    pause(database, job, at=NOON)

    assert ask(database, job.name, NOW + HOUR).verdict == "paused"


def test_a_time_before_an_edit_is_judged_by_the_schedule_as_it_was(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", catchup_policy=CatchupPolicy.NONE)
    record(database, job, at=NOON)
    change(database, job, cron="30 * * * *", at=NOON + 10 * MINUTE)

    old = ask(database, job.name, NOON)
    old_half = ask(database, job.name, NOON + 5 * MINUTE)
    new = ask(database, job.name, NOON + HOUR)
    ahead = ask(database, job.name, NOW + 30 * MINUTE)

    assert old.verdict == "will_run"
    assert "as it was then: At the start of every hour" in old_half.sentence
    assert (new.verdict, "as it was then" in new.sentence) == ("not_a_fire", False)
    assert ahead.verdict == "will_run"


def test_a_local_time_is_read_in_the_zone_that_the_job_had_then(database: Database) -> None:
    job = make_job(database, cron="0 12 * * *", timezone="Europe/Paris", at=NOON - 5 * DAY)
    change(database, job, cron="0 12 * * *", timezone="Asia/Tokyo", at=NOON)

    assert ask(database, job.name, local("2026-06-14 12:00")).at.hour == 10
    assert ask(database, job.name, local("2026-06-20 12:00")).at.hour == 3


def test_a_job_that_was_not_there_yet_says_who_created_it(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON)

    found = ask(database, job.name, NOON)

    assert found.verdict == "not_yet_created"
    assert "created at 2026-06-15 12:00 UTC by tester" in found.sentence


@pytest.mark.parametrize("cron", [None, "0 3 * * *", "* * * * *"])
def test_a_start_by_hand_in_the_minute_of_the_creation_is_explained(
    database: Database, cron: str | None
) -> None:
    schedule = {"schedule": None} if cron is None else {"cron": cron}
    job = make_job(database, at=NOON + 20 * SECOND, **schedule)
    by_hand = make_run(database, job, at=NOON + 25 * SECOND, triggered_by="ann")
    queued = ask(database, job.name, NOON)
    claim(database, by_hand, make_worker(database), at=NOON + 26 * SECOND)
    finish(database, by_hand, at=NOON + 28 * SECOND)

    ended = ask(database, job.name, NOON)

    assert (queued.verdict, queued.run) == ("will_run", by_hand)
    assert f"queued as run {by_hand}" in queued.sentence
    assert (ended.verdict, ended.run) == ("ran", by_hand)
    assert ended.sentence == (
        f"It was started by hand by ann: run {by_hand} started at 2026-06-15 12:00:26 UTC"
        " and succeeded after 2 s."
    )
    assert ask(database, job.name, NOON - MINUTE).verdict == "not_yet_created"


def test_a_fire_in_the_minute_of_the_creation_is_explained(database: Database) -> None:
    job = make_job(database, interval_seconds=10, anchor_at=NOON, at=NOON + 15 * SECOND)
    record(database, job, at=NOON + 20 * SECOND)

    found = ask(database, job.name, NOON)

    assert found.run == runs_of(database, job)[0].id
    assert ask(database, job.name, NOON, seconds=15).verdict == "not_yet_created"


def test_a_deleted_job_still_answers(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    record(database, job, at=NOON)
    remove(database, job, at=NOON + MINUTE)

    assert ask(database, job.name, NOON).verdict == "cancelled"
    gone = ask(database, job.name, NOON + HOUR)
    assert (gone.verdict, "12:01 UTC by cleo" in gone.sentence) == ("deleted", True)


def test_of_two_jobs_of_one_name_the_one_that_lived_then_answers(database: Database) -> None:
    first = make_job(database, name="twice", cron="0 * * * *")
    record(database, first, at=NOON)
    remove(database, first, at=NOON + MINUTE)
    make_job(database, name="twice", cron="30 * * * *", at=NOON + DAY)

    assert ask(database, "twice", NOON).run == runs_of(database, first)[0].id
    assert ask(database, "twice", NOON + HOUR).verdict == "not_yet_created"
    assert ask(database, "twice", NOW + 30 * MINUTE).verdict == "will_run"


def test_a_name_that_no_job_ever_had_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound):
        ask(database, "nobody", NOON)


def test_a_start_by_hand_is_named_where_no_fire_is(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    by_hand = make_run(database, job, at=NOON + 5 * MINUTE, triggered_by="ann")

    found = ask(database, job.name, NOON + 5 * MINUTE)

    assert (found.verdict, found.run) == ("not_a_fire", by_hand)
    assert "was started by hand at 2026-06-15 12:05 UTC by ann" in found.sentence


def test_a_fire_behind_the_last_allowed_run_will_not_come(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", max_runs=2)

    assert ask(database, job.name, NOON + HOUR, at=NOON - MINUTE).verdict == "will_run"
    beyond = ask(database, job.name, NOON + 2 * HOUR, at=NOON - MINUTE)
    assert (beyond.verdict, "max_runs allows 2 runs" in beyond.sentence) == ("ended", True)


def test_a_job_that_ended_says_so(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", max_runs=1)
    record(database, job, at=NOON)

    assert ask(database, job.name, NOON + HOUR).verdict == "ended"


def test_a_skipped_local_time_is_explained_by_the_fire_after_the_gap(database: Database) -> None:
    night = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)
    job = make_job(database, cron="30 2 * * *", timezone=NEW_YORK, at=night - DAY / 2)
    record(database, job, at=night)
    (row,) = runs_of(database, job)

    named = ask(database, job.name, local("2026-03-08 02:30"))
    other = ask(database, job.name, local("2026-03-08 02:15"))

    assert (named.at, named.run, row.scheduled_for) == (night, row.id, night)
    assert named.sentence.startswith(
        "02:30 does not exist on 2026-03-08 in America/New_York: the clock goes from 02:00 to"
        " 03:00, and the fire comes at 03:00."
    )
    assert (other.verdict, other.run) == ("not_a_fire", None)
    assert other.next is not None
    assert (other.next.at, other.next.dst) == (night, "gap")


def test_a_local_time_that_comes_twice_is_the_first_of_the_two(database: Database) -> None:
    night = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    job = make_job(database, cron="30 1 * * *", timezone=NEW_YORK, at=night - DAY / 2)
    record(database, job, at=night)
    claim(database, runs_of(database, job)[0].id, make_worker(database), at=night)

    first = ask(database, job.name, local("2026-11-01 01:30"), at=night + HOUR)
    second = ask(database, job.name, night + HOUR, at=night + 2 * HOUR)

    assert (first.at, first.verdict) == (night, "ran")
    assert "it fires the first time only; this is the first." in first.sentence
    assert second.verdict == "not_a_fire"
    assert "this is the second." in second.sentence


def test_a_job_without_a_schedule_runs_by_hand_only(database: Database) -> None:
    job = make_job(database, schedule=None)

    found = ask(database, job.name, NOON)

    assert (found.verdict, found.previous, found.next) == ("not_a_fire", None, None)


def test_without_an_instant_the_newest_fire_is_explained(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - MINUTE)
    ahead = ask_newest(database, job, at=NOON - SECOND)
    record(database, job, at=NOON)
    (row,) = runs_of(database, job)
    claim(database, row.id, make_worker(database), at=NOON)
    finish(database, row.id, at=NOON + SECOND)
    make_run(database, job, at=NOON + 2 * MINUTE)

    ran = ask_newest(database, job, at=NOON + 59 * MINUTE)

    assert (ahead.verdict, ahead.at) == ("will_run", NOON)
    assert (ran.verdict, ran.at, ran.run) == ("ran", NOON, row.id)
    assert ask_newest(database, job, at=NOON + HOUR).at == NOON + HOUR
    remove(database, job, at=NOON + 2 * HOUR)
    assert ask_newest(database, job, at=NOON + 3 * HOUR).verdict == "deleted"


def test_the_newest_fire_may_be_one_of_the_schedule_before_a_change(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - MINUTE)
    record(database, job, at=NOON)
    change(database, job, cron="30 * * * *", at=NOON + 40 * MINUTE)

    before = ask_newest(database, job, at=NOON + 50 * MINUTE)
    after = ask_newest(database, job, at=NOON + 95 * MINUTE)

    assert (before.at, before.run) == (NOON, runs_of(database, job)[0].id)
    assert after.at == NOON + 90 * MINUTE


def test_the_newest_fire_with_jitter_is_one_that_was_due(database: Database) -> None:
    job = make_job(database, cron="* * * * *", jitter_seconds=600, at=NOON - HOUR)
    schedule = schedule_of(job)
    assert schedule is not None

    found = ask_newest(database, job, at=NOON)

    assert due_at(schedule, found.at) <= NOON
    later = (found.at + number * MINUTE for number in range(1, 11))
    assert all(due_at(schedule, fire) > NOON for fire in later if fire <= NOON)


def test_without_an_instant_a_manual_job_is_explained_by_its_newest_run(
    database: Database,
) -> None:
    job = make_job(database, schedule=None)
    unused = ask_newest(database, job, at=NOON)
    make_run(database, job, at=NOON, state=RunState.SKIPPED)
    newest = make_run(database, job, at=NOON + MINUTE, triggered_by="ann")
    claim(database, newest, make_worker(database), at=NOON + MINUTE)
    finish(database, newest, RunState.FAILED, at=NOON + 2 * MINUTE)

    found = ask_newest(database, job, at=NOON + HOUR)

    assert (unused.verdict, unused.run) == ("not_a_fire", None)
    assert "No run of it is on record." in unused.sentence
    assert (found.verdict, found.at, found.run) == ("ran", NOON + MINUTE, newest)
    assert "It was started by hand by ann" in found.sentence


@pytest.mark.parametrize("days, day", [(0, 16), (-1, 15), (1, 17)])
def test_a_time_of_day_is_read_in_the_zone_of_the_job(
    database: Database, days: int, day: int
) -> None:
    job = make_job(database, cron="30 2 * * *", timezone="Asia/Tokyo", at=NOON - 5 * DAY)
    # In Tokyo it is one o'clock of the next day.
    asked_at = NOON + 4 * HOUR

    with database.reading() as session:
        found = explain.explain(session, job.name, DayTime(time(2, 30), days), at=asked_at)

    assert found.at == datetime(2026, 6, day - 1, 17, 30, tzinfo=UTC)
    assert found.verdict != "not_a_fire"


def test_a_long_span_is_explained_by_its_first_fire(database: Database) -> None:
    job = make_job(database, cron="30 2 * * *", at=NOON - 2 * DAY)
    record(database, job, at=NOON - 9.5 * HOUR)
    last_night = DayTime(time(18), -1, 12 * HOUR)

    with database.reading() as session:
        answer = explain.explain(session, job.name, last_night, at=NOON)

    assert answer.run == runs_of(database, job)[-1].id


def test_a_time_of_day_before_the_job_is_that_of_the_job_with_the_name_then(
    database: Database,
) -> None:
    first = make_job(database, name="twice", cron="0 * * * *")
    record(database, first, at=NOON)
    remove(database, first, at=NOON + MINUTE)
    make_job(database, name="twice", cron="0 * * * *", at=NOON + HOUR)

    with database.reading() as session:
        found = explain.explain(session, "twice", DayTime(time(12)), at=NOON + 2 * HOUR)

    assert found.run == runs_of(database, first)[0].id


def ask_day(database: Database, name: str, day: Day, *, at: datetime = NOW) -> Explanation:
    with database.reading() as session:
        return explain.explain(session, name, day, at=at)


def test_a_day_is_explained_by_its_fire(database: Database) -> None:
    job = make_job(database, cron="30 2 * * *", timezone=NEW_YORK, at=NOON - DAY)
    record(database, job, at=datetime(2026, 6, 16, 7, tzinfo=UTC))
    runs = runs_of(database, job)

    # In New York, NOON is still the morning of 15 June.
    today = ask_day(database, job.name, Day(), at=NOON)
    tomorrow = ask_day(database, job.name, Day(days=1), at=NOON)
    by_date = ask_day(database, job.name, Day(date(2026, 6, 16)))

    assert [today.at, tomorrow.at] == [NOON - 5.5 * HOUR, NOON + 18.5 * HOUR]
    assert by_date.run == runs[-1].id
    assert "first of several" not in by_date.sentence


def test_a_day_with_several_fires_is_explained_by_the_first(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON)

    first = ask_day(database, job.name, Day(date(2026, 6, 16)), at=NOON)
    of_its_creation = ask_day(database, job.name, Day(), at=NOON)

    assert first.at == datetime(2026, 6, 16, tzinfo=UTC)
    assert "It is the first of several fires of 2026-06-16" in first.sentence
    assert of_its_creation.at == NOON + HOUR


def test_a_day_without_a_fire_says_so_and_names_those_around_it(database: Database) -> None:
    job = make_job(database, cron="0 12 * * MON", at=NOON - 30 * DAY)

    found = ask_day(database, job.name, Day(date(2026, 6, 17)))

    assert found.verdict == "not_a_fire"
    assert "The schedule has no fire on 2026-06-17" in found.sentence
    assert found.previous is not None
    assert found.next is not None
    assert (found.previous.at, found.next.at) == (NOON, NOON + 7 * DAY)
    assert found.sentence.endswith(
        "The nearest fires are before it, 2026-06-15 12:00 UTC, and after it, 2026-06-22 12:00 UTC."
    )


def test_a_single_fire_is_named_in_the_singular(database: Database) -> None:
    job = make_job(database, once_at=NOON + DAY)

    found = ask(database, job.name, NOON)

    assert found.sentence.endswith("The nearest fire is after it, 2026-06-16 12:00 UTC.")


def test_a_start_by_hand_is_found_by_its_day(database: Database) -> None:
    job = make_job(database, schedule=None, at=NOON)
    run = make_run(database, job, at=NOON + 3 * HOUR, triggered_by="ann")

    assert ask_day(database, job.name, Day(date(2026, 6, 15))).run == run


def test_a_day_before_the_job_says_when_it_was_created(database: Database) -> None:
    job = make_job(database, cron="0 12 * * *", at=NOON)

    assert ask_day(database, job.name, Day(date(2026, 6, 14))).verdict == "not_yet_created"


def test_a_day_of_an_edit_has_the_fires_of_both_schedules(database: Database) -> None:
    job = make_job(database, cron="0 23 * * *", at=NOON - 5 * DAY)
    change(database, job, at=NOON, cron="0 18 * * *")

    on_the_day = ask_day(database, job.name, Day(date(2026, 6, 15)))
    before = ask_day(database, job.name, Day(date(2026, 6, 14)))

    assert on_the_day.at == NOON + 6 * HOUR
    assert before.at == NOON - 13 * HOUR


def test_a_time_before_an_edit_has_the_schedules_of_that_time(database: Database) -> None:
    saturday = Schedule(cron="0 6 * * 6")
    parts = (Schedule(cron="0 11 * * *"), Schedule(cron="30 11 * * *"), saturday)
    job = make_job(database, schedule=Schedules(parts), at=NOON - DAY)
    change(database, job, at=NOON, schedule=Schedules(parts[:1] + parts[2:]))
    change(database, job, at=NOON + MINUTE, schedule=parts[0])

    then = ask(database, job.name, NOON - 30 * MINUTE)
    between = ask(database, job.name, NOON + SECOND)
    now = ask(database, job.name, NOON + DAY - 30 * MINUTE)

    assert then.sentence.endswith("fire of schedule 2 of 3: At 11:30 every day, UTC.")
    assert "not a fire of the schedule, as it was then: At 11:00 every day" in between.sentence
    assert "and at 06:00 on Saturday, UTC." in between.sentence
    assert "not a fire of the schedule: At 11:00 every day, UTC." in now.sentence


def test_a_pause_by_failures_says_so(database: Database) -> None:
    job = make_job(database, at=NOON, cron="0 * * * *", pause_after_failures=1)
    failing = make_run(database, job)
    claim(database, failing, make_worker(database))
    finish(database, failing, RunState.FAILED, at=NOON)
    resume(database, job, at=NOON + 2 * HOUR)

    found = ask(database, job.name, NOON + HOUR)

    assert found.verdict == "paused"
    assert "by jobs-app (Paused after failures in a row" in found.sentence


def test_a_fire_whose_row_was_deleted_is_forgotten(database: Database) -> None:
    job = make_job(database, cron="0 * * * *")
    record(database, job, at=NOON)
    (fired,) = runs_of(database, job)
    claim(database, fired.id, make_worker(database))
    finish(database, fired.id)
    with database.session() as session:
        pruning.prune_runs(session, job.id, RunState.SUCCEEDED, before=NOON + SECOND, limit=10)

    found = ask(database, job.name, NOON)
    later = ask(database, job.name, NOON + HOUR)

    assert (found.verdict, found.run) == ("forgotten", None)
    assert "no longer kept" in found.sentence
    assert "2026-06-15 12:00 UTC" in found.sentence
    assert later.verdict != "forgotten"


def test_a_fire_of_a_job_that_only_watches_says_since_when(database: Database) -> None:
    job = make_job(database, cron="0 * * * *", at=NOON - DAY)
    change(database, job, at=NOON - 2 * HOUR, cron="0 * * * *", observe=True)
    change(database, job, at=NOON - HOUR, cron="0 * * * *", observe=True, description="x")
    record(database, job, at=NOON + SECOND)

    past = ask(database, job.name, NOON, at=NOON + MINUTE)
    ahead = ask(database, job.name, NOON + HOUR, at=NOON + MINUTE)
    change(database, job, at=NOON + 2 * MINUTE, cron="0 * * * *")
    over = ask(database, job.name, NOON, at=NOON + 3 * MINUTE)
    will_run = ask(database, job.name, NOON + HOUR, at=NOON + 3 * MINUTE)

    since = "since 2026-06-15 10:00 UTC by ann."
    sentence = (
        f"It was observed at 2026-06-15 12:00:01 UTC, and not run: the job only watched {since}"
    )
    assert (past.verdict, past.sentence) == ("observed", sentence)
    assert past.run is not None
    assert (ahead.verdict, ahead.sentence) == (
        "observed",
        f"It will be observed at 2026-06-15 13:00 UTC, and not run: the job only watches {since}",
    )
    assert over.sentence == past.sentence
    assert will_run.verdict == "will_run"


def test_a_failure_by_hand_after_the_newest_fire_is_explained_too(database: Database) -> None:
    job = make_job(database, cron="45 23 * * *", at=NOON)
    ahead = ask_newest(database, job, at=NOON + SECOND)
    by_hand = make_run(database, job, at=NOON + MINUTE, triggered_by="ann")
    claim(database, by_hand, make_worker(database), at=NOON + MINUTE)
    finish(database, by_hand, RunState.FAILED, at=NOON + MINUTE + SECOND)

    found = ask_newest(database, job, at=NOON + 2 * MINUTE)

    assert ahead.sentence == "It will run at 2026-06-15 23:45 UTC."
    assert (found.verdict, found.run) == ("will_run", by_hand)
    assert found.sentence.startswith(
        f"{ahead.sentence} Its newest run is not of the schedule. It was started by hand by ann:"
        f" run {by_hand} started at 2026-06-15 12:01 UTC and failed after 1 s"
    )
    # An instant is explained by itself.
    at_noon = ask(database, job.name, NOON + 3 * MINUTE, at=NOON + HOUR)
    assert "newest run" not in at_noon.sentence


def test_a_job_of_a_start_runs_at_the_next_one(database: Database) -> None:
    job = make_job(database, schedule=Schedule(on="start"), at=NOON)

    found = ask_newest(database, job, at=NOON + MINUTE)

    assert (found.verdict, found.sentence) == ("will_run", "It will run when jobs-app starts next.")
    assert ask(database, job.name, NOON + MINUTE).verdict == "not_a_fire"
    pause(database, job, at=NOON + 2 * MINUTE)
    assert ask_newest(database, job, at=NOON + 3 * MINUTE).verdict == "paused"
