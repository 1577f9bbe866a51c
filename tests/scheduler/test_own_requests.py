"""Requests of the scheduler itself: refused like webhooks, and quiet about their address."""

import httpx
import pytest

from jobs_app.scheduler.own_requests import OwnRequests
from jobs_app.tasks.http_request import Request, checked_url
from jobs_app.tasks.network_policy import NetworkPolicy


def test_a_private_address_is_refused_and_the_setting_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = OwnRequests("a_url", NetworkPolicy(), seconds=5)

    def request() -> Request:
        url = checked_url("http://169.254.169.254/canary")
        return Request("GET", url, httpx.Headers(), None)

    assert not requests.send(request)
    assert not requests.send(request)

    [line] = [line for line in caplog.messages if "a_url" in line]
    assert "JOBS_HTTP_ALLOW" in line
    assert "canary" not in line
