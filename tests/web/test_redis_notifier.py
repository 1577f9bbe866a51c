"""The log says when Redis fails and when it is back, however many requests ask it."""

import pytest

from jobs_app.core.errors import BrokerUnavailable
from jobs_app.web.redis_notifier import REPEAT_SECONDS, RedisNotifier, RedisOutageLog


def fail() -> None:
    raise BrokerUnavailable("Connection refused")


def answer() -> None:
    pass


def test_an_outage_has_a_line_at_its_beginning_few_within_and_one_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1000.0]
    of_requests = RedisNotifier(seconds=10, outage_log=RedisOutageLog(monotonic=lambda: now[0]))
    of_pages = of_requests.beside()

    # A page asks every five seconds, for ten minutes.
    for _ in range(120):
        assert not of_requests.run(fail)
        assert not of_pages.run(fail)
        now[0] += 5
    for _ in range(3):
        assert of_requests.run(answer)
        assert of_pages.run(answer)
    assert not of_requests.run(fail)

    down = "redis_unavailable error=Connection refused down_seconds"
    assert caplog.messages == [
        f"{down}=0",
        f"{down}={REPEAT_SECONDS:.0f}",
        "redis_available down_seconds=600",
        f"{down}=0",
    ]
