"""Webhooks: signed requests, so that a receiver knows who sent them."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jobs_app
from jobs_app.core.httpx_library import httpx
from jobs_app.tasks import http_client
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_errors import NoAnswer
from jobs_app.tasks.http_request import Request, checked_url
from jobs_app.tasks.network_policy import NetworkPolicy

CONNECT_SECONDS = 5.0


class NotSent(Exception):
    """The message was not sent; the text says why, without any secret part of the address.

    `quotation` is what a library said about it. It may quote any part of the address.
    """

    def __init__(self, text: str, quotation: str = "") -> None:
        super().__init__(text)
        self.quotation = quotation


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One request: its address, the secret that signs it, and its content."""

    url: str
    secret: str
    event: str
    delivery_id: str
    document: dict[str, Any]
    sent_at: int

    def request(self) -> Request:
        """Return the signed request; raises HttpFailed if its URL cannot be called."""
        body = json.dumps(self.document, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"jobs-app/{jobs_app.__version__}",
            "Accept-Encoding": "identity",
            "Jobs-Event": self.event,
            "Jobs-Delivery": self.delivery_id,
            "Jobs-Signature": signature(self.secret, body, sent_at=self.sent_at),
        }
        return Request("POST", checked_url(self.url), httpx.Headers(headers), body)


def signature(secret: str, body: bytes, *, sent_at: int) -> str:
    """Return `t=<unix seconds>,v1=<hex>`: HMAC-SHA-256 over the seconds, a dot and the body."""
    signed = f"{sent_at}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={sent_at},v1={digest}"


def send(webhook: WebhookRequest, policy: NetworkPolicy, *, seconds: float) -> None:
    """Send the request; raises NotSent without a 2xx answer within *seconds*.

    A redirect is not followed: it would send the message to an address that nobody chose.
    The body of the answer is not read, however long it is.
    """
    call(webhook.request, policy, seconds=seconds)


def call(make_request: Callable[[], Request], policy: NetworkPolicy, *, seconds: float) -> None:
    """Send a request as `send` does; *make_request* may raise HttpFailed."""
    timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    try:
        answer = http_client.send(make_request(), policy, timeout=timeout)
        status = asyncio.run(asyncio.wait_for(answer, seconds)).status
    except TimeoutError as error:
        raise NotSent(f"No answer within {seconds:g} s.") from error
    except NoAnswer as error:
        raise NotSent(f"{error.reason[0].upper()}{error.reason[1:]}.", error.cause) from error
    except HttpFailed as error:
        raise NotSent("It was not called.", error.detail) from error
    if 300 <= status < 400:
        raise NotSent(f"It answered {status}: redirects are not followed.")
    if not 200 <= status < 300:
        raise NotSent(f"It answered {status}.")
