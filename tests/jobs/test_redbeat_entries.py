"""Entries in Redis: what stock RedBeat reads there, and what never stands there."""

import socket
import threading
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from redis import Redis

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs import redbeat_entries
from jobs_app.jobs.redbeat_entries import Projection
from tests.factories import HOUR, NOON, make_job
from tests.redbeat_scores import scores
from tests.servers import crowding


def test_kwargs_never_reach_redis(
    database: Database, projection: Projection, redis_url: str
) -> None:
    job = make_job(database, task="shell", kwargs={"command": "echo hunter2"})
    projection.write([job])

    with Redis.from_url(redis_url, decode_responses=True) as redis:
        assert "hunter2" not in str(redis.hgetall(projection.key(job.id)))


def test_a_job_that_will_not_fire_has_no_entry(database: Database, projection: Projection) -> None:
    job = make_job(database, cron="0 * * * *")
    projection.write([job])
    job.next_due_at = None

    projection.write([job])

    assert scores(projection) == {}


def test_due_keys_come_oldest_first_and_with_the_next_instant(
    database: Database, projection: Projection
) -> None:
    noon, one = make_job(database, cron="0 12 * * *"), make_job(database, cron="0 13 * * *")
    projection.write([one, noon])

    keys, following, is_marked = projection.due(at=NOON, limit=10)

    assert [projection.job_id(key) for key in keys] == [noon.id]
    assert following == NOON + HOUR
    assert not is_marked


def test_scores_hold_milliseconds(database: Database, projection: Projection) -> None:
    job = make_job(database, cron="0 12 * * *")
    instant = NOON + timedelta(milliseconds=123)
    projection.write([job])

    projection.write_scores({job.id: instant})

    assert projection.due(at=instant - timedelta(milliseconds=1), limit=1)[0] == []
    assert projection.due(at=instant, limit=1)[0] == [projection.key(job.id)]


def test_an_edit_wakes_whoever_waits_and_one_that_comes_later(
    database: Database, projection: Projection
) -> None:
    assert not projection.wait(0.01)

    projection.write([make_job(database)])
    projection.write([make_job(database)])

    assert projection.wait(5)
    assert not projection.wait(0.01)


def test_entries_of_other_programs_are_recognized(projection: Projection) -> None:
    prefix = projection.key(1).removesuffix("job:1")

    assert projection.job_id(f"{prefix}job:17") == 17
    assert projection.job_id(f"{prefix}their-task") is None
    assert projection.job_id(f"{prefix}job:x") is None
    assert projection.job_id(f"{prefix}other-job:3") is None


def test_redis_that_does_not_answer_is_reported_at_once() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        silent = Projection(Settings(redis_url=f"redis://127.0.0.1:{port}/0"), timeout_seconds=0.25)
        began = time.monotonic()

        with pytest.raises(BrokerUnavailable):
            silent.wake()

        assert time.monotonic() - began < crowding()
        silent.close()


def test_a_wait_ends_when_it_said(projection: Projection) -> None:
    overtimes = []
    for asked in (0.03, 0.13, 0.17, 0.21, 0.04, 0.15, 0.19, 0.12, 0.16):
        began = time.monotonic()
        assert projection.wait(asked) is False
        overtimes.append(time.monotonic() - began - asked)

    assert min(overtimes) >= 0
    assert sorted(overtimes)[len(overtimes) // 2] < 0.03


def test_a_cheap_wait_does_not_poll_and_ends_at_a_wake_up_too(
    projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection._redis, "lpop", None)
    began = time.monotonic()

    assert projection.wait(0.2, is_exact=False) is False

    assert time.monotonic() - began >= 0.2
    projection.wake()
    assert projection.wait(60, is_exact=False) is True


def test_a_wake_up_ends_the_last_stretch_of_a_wait_too(
    projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of the wait is its last stretch.
    monkeypatch.setattr(redbeat_entries, "BLOCKING_INACCURACY_SECONDS", 60.0)
    waker = threading.Timer(0.03, projection.wake)
    waker.start()

    began = time.monotonic()
    assert projection.wait(60)

    assert time.monotonic() - began < 30
    waker.join()


def test_a_prefix_belongs_to_the_first_that_takes_it_and_no_other_one_writes_under_it(
    database: Database, redis_settings: Settings
) -> None:
    mine, other = uuid4(), uuid4()
    job = make_job(database)
    projection, foreign = Projection(redis_settings), Projection(redis_settings)

    assert projection.take_prefix(mine)
    assert projection.take_prefix(mine)
    assert not foreign.take_prefix(other)
    assert not foreign.look_at_prefix(other)
    projection.rebuild([job])
    before = scores(projection)
    foreign.write_scores({job.id: None})
    foreign.write_scores({job.id: NOON})
    job.next_due_at = NOON
    foreign.write([job])
    foreign.begin_rebuild()
    foreign.rebuild([job])
    assert not foreign.end_rebuild()

    assert scores(projection) == before
    with pytest.raises(BrokerUnavailable, match="JOBS_REDIS_PREFIX"):
        foreign.scan(0, count=10)


def test_a_scan_returns_the_jobs_of_all_entries_and_no_other_programs_keys(
    projection: Projection, redis_url: str
) -> None:
    projection.write_scores(dict.fromkeys(range(1, 501), NOON))
    with Redis.from_url(redis_url) as redis:
        redis.zadd(projection.schedule_key, {"their-task": 1})
    cursor, pages = projection.scan(0, count=100), []

    while True:
        pages.append(cursor[1])
        if cursor[0] == 0:
            break
        cursor = projection.scan(cursor[0], count=100)

    assert len(pages) > 1
    assert sorted(number for page in pages for number in page) == list(range(1, 501))


def test_a_rebuild_that_redis_lost_sets_no_mark(
    database: Database, projection: Projection, redis_url: str
) -> None:
    projection.begin_rebuild()
    projection.rebuild([make_job(database)])
    with Redis.from_url(redis_url) as redis:
        redis.delete(projection.rebuild_key, projection.schedule_key)

    assert not projection.end_rebuild()
    assert projection.due(at=NOON, limit=1)[2] is False
    projection.begin_rebuild()
    assert projection.end_rebuild()
    assert projection.due(at=NOON, limit=1)[2] is True
