"""The task `http`: sends one request and judges the answer by its status."""

import asyncio
import json as json_module
import logging
import re
import ssl
import time
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Literal, TypedDict

import certifi
import httpx
from celery import shared_task
from pydantic import Field, JsonValue

import jobs_app
from jobs_app.context import HttpFailed, RunContext, TimedOut, current_run
from jobs_app.settings import Settings
from jobs_app.tasks.egress import checked_addresses

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

BODY_BYTES = 65_536
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.2
KEPT_HEADERS = ("content-type", "content-length", "date", "etag", "location", "retry-after")
# What may follow a redirect to another site: the others may carry secrets meant for the first.
PORTABLE_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "user-agent")
# Python knows encodings that are no text, or take quadratic time; pages use these.
TEXT_ENCODING = re.compile(
    r"utf-?(8|16)|(us-)?ascii|iso-?8859-\d+|latin-?1|windows-\d+|cp\d+|shift_jis|euc-(jp|kr)"
    r"|gb(k|2312|18030)|big5|koi8-[ru]",
    re.IGNORECASE,
)

# httpx logs every URL with its query, which may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


class HttpResult(TypedDict):
    """The answer, as the run's result shows it; `body` is at most 64 KiB of text."""

    status: int
    headers: dict[str, str]
    body: str
    body_truncated: bool
    duration_seconds: float
    redirects: int


@shared_task(name="http")
def http(
    url: str,
    method: Method = "GET",
    headers: dict[str, str] | None = None,
    body: str | None = None,
    json: JsonValue = None,
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30,
    expect_status: list[int] | None = None,
) -> HttpResult:
    """Send a request to *url* and return the answer's status, headers and body.

    Any 2xx is a success unless *expect_status* lists others. *timeout_seconds*
    is for the whole of it, redirects (at most 5) included. *json* is sent as
    JSON, *body* as it is. Every attempt of a run carries the same
    Idempotency-Key, the run's id.
    """
    context = current_run.get()
    request = _first_request(context, url, method, headers or {}, body, json)
    exchange = _Exchange(
        allows_private=Settings().allow_private_addresses,
        timeout_seconds=timeout_seconds,
        expected=frozenset(expect_status or range(200, 300)),
    )
    started = time.monotonic()
    answer = asyncio.run(_unless_stopped(context, exchange, request, timeout_seconds))
    result = answer.result(time.monotonic() - started)
    line = f"{method} {request.shown} -> {answer.status} in {result['duration_seconds']:.3f} s\n"
    context.log.write("stdout", line.encode())
    if answer.status not in exchange.expected:
        context.log.write("stdout", result["body"].encode())
        expected = "2xx" if expect_status is None else ", ".join(map(str, expect_status))
        raise HttpFailed(f"{request.shown} answered {answer.status}; expected was {expected}.")
    return result


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: httpx.URL
    headers: httpx.Headers
    content: bytes | None

    @property
    def shown(self) -> str:
        """The URL without user, password and query, where secrets are."""
        return str(self.url.copy_with(userinfo=b"", query=None, fragment=None))

    def redirected(self, status: int, location: str) -> "_Request":
        """Return the request that a redirect asks for; raise HttpFailed if it must not be made."""
        url = _checked_url(str(self.url.join(location)))
        if self.url.scheme == "https" and url.scheme == "http":
            raise HttpFailed(f"{self.shown} redirects from https to http, which is not followed.")
        headers = httpx.Headers(self.headers)
        is_same_site = _site(url) == _site(self.url)
        if is_same_site:
            url = url.copy_with(userinfo=self.url.userinfo)
        else:
            url = url.copy_with(userinfo=b"")
            headers = httpx.Headers({k: v for k, v in headers.items() if k in PORTABLE_HEADERS})
        # As browsers do it: only 307 and 308 repeat what was sent.
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            headers.pop("content-type", None)
            method = "HEAD" if self.method == "HEAD" else "GET"
            return _Request(method, url, headers, None)
        return replace(self, url=url, headers=headers)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    raw: bytes
    is_cut: bool
    redirects: int

    def result(self, duration_seconds: float) -> HttpResult:
        body, is_cut = _unpacked(self.raw, self.headers.get("content-encoding", ""))
        return HttpResult(
            status=self.status,
            headers={name: self.headers[name] for name in KEPT_HEADERS if name in self.headers},
            body=_text(body, self.headers.get("content-type", "")),
            body_truncated=self.is_cut or is_cut,
            duration_seconds=round(duration_seconds, 3),
            redirects=self.redirects,
        )


@dataclass(frozen=True, slots=True)
class _Exchange:
    """How a request is made, redirects and all."""

    allows_private: bool
    timeout_seconds: float
    expected: frozenset[int]

    async def answer(self, request: _Request) -> _Answer:
        for redirects in range(MAX_REDIRECTS + 1):
            answer = await self._send(request, redirects)
            is_redirect = answer.status in (301, 302, 303, 307, 308)
            location = answer.headers.get("location")
            if not is_redirect or location is None or answer.status in self.expected:
                return answer
            request = request.redirected(answer.status, location)
        raise HttpFailed(f"There were more than {MAX_REDIRECTS} redirects.")

    async def _send(self, request: _Request, redirects: int) -> _Answer:
        """Send *request* to the first of its addresses that takes a connection."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await checked_addresses(url.host, port, allows_private=self.allows_private)
        refused: httpx.TransportError | None = None
        for address in addresses:
            try:
                return await self._send_to(str(address), request, redirects)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                refused = error
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                raise HttpFailed(f"{request.shown}: {_reason(error)}.") from error
        raise HttpFailed(f"{request.shown}: no connection ({_reason(refused)}).") from refused

    async def _send_to(self, address: str, request: _Request, redirects: int) -> _Answer:
        timeout = httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS)
        # A client for each: cookies must not follow a redirect, nor a connection be shared.
        async with httpx.AsyncClient(
            verify=_tls_context(), trust_env=False, follow_redirects=False, timeout=timeout
        ) as client:
            # The URL holds the address that was checked; the name goes into Host and TLS.
            sent = client.build_request(
                request.method,
                request.url.copy_with(host=address),
                headers={**request.headers, "host": request.url.netloc.decode("ascii")},
                content=request.content,
                extensions={"sni_hostname": request.url.host},
            )
            response = await client.send(sent, stream=True)
            try:
                raw = bytearray()
                async for part in response.aiter_raw():
                    raw += part
                    if len(raw) > BODY_BYTES:
                        break
            finally:
                await response.aclose()
        is_cut = len(raw) > BODY_BYTES
        kept = bytes(raw[:BODY_BYTES])
        return _Answer(response.status_code, response.headers, kept, is_cut, redirects)


async def _unless_stopped(
    context: RunContext, exchange: _Exchange, request: _Request, timeout_seconds: float
) -> _Answer:
    """Return the answer, unless the run is stopped or the time is up first.

    httpx limits the time of each step only: a server that sends a byte a
    second would hold the run for ever.
    """
    started = time.monotonic()
    work = asyncio.ensure_future(exchange.answer(request))
    try:
        while not work.done():
            elapsed = time.monotonic() - started
            context.stop_if_asked(elapsed_seconds=elapsed)
            if elapsed >= timeout_seconds:
                raise TimedOut(f"{request.shown}: no full answer within {timeout_seconds:g} s.")
            await asyncio.wait({work}, timeout=min(POLL_SECONDS, timeout_seconds - elapsed))
        return work.result()
    finally:
        work.cancel()


def _first_request(
    context: RunContext,
    url: str,
    method: str,
    headers: dict[str, str],
    body: str | None,
    json: JsonValue,
) -> _Request:
    if body is not None and json is not None:
        raise HttpFailed("Both body and json are given; one request has one body.")
    content = None if body is None else body.encode()
    sent = httpx.Headers(
        {
            "user-agent": f"jobs-app/{jobs_app.__version__}",
            "accept": "*/*",
            # A packed answer could unpack to any size.
            "accept-encoding": "identity",
            "idempotency-key": str(context.run_id),
        }
    )
    if json is not None:
        content = json_module.dumps(json).encode()
        sent["content-type"] = "application/json"
    try:
        sent.update(headers)
    except ValueError as error:
        raise HttpFailed("A header has characters that HTTP does not allow.") from error
    return _Request(method, _checked_url(url), sent, content)


def _checked_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise HttpFailed("The URL cannot be read.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise HttpFailed("The URL must begin with http:// or https:// and name a host.")
    return url


def _site(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _reason(error: Exception | None) -> str:
    return str(error).rstrip(".") or type(error).__name__


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that trusts the machine's authorities (SSL_CERT_FILE) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _unpacked(raw: bytes, encoding: str) -> tuple[bytes, bool]:
    """Return at most 64 KiB of the body, and whether there was more."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return raw, False
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        body = unpacker.decompress(raw, BODY_BYTES)
    except zlib.error:
        return raw, False
    return body, bool(unpacker.unconsumed_tail)


def _text(body: bytes, content_type: str) -> str:
    named = re.search(r"charset=[\"']?([\w-]+)", content_type, re.IGNORECASE)
    encoding = named[1] if named and TEXT_ENCODING.fullmatch(named[1]) else "utf-8"
    try:
        text = body.decode(encoding, "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return text.replace("\x00", "\ufffd")
