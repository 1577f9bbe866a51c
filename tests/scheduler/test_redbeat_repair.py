"""The entries in Redis become what the rows say, a step at a time."""

import pytest

from jobs_app.db.engine import Database
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.scheduler.redbeat_repair import (
    LEFTOVER_ROUND_SECONDS,
    ROUND_SECONDS,
    RedBeatRepair,
)
from tests.factories import DAY, NOON, make_job
from tests.redbeat_scores import scores


@pytest.fixture
def repair(database: Database, projection: Projection) -> RedBeatRepair:
    return RedBeatRepair(database, projection)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs_app.scheduler.redbeat_repair.BATCH", 2)


def test_entries_that_redis_lost_are_written_anew(
    database: Database, repair: RedBeatRepair, projection: Projection
) -> None:
    due = [make_job(database, cron="0 * * * *") for _ in range(3)]
    make_job(database, schedule=None)

    assert repair.rebuild_next()

    keys, _, is_marked = projection.due(at=NOON, limit=10)
    assert sorted(projection.job_id(key) or 0 for key in keys) == [job.id for job in due]
    assert is_marked


def test_an_empty_database_is_projected_too(repair: RedBeatRepair, projection: Projection) -> None:
    assert repair.rebuild_next()

    assert projection.due(at=NOON, limit=10) == ([], None, True)


def test_entries_are_written_anew_some_at_a_time_and_marked_at_the_end(
    database: Database, repair: RedBeatRepair, projection: Projection, small_batches: None
) -> None:
    jobs = [make_job(database, cron="0 * * * *") for _ in range(4)]
    steps = []

    for _ in range(3):
        is_done = repair.rebuild_next()
        steps.append((is_done, len(scores(projection)), projection.due(at=NOON, limit=1)[2]))

    assert steps == [(False, 2, False), (False, 4, False), (True, 4, True)]
    assert scores(projection) == {job.id: NOON.timestamp() for job in jobs}


def test_a_rebuild_begins_again_if_redis_loses_its_data_meanwhile(
    database: Database, repair: RedBeatRepair, projection: Projection, small_batches: None
) -> None:
    jobs = [make_job(database, cron="0 * * * *") for _ in range(3)]

    repair.rebuild_next()
    projection._redis.delete(projection.schedule_key, projection.rebuild_key)
    steps = [repair.rebuild_next() for _ in range(3)]

    assert steps == [False, False, True]
    assert set(scores(projection)) == {job.id for job in jobs}


def test_a_scheduler_that_takes_over_does_not_go_on_with_its_old_rebuild(
    database: Database, repair: RedBeatRepair, projection: Projection, small_batches: None
) -> None:
    jobs = [make_job(database, cron="0 * * * *") for _ in range(3)]
    repair.rebuild_next()
    projection._redis.delete(projection.schedule_key, projection.rebuild_key)
    # Another scheduler has begun its own.
    RedBeatRepair(database, projection).rebuild_next()
    projection.write_scores({jobs[0].id: None})

    repair.start_over()
    steps = [repair.rebuild_next() for _ in range(2)]

    assert steps == [False, True]
    assert set(scores(projection)) == {job.id for job in jobs}


def test_entries_that_differ_from_their_rows_are_mended(
    database: Database, repair: RedBeatRepair, projection: Projection
) -> None:
    right, wrong, missing = (make_job(database, cron="0 * * * *") for _ in range(3))
    projection.write([right, wrong])
    projection.write_scores({wrong.id: NOON + DAY})

    assert repair.compare_next(monotonic=1000.0) == 2

    expected = {job.id: NOON.timestamp() for job in (right, wrong, missing)}
    assert scores(projection) == expected
    assert repair.compare_next(monotonic=1000.0 + ROUND_SECONDS) == 0


def test_entries_are_mended_some_at_a_time_and_then_from_the_start(
    database: Database,
    repair: RedBeatRepair,
    projection: Projection,
    small_batches: None,
) -> None:
    jobs = [make_job(database, cron="0 * * * *") for _ in range(3)]

    assert [repair.compare_next(monotonic=1000.0) for _ in range(2)] == [2, 1]
    projection.write_scores({jobs[0].id: NOON + DAY})
    assert repair.compare_next(monotonic=999.0 + ROUND_SECONDS) == 0
    assert repair.compare_next(monotonic=1000.0 + ROUND_SECONDS) == 1

    assert scores(projection) == {job.id: NOON.timestamp() for job in jobs}


def test_mending_entries_does_not_say_that_all_of_them_are_there(
    database: Database, repair: RedBeatRepair, projection: Projection
) -> None:
    make_job(database, cron="0 * * * *")

    assert repair.compare_next(monotonic=1000.0) == 1

    assert projection.due(at=NOON, limit=10)[2] is False


def test_entries_without_a_job_that_fires_are_removed_once_in_a_round(
    database: Database, repair: RedBeatRepair, projection: Projection
) -> None:
    kept, ended = make_job(database, cron="0 * * * *"), make_job(database, schedule=None)
    projection.write_scores({kept.id: NOON, ended.id: NOON, 999_999: NOON})

    assert repair.remove_leftovers(monotonic=1000.0) == 2
    projection.write_scores({999_999: NOON})
    early, next_round = (
        repair.remove_leftovers(monotonic=1000.0 + seconds)
        for seconds in (LEFTOVER_ROUND_SECONDS - 1, LEFTOVER_ROUND_SECONDS)
    )

    assert (early, next_round) == (0, 1)
    assert set(scores(projection)) == {kept.id}


def test_a_round_through_many_entries_takes_several_steps(
    repair: RedBeatRepair, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_app.scheduler.redbeat_repair.BATCH", 100)
    projection.write_scores(dict.fromkeys(range(1000, 1500), NOON))

    first = repair.remove_leftovers(monotonic=1000.0)
    while scores(projection):
        assert repair.remove_leftovers(monotonic=1001.0) > 0

    assert 0 < first < 500
