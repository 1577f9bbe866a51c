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
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus

import certifi

from jobs_app.core import clock
from jobs_app.core.httpx_library import httpx
from jobs_app.core.network_addresses import Address
from jobs_app.core.text import counted
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_body import DamagedBody, unpacked
from jobs_app.tasks.http_errors import NO_CONNECTION, NoAnswer, no_answer
from jobs_app.tasks.http_request import Redirect, Request, port_of
from jobs_app.tasks.network_policy import NetworkPolicy

CONNECT_SECONDS = 10.0
LOCATION = "location"
REDIRECTS = (301, 302, 303, 307, 308)
# The statuses of a busy server: a retry may help.
BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# The encodings of web pages. Python has others that are not text, or take quadratic time.
TEXT_ENCODING = re.compile(
    r"utf-?(8|16)|(us-)?ascii|iso-?8859-\d+|latin-?1|windows-\d+|cp\d+|shift_jis|euc-(jp|kr)"
    r"|gb(k|2312|18030)|big5|koi8-[ru]",
    re.IGNORECASE,
)

# httpx logs every URL with its query, which may hold a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a server to `request`, the last one after `redirects`.

    `is_cut` says that the body had more than was read, `packed_as` names an encoding that
    could not be unpacked, and `notes` are sentences about the body for the log.
    """

    request: Request
    status: int
    headers: httpx.Headers
    body: bytes
    is_cut: bool
    redirects: tuple[Redirect, ...] = ()
    retries: int = 0
    packed_as: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The body as text, in the encoding that the answer names."""
        content_type = self.headers.get("content-type", "")
        named = re.search(r"charset=[\"']?([\w-]+)", content_type, re.IGNORECASE)
        encoding = named[1] if named and TEXT_ENCODING.fullmatch(named[1]) else "utf-8"
        try:
            text = self.body.decode(encoding, "replace")
        except LookupError:
            text = self.body.decode("utf-8", "replace")
        return text.replace("\x00", "\ufffd")

    @property
    def retry_after_seconds(self) -> float:
        """The wait that the header Retry-After asks for; 0 without the header."""
        header = self.headers.get("retry-after", "").strip()
        if header.isascii() and header.isdigit():
            return float(header[:9])
        try:
            wait = parsedate_to_datetime(header) - clock.now()
        except (TypeError, ValueError, OverflowError):
            return 0.0
        return max(wait / timedelta(seconds=1), 0.0)


@dataclass(slots=True)
class HttpClient:
    """Makes requests with their redirects and retries.

    `verify` is True for the machine's trusted certificates, False for no check, or the path
    of a file of certificates. `log` gets a line for each redirect, and for each try that is
    repeated. `asked` is the request that was sent last, None before the first.
    """

    policy: NetworkPolicy
    timeout_seconds: float
    expected: frozenset[int]
    log: Callable[[str], None]
    verify: bool | str = True
    max_redirects: int = 5
    retries: int = 0
    limit_bytes: int = 65_536
    asked: Request | None = field(init=False, default=None)

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
            self.log(f"{request.method} {request.public_url}: {outcome}; again in {pause:.3g} s")
            await asyncio.sleep(pause)
        if answer is None:
            raise error or HttpFailed("There was no try.")
        return answer

    def _is_busy(self, answer: Answer) -> bool:
        return answer.status in BUSY and answer.status not in self.expected

    async def _followed(self, request: Request) -> Answer:
        redirects: list[Redirect] = []
        while True:
            answer = await self._send(request)
            location = answer.headers.get(LOCATION)
            is_expected = answer.status in self.expected
            if answer.status not in REDIRECTS or location is None or is_expected:
                return self._unpacked(replace(answer, redirects=tuple(redirects)))
            if self.max_redirects == 0:
                detail = f"{request.public_url} answered with a redirect, and max_redirects is 0."
                raise HttpFailed(detail)
            if len(redirects) == self.max_redirects:
                raise HttpFailed(
                    f"{request.public_url} redirects again: there were more than"
                    f" {counted(self.max_redirects, 'redirect')}."
                )
            next_request = request.redirected(answer.status, location)
            redirects.append(Redirect(answer.status, request, next_request))
            self.log(str(redirects[-1]))
            request = next_request

    async def _send(self, request: Request) -> Answer:
        self.asked = request
        try:
            return await send(
                request,
                self.policy,
                timeout=httpx.Timeout(self.timeout_seconds, connect=CONNECT_SECONDS),
                verify=self.verify,
                limit_bytes=self.limit_bytes,
            )
        except NoAnswer as error:
            detail = f"{request.public_url}: {error.detail}"
            raise HttpFailed(detail, may_pass=error.may_pass) from error

    def _unpacked(self, answer: Answer) -> Answer:
        encoding = answer.headers.get("content-encoding", "")
        try:
            body = unpacked(
                answer.body, encoding, is_cut=answer.is_cut, limit_bytes=self.limit_bytes
            )
        except DamagedBody as error:
            # As with a plain body that ends too early, another try may get it whole.
            detail = f"{answer.request.public_url} answered {answer.status}, but {error}."
            raise HttpFailed(detail, may_pass=True) from error
        return replace(
            answer,
            body=body.content,
            is_cut=body.is_cut,
            packed_as=body.packed_as,
            notes=body.notes,
        )


async def send(
    request: Request,
    policy: NetworkPolicy,
    *,
    timeout: httpx.Timeout,  # noqa: ASYNC109  # for each step, not for the whole
    verify: bool | str = True,
    limit_bytes: int | None = None,
) -> Answer:
    """Send *request* to the first of its addresses that takes a connection.

    Looks the host up once, and follows no redirect. Keeps *limit_bytes* of the body, as it
    came; None leaves it unread. Raises HttpFailed for an address that the policy refuses,
    and NoAnswer for every error of the libraries.
    """
    addresses = await policy.checked_addresses(request.url.host, port_of(request.url))
    try:
        return await _exchange(request, addresses, timeout, tls_context(verify), limit_bytes)
    except HttpFailed:
        raise
    # The layers below httpx may raise anything.
    except Exception as error:
        raise no_answer(error) from error


async def _exchange(
    request: Request,
    addresses: list[Address],
    timeout: httpx.Timeout,  # noqa: ASYNC109  # for each step, not for the whole
    tls: ssl.SSLContext,
    limit_bytes: int | None,
) -> Answer:
    # A client for each request: cookies must not follow a redirect, connections not be shared.
    async with httpx.AsyncClient(
        verify=tls,
        trust_env=False,
        follow_redirects=False,
        timeout=timeout,
        event_hooks={"response": [_hide_location]},
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
    headers = response.headers
    if LOCATION in response.extensions:
        headers[LOCATION] = response.extensions[LOCATION]
    return Answer(request, response.status_code, headers, bytes(raw[:limit_bytes]), is_cut)


async def _hide_location(response: httpx.Response) -> None:
    """Move the address of a redirect to the extensions of *response*.

    httpx reads it although it follows no redirect, and fails if it cannot be called. Such an
    answer may be the expected one.
    """
    if LOCATION in response.headers:
        response.extensions[LOCATION] = response.headers.pop(LOCATION)


async def _open_response(
    client: httpx.AsyncClient, request: Request, addresses: list[Address]
) -> httpx.Response:
    # The URL has the checked address; its name goes into TLS, and into the Host header
    # unless the user wrote one. Thus Host never changes which server is called or trusted.
    headers = request.headers.copy()
    headers.setdefault("Host", request.url.netloc.decode("ascii"))
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
