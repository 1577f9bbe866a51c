"""A webhook is called once, at the checked address, and its errors do not show its URL."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from jobs_app.notifications import webhook
from jobs_app.notifications.webhook import NotSent, WebhookRequest, send
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.notifications.webhook_server import WebhookServer, webhook_server

OPEN = NetworkPolicy(allows_private=True)
CANARY = "canary-7f3e"


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


def request(url: str) -> WebhookRequest:
    return WebhookRequest(url, "s" * 16, "failed", "id", {"run": "1"}, sent_at=1)


def test_the_name_of_a_webhook_is_looked_up_once(
    recorder: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hosts = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **kwargs: Any) -> object:
        if host != "rebinding.test":
            return real(host, *args, **kwargs)
        hosts.append(host)
        return real("127.0.0.1" if len(hosts) == 1 else "169.254.169.254", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = recorder.url.replace("127.0.0.1", "rebinding.test")

    send(request(f"{url}/hook"), OPEN, seconds=30)

    assert [got.headers["Host"] for got in recorder.received] == [url.removeprefix("http://")]
    assert len(hosts) == 1


def test_the_body_of_the_answer_is_not_read(recorder: WebhookServer) -> None:
    recorder.has_endless_body = True

    send(request(f"{recorder.url}/hook"), OPEN, seconds=30)

    assert len(recorder.received) == 1


def test_a_connection_that_is_not_accepted_has_a_limit_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "CONNECT_SECONDS", 0.1)
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # a full queue: the kernel leaves further connections unanswered
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())

        with pytest.raises(NotSent, match="No connection"):
            send(request(f"http://127.0.0.1:{listener.getsockname()[1]}/"), OPEN, seconds=60)


@pytest.mark.parametrize("kind", ["refused address", "no connection", "broken", "no name"])
def test_an_error_shows_no_part_of_the_url(recorder: WebhookServer, kind: str) -> None:
    policy, url = OPEN, recorder.url
    if kind == "refused address":
        policy = NetworkPolicy()
    elif kind == "no connection":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    elif kind == "broken":
        recorder.statuses = [99]
    else:
        url = "http://no-such-host.invalid"

    with pytest.raises(NotSent) as raised:
        send(request(f"{url}/{CANARY}?{CANARY}"), policy, seconds=30)

    assert CANARY not in str(raised.value)
    assert "/" not in str(raised.value)
