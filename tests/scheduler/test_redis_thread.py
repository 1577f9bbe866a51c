"""Calls to Redis that hang: their callers go on, and the next call that can be made is made."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.scheduler.redis_thread import RedisThread
from tests.servers import crowding, wait_until


@pytest.fixture
def redis_thread() -> Iterator[RedisThread]:
    opened = RedisThread(seconds=0.2, probe_seconds=0.05)
    yield opened
    opened.close()


@pytest.fixture
def hanging(redis_thread: RedisThread) -> Iterator[threading.Event]:
    """A call hangs until the event is set; its caller has given up."""
    answer = threading.Event()
    with pytest.raises(BrokerUnavailable):
        redis_thread.run(lambda: answer.wait(60))
    yield answer
    answer.set()


def test_a_call_returns_its_result_and_raises_its_own_error(redis_thread: RedisThread) -> None:
    assert redis_thread.run(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        redis_thread.run(lambda: 1 / 0)
    assert redis_thread.run(lambda: 43) == 43


def test_an_error_of_time_is_the_calls_own(redis_thread: RedisThread) -> None:
    def time_out() -> None:
        raise TimeoutError("of the socket")

    with pytest.raises(TimeoutError, match="of the socket"):
        redis_thread.run(time_out)


def test_by_default_a_call_that_hangs_holds_its_caller_for_less_than_a_second() -> None:
    redis_thread, answer = RedisThread(), threading.Event()
    began = time.monotonic()

    with pytest.raises(BrokerUnavailable):
        redis_thread.run(lambda: answer.wait(60))

    assert time.monotonic() - began < 1.0 * crowding()
    answer.set()
    redis_thread.close()


def test_while_a_call_hangs_all_others_fail_at_once(
    redis_thread: RedisThread, hanging: threading.Event
) -> None:
    began = time.monotonic()

    for _ in range(100):
        with pytest.raises(BrokerUnavailable):
            redis_thread.run(lambda: 42, extra_seconds=60)

    assert time.monotonic() - began < 0.2 * crowding()


def test_calls_are_made_again_as_soon_as_the_one_that_hung_has_ended(
    redis_thread: RedisThread, hanging: threading.Event
) -> None:
    hanging.set()

    def answers() -> bool:
        try:
            return redis_thread.run(lambda: 42) == 42
        except BrokerUnavailable:
            return False

    wait_until(answers, "Redis answers")


def test_a_call_that_its_caller_gave_up_before_it_began_is_never_made(
    redis_thread: RedisThread,
) -> None:
    answer, made = threading.Event(), []
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(redis_thread.run, lambda: answer.wait(60))
        second = callers.submit(redis_thread.run, lambda: made.append("second"))
        for call in (first, second):
            assert isinstance(call.exception(timeout=30), BrokerUnavailable)

    answer.set()
    redis_thread.close()
    wait_until(
        lambda: not any(thread.name == "redis" for thread in threading.enumerate()),
        "the thread has ended",
    )
    assert made == []


def test_a_call_may_take_the_extra_time_that_it_asks_for(redis_thread: RedisThread) -> None:
    assert redis_thread.run(lambda: threading.Event().wait(0.4), extra_seconds=30) is False


def test_a_call_that_waits_for_a_long_one_is_not_given_up(redis_thread: RedisThread) -> None:
    with ThreadPoolExecutor(1) as caller:
        long = caller.submit(redis_thread.run, lambda: time.sleep(0.5), extra_seconds=30)
        wait_until(lambda: redis_thread.is_busy, "the long call runs")

        assert redis_thread.run(lambda: 42) == 42
        long.result()
