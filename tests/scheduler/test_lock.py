"""The scheduler's lock: one holder, and no harm from an answer that is lost."""

from uuid import uuid4

import pytest
from redis import Redis

from jobs_app.scheduler.lock import SchedulerLock, Taking
from tests.servers import wait_until


@pytest.fixture
def key() -> str:
    return f"test-{uuid4()}:lock"


def test_one_scheduler_holds_the_lock_until_it_releases_it(redis_url: str, key: str) -> None:
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        ours, theirs = (SchedulerLock(redis, key, seconds=30) for _ in range(2))

        assert ours.take() is Taking.TAKEN
        assert theirs.take() is Taking.REFUSED
        theirs.release()
        assert ours.take() is Taking.KEPT
        ours.release()
        assert theirs.take() is Taking.TAKEN


def test_the_lock_is_kept_for_its_full_time_again(redis_url: str, key: str) -> None:
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        lock = SchedulerLock(redis, key, seconds=30)
        lock.take()
        redis.pexpire(key, 1000)

        assert lock.take() is Taking.KEPT

        assert redis.pttl(key) > 20_000


def test_the_lock_of_a_scheduler_that_died_expires(redis_url: str, key: str) -> None:
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        dead, alive = (SchedulerLock(redis, key, seconds=0.2) for _ in range(2))
        dead.take()

        wait_until(lambda: alive.take() is Taking.TAKEN, "the lock has expired")


def test_the_lock_keeps_out_stock_redbeat_and_heeds_it(redis_url: str, key: str) -> None:
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        ours, stock = SchedulerLock(redis, key, seconds=30), redis.lock(key, timeout=30)

        ours.take()
        assert not stock.acquire(blocking=False)
        ours.release()
        assert stock.acquire(blocking=False)
        assert ours.take() is Taking.REFUSED
