"""The HTTP client of the task `http` and of webhooks.

Each address is checked before it is called, and each redirect as a request of its own. Time
and size stay within their limits, whatever a server does.
"""

import asyncio
import itertools
import logging
import re
import ssl
import time
import zlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus

import certifi
import httpx

from jobs_app.core import clock
from jobs_app.core.text import reason_of
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.network_policy import Address, NetworkPolicy

CONNECT_SECONDS = 10.0
REDIRECTS = (301, 302, 303, 307, 308)
# The statuses of a busy server: a retry may help.
BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# There is no connection to an address: another address, or a later try, may have one.
NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# Headers that follow a redirect to another site: others may hold secrets for the first site.
PORTABLE_HEADERS = ("accept", "accept-encoding", "accept-language", "content-type", "user-agent")
# The encodings of web pages. Python has others that are not text, or take quadratic time.
TEXT_ENCODING = re.compile(
    r"utf-?(8|16)|(us-)?ascii|iso-?8859-\d+|latin-?1|windows-\d+|cp\d+|shift_jis|euc-(jp|kr)"
    r"|gb(k|2312|18030)|big5|koi8-[ru]",
    re.IGNORECASE,
)

# httpx logs every URL with its query, which may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a server."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    content: bytes | None

    @property
    def public_url(self) -> str:
        """The URL without user, password and query, which may hold secrets."""
        return str(self.url.copy_with(userinfo=b"", query=None, fragment=None))

    def redirected(self, status: int, location: str) -> "Request":
        """Return the request that a redirect asks for; raises HttpFailed if it is refused."""
        url = checked_url(location, base=self.url)
        if self.url.scheme == "https" and url.scheme == "http":
            raise HttpFailed(
                f"{self.public_url} redirects from https to http, which is not followed."
            )
        headers = httpx.Headers(self.headers)
        is_same_site = _site(url) == _site(self.url)
        if is_same_site:
            url = url.copy_with(userinfo=self.url.userinfo)
        else:
            url = url.copy_with(userinfo=b"")
            headers = httpx.Headers({k: v for k, v in headers.items() if k in PORTABLE_HEADERS})
        # As in browsers: only 307 and 308 repeat the method and the body.
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            headers.pop("content-type", None)
            method = "HEAD" if self.method == "HEAD" else "GET"
            return Request(method, url, headers, None)
        return replace(self, url=url, headers=headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server; `is_cut` says that it had more than was read."""

    status: int
    headers: httpx.Headers
    raw: bytes
    is_cut: bool
    redirects: int = 0
    retries: int = 0

    def body(self, limit_bytes: int) -> tuple[bytes, bool]:
        """Return at most *limit_bytes* of the unpacked body, and whether there was more."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("gzip", "x-gzip", "deflate"):
            return self.raw, self.is_cut
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            body = unpacker.decompress(self.raw, limit_bytes)
        except zlib.error:
            return self.raw, self.is_cut
        return body, self.is_cut or bool(unpacker.unconsumed_tail)

    def text(self, body: bytes) -> str:
        """Return *body* as text, in the encoding that the answer names."""
        content_type = self.headers.get("content-type", "")
        named = re.search(r"charset=[\"']?([\w-]+)", content_type, re.IGNORECASE)
        encoding = named[1] if named and TEXT_ENCODING.fullmatch(named[1]) else "utf-8"
        try:
            text = body.decode(encoding, "replace")
        except LookupError:
            text = body.decode("utf-8", "replace")
        return text.replace("\x00", "\ufffd")

    @property
    def retry_after_seconds(self) -> float:
        """The wait that the header Retry-After asks for; 0 without the header."""
        header = self.headers.get("retry-after", "").strip()
        if header.isascii() and header.isdigit():
            return float(header[:9])
        try:
            wait = parsedate_to_datetime(header) - clock.now()
        except (TypeError, ValueError):
            return 0.0
        return max(wait / timedelta(seconds=1), 0.0)


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Makes requests with their redirects and retries.

    `verify` is True for the machine's trusted certificates, False for no check, or the path
    of a file of certificates. `on_retry` gets a line for each try that is repeated.
    """

    policy: NetworkPolicy
    timeout_seconds: float
    expected: frozenset[int]
    on_retry: Callable[[str], None]
    verify: bool | str = True
    max_redirects: int = 5
    retries: int = 0
    limit_bytes: int = 65_536

    async def answer(self, request: Request) -> Answer:
        """Return the answer to *request*, retried while that may help; raises HttpFailed."""
        give_up_at = time.monotonic() + self.timeout_seconds
        for tried in itertools.count():
            answer: Answer | None = None
            error: HttpFailed | None = None
            pause = min(FIRST_PAUSE_SECONDS * 2**tried, LONGEST_PAUSE_SECONDS)
            try:
                answer = replace(await self._followed(request), retries=tried)
                outcome = f"answered {answer.status}"
                pause = max(pause, answer.retry_after_seconds)
            except HttpFailed as failed:
                error, outcome = failed, failed.detail.rstrip(".")
            is_passing = error.may_pass if error else answer is not None and self._is_busy(answer)
            is_late = time.monotonic() + pause >= give_up_at
            if not is_passing or tried >= self.retries or is_late:
                break
            self.on_retry(
                f"{request.method} {request.public_url}: {outcome}; again in {pause:.3g} s"
            )
            await asyncio.sleep(pause)
        if answer is None:
            raise error or HttpFailed("There was no try.")
        return answer

    def _is_busy(self, answer: Answer) -> bool:
        return answer.status in BUSY and answer.status not in self.expected

    async def _followed(self, request: Request) -> Answer:
        for redirects in range(self.max_redirects + 1):
            answer = await self._send(request, redirects)
            location = answer.headers.get("location")
            is_expected = answer.status in self.expected
            if answer.status not in REDIRECTS or location is None or is_expected:
                return answer
            request = request.redirected(answer.status, location)
        if self.max_redirects == 0:
            raise HttpFailed("The answer is a redirect, and max_redirects is 0.")
        raise HttpFailed(f"There were more than {self.max_redirects} redirects.")

    async def _send(self, request: Request, redirects: int) -> Answer:
        try:
            answer = await send(
                request,
                self.policy,
                timeout=httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
                verify=self.verify,
                limit_bytes=self.limit_bytes,
            )
        except NO_CONNECTION as error:
            # A retry does not make a certificate valid.
            may_pass = "CERTIFICATE" not in str(error)
            detail = f"{request.public_url}: no connection ({reason_of(error)})."
            raise HttpFailed(detail, may_pass=may_pass) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            may_pass = isinstance(error, httpx.TransportError)
            detail = f"{request.public_url}: {reason_of(error)}."
            raise HttpFailed(detail, may_pass=may_pass) from error
        return replace(answer, redirects=redirects)


async def send(
    request: Request,
    policy: NetworkPolicy,
    *,
    timeout: httpx.Timeout,  # noqa: ASYNC109  # for each step, not for the whole
    verify: bool | str = True,
    limit_bytes: int | None = None,
) -> Answer:
    """Send *request* to the first of its addresses that takes a connection.

    Looks the host up once, and follows no redirect. Keeps *limit_bytes* of the body; None
    leaves it unread. Raises HttpFailed for an address that the policy refuses, and httpx's
    errors, those of NO_CONNECTION if no address takes a connection.
    """
    addresses = await policy.checked_addresses(request.url.host, port_of(request.url))
    # A client for each request: cookies must not follow a redirect, connections not be shared.
    async with httpx.AsyncClient(
        verify=tls_context(verify), trust_env=False, follow_redirects=False, timeout=timeout
    ) as client:
        response = await _open_response(client, request, addresses)
        raw = bytearray()
        async with aclosing(response):
            if limit_bytes is not None:
                async for part in response.aiter_raw():
                    raw += part
                    if len(raw) > limit_bytes:
                        break
    is_cut = limit_bytes is not None and len(raw) > limit_bytes
    return Answer(response.status_code, response.headers, bytes(raw[:limit_bytes]), is_cut)


async def _open_response(
    client: httpx.AsyncClient, request: Request, addresses: list[Address]
) -> httpx.Response:
    # The URL has the checked address; the name goes into the Host header and into TLS.
    headers = request.headers.copy()
    headers["Host"] = request.url.netloc.decode("ascii")
    for address in addresses:
        sent = client.build_request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=headers,
            content=request.content,
            extensions={"sni_hostname": request.url.host},
        )
        try:
            return await client.send(sent, stream=True)
        except NO_CONNECTION as error:
            no_connection = error
    raise no_connection


def checked_url(text: str, *, base: httpx.URL | None = None) -> httpx.URL:
    """Return *text* as a URL that can be called; raises HttpFailed.

    It may be relative to *base*.
    """
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        has_host = bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise HttpFailed("The URL cannot be read.") from error
    if url.scheme not in ("http", "https") or not has_host:
        raise HttpFailed("The URL must begin with http:// or https:// and name a host.")
    if not 0 < port_of(url) < 65_536:
        raise HttpFailed("The URL must have a port from 1 to 65535.")
    return url


def port_of(url: httpx.URL) -> int:
    """Return the port of *url*, or the usual one of its scheme."""
    if url.port is not None:
        return url.port
    return 443 if url.scheme == "https" else 80


def _site(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context for *verify*, as in HttpClient; raises HttpFailed.

    True trusts the certificates of the machine (SSL_CERT_FILE) and those of certifi.
    """
    if isinstance(verify, bool):
        return _common_context(verify)
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ValueError) as error:
        raise HttpFailed("The file that verify names holds no certificates to be read.") from error


@cache
def _common_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if verify:
        context.load_verify_locations(certifi.where())
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
