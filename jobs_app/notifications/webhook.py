"""Webhooks: signed requests, so that a receiver knows who sent them."""

import asyncio
import hashlib
import hmac
import json
import ssl
from dataclasses import dataclass
from typing import Any

import certifi
import httpx

import jobs_app
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.network_policy import NetworkPolicy

CONNECT_SECONDS = 5.0


class NotSent(Exception):
    """The message was not sent; the text says why, without any part of the address."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One request: its address, the secret that signs it, and its content."""

    url: str
    secret: str
    event: str
    delivery_id: str
    document: dict[str, Any]
    sent_at: int

    def body(self) -> bytes:
        """Return the body that is sent, and signed."""
        return json.dumps(self.document, ensure_ascii=False, separators=(",", ":")).encode()

    def headers(self) -> dict[str, str]:
        """Return the headers, with the signature."""
        return {
            "Content-Type": "application/json",
            "User-Agent": f"jobs-app/{jobs_app.__version__}",
            "Accept-Encoding": "identity",
            "Jobs-Event": self.event,
            "Jobs-Delivery": self.delivery_id,
            "Jobs-Signature": signature(self.secret, self.body(), sent_at=self.sent_at),
        }


def signature(secret: str, body: bytes, *, sent_at: int) -> str:
    """Return `t=<unix seconds>,v1=<hex>`: HMAC-SHA-256 over the seconds, a dot and the body."""
    signed = f"{sent_at}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={sent_at},v1={digest}"


def send(request: WebhookRequest, policy: NetworkPolicy, *, seconds: float) -> None:
    """Send the request; raises NotSent without a 2xx answer within *seconds*.

    A redirect is not followed: it would send the message to an address that nobody chose.
    """
    post = _post(request, policy, seconds=seconds)
    try:
        status = asyncio.run(asyncio.wait_for(post, seconds))
    except TimeoutError as error:
        raise NotSent(f"No answer within {seconds:g} s.") from error
    except HttpFailed as error:
        raise NotSent(error.detail) from error
    if 300 <= status < 400:
        raise NotSent(f"It answered {status}: redirects are not followed.")
    if not 200 <= status < 300:
        raise NotSent(f"It answered {status}.")


async def _post(request: WebhookRequest, policy: NetworkPolicy, *, seconds: float) -> int:
    """Return the status that the first address with a connection answers."""
    url = httpx.URL(request.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    refused: httpx.TransportError | None = None
    for address in await policy.checked_addresses(url.host, port):
        try:
            return await _post_to(str(address), url, request, seconds=seconds)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            refused = error
        except (httpx.HTTPError, ValueError) as error:
            raise NotSent(f"The connection broke: {type(error).__name__}.") from error
    raise NotSent(f"No connection: {refused or 'no address'}.") from refused


async def _post_to(address: str, url: httpx.URL, request: WebhookRequest, *, seconds: float) -> int:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(
        verify=context, trust_env=False, follow_redirects=False, timeout=timeout
    ) as client:
        # The URL holds the address that was checked; the name goes into Host and TLS.
        post = client.build_request(
            "POST",
            url.copy_with(host=address),
            headers={**request.headers(), "Host": url.netloc.decode("ascii")},
            content=request.body(),
            extensions={"sni_hostname": url.host},
        )
        # The body of the answer is not read, however long it is.
        response = await client.send(post, stream=True)
        await response.aclose()
        return response.status_code
