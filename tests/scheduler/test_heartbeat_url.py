"""JOBS_HEARTBEAT_URL: called while the scheduler ticks, never secret in the log."""

import threading
from collections.abc import Iterator

import pytest

from jobs_app.scheduler.heartbeat_url import HeartbeatUrl
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.servers import wait_until

OPEN = NetworkPolicy(allows_private=True)
CANARY = "canary-7f3e"


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


def heartbeat(url: str, *, policy: NetworkPolicy = OPEN, seconds: float = 60) -> HeartbeatUrl:
    return HeartbeatUrl(f"{url}/ping/{CANARY}?{CANARY}", policy, seconds=seconds)


def test_it_is_called_once_in_each_interval(recorder: WebhookServer) -> None:
    beating = heartbeat(recorder.url)
    beating.start()

    for monotonic in (100.0, 101.0, 159.9):
        beating.beat(monotonic)
    wait_until(lambda: len(recorder.received) == 1, "the first call")
    beating.beat(160.0)
    wait_until(lambda: len(recorder.received) == 2, "the second call")
    beating.stop()

    assert {received.path for received in recorder.received} == {f"/ping/{CANARY}?{CANARY}"}


def test_a_server_that_hangs_holds_up_nobody(recorder: WebhookServer) -> None:
    recorder.is_holding = True
    beating = heartbeat(recorder.url, seconds=5)
    beating.start()
    done = threading.Event()

    def tick() -> None:
        for second in range(600):
            beating.beat(float(second))
        beating.stop()
        done.set()

    threading.Thread(target=tick, daemon=True).start()

    assert done.wait(5)


def test_a_failure_and_its_end_are_logged_once(
    recorder: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.statuses = [500, 404, 301, 200, 200]
    beating = heartbeat(recorder.url)

    outcomes = [beating.call() for _ in range(5)]

    assert outcomes == [False, False, False, True, True]
    assert [line for line in caplog.messages if "heartbeat_url" in line] == [
        "heartbeat_url_failed reason=It answered 500.",
        "heartbeat_url_answers_again",
    ]


@pytest.mark.parametrize("kind", ["private address", "no name", "no connection"])
def test_no_line_shows_the_path_of_the_url(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "private address":
        beating = heartbeat("http://127.0.0.1:9", policy=NetworkPolicy())
    elif kind == "no name":
        beating = heartbeat("http://no-such-host.invalid")
    else:
        beating = heartbeat("http://127.0.0.1:9")

    assert not beating.call()

    assert "heartbeat_url_failed" in caplog.text
    assert CANARY not in caplog.text
    assert ("JOBS_HTTP_ALLOW" in caplog.text) is (kind == "private address")
