"""The task `http`: sends one request and checks the status and the JSON of the answer."""

import asyncio
import json as json_module
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypedDict

from celery import shared_task
from jsonpointer import JsonPointer, JsonPointerException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

import jobs_app
from jobs_app.core.errors import FieldError
from jobs_app.core.httpx_library import httpx
from jobs_app.core.settings import Settings
from jobs_app.core.text import counted
from jobs_app.core.validation_messages import json_pointer
from jobs_app.tasks import http_headers
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.context import HttpFailed, RunContext, TimedOut, current_run
from jobs_app.tasks.http_client import Answer, HttpClient
from jobs_app.tasks.http_request import Request, checked_url, port_of
from jobs_app.tasks.installation_policy import http_policy

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

POLL_SECONDS = 0.2
KEPT_HEADERS = ("content-type", "content-length", "date", "etag", "location", "retry-after")


def _callable_url(text: str) -> str:
    try:
        checked_url(text)
    except HttpFailed as error:
        detail = error.detail.removeprefix("The URL ")
        raise PydanticCustomError("bad_url", "{detail}", {"detail": detail}) from error
    return text


def _header_name(text: str) -> str:
    if fault := http_headers.name_fault(text):
        raise PydanticCustomError("bad_header", "{fault}", {"fault": fault})
    return text


def _header_value(text: str) -> str:
    if fault := http_headers.value_fault(text):
        raise PydanticCustomError("bad_header", "{fault}", {"fault": fault})
    return text


def _pointer(text: str) -> str:
    try:
        JsonPointer(text)
    except JsonPointerException as error:
        raise PydanticCustomError(
            "bad_pointer", "must be a JSON Pointer, as in /status."
        ) from error
    return text


def _authorities(value: bool | str) -> bool | str:
    if isinstance(value, str) and not value.startswith("/"):
        raise PydanticCustomError("bad_path", "must be true, false or the whole path of a file.")
    return value


class ExpectJson(BaseModel):
    """The JSON that the answer must have at `pointer`: any value, or exactly `equals`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    pointer: Annotated[str, AfterValidator(_pointer)]
    equals: JsonValue = None


class RedirectResult(TypedDict):
    """A redirect in the result of the run: its status, and the request that it answered."""

    status: int
    method: str
    url: str


class HttpResult(TypedDict):
    """The answer in the result of the run; `body` is text, cut at `max_response_bytes`.

    `method` and `url` are those of the request that it answers, the last one. Addresses
    have no user, password and query.
    """

    method: str
    url: str
    status: int
    headers: dict[str, str]
    body: str
    body_truncated: bool
    duration_seconds: float
    redirects: int
    redirected_by: list[RedirectResult]
    retries: int


class HttpTask(AnyTask):
    """The base of `http`: checks its arguments against each other."""

    abstract = True

    @staticmethod
    def faults_of(kwargs: Mapping[str, Any], settings: Settings) -> Iterator[FieldError]:
        """Yield the faults of arguments that do not go together."""
        if kwargs.get("body") is not None and kwargs.get("json") is not None:
            detail = "Both body and json are given; one request has one body."
            yield FieldError("/kwargs/json", "body_and_json", detail)
        for name, detail in http_headers.faults(kwargs.get("headers") or {}):
            yield FieldError(json_pointer(("kwargs", "headers", name)), "bad_header", detail)
        limit_bytes = settings.http_response_limit_bytes
        if kwargs.get("max_response_bytes", 0) > limit_bytes:
            detail = f"max_response_bytes is above JOBS_HTTP_RESPONSE_LIMIT_BYTES, {limit_bytes}."
            yield FieldError("/kwargs/max_response_bytes", "too_large", detail)

    @staticmethod
    def warnings_of(kwargs: Mapping[str, Any], settings: Settings) -> Iterator[str]:
        """Yield warnings about arguments that are valid but risky."""
        if kwargs.get("verify") is False:
            yield (
                "verify is false: anybody between the worker and the server can read and change the"
                " data. To trust an authority of your own, give the path of its file instead."
            )
        method = kwargs.get("method", "GET")
        if kwargs.get("retries") and method in ("POST", "PATCH"):
            yield (
                f"A {method} without an answer may have taken effect: with retries, the server must"
                " honour the Idempotency-Key of every request."
            )
        if reason := _refused_outright(kwargs["url"], settings):
            yield f"The request will be refused: its host is {reason}."


@shared_task(name="http", base=HttpTask)
def http(
    url: Annotated[str, AfterValidator(_callable_url), Field(examples=["https://example.com/"])],
    method: Method = "GET",
    headers: dict[
        Annotated[str, AfterValidator(_header_name)], Annotated[str, AfterValidator(_header_value)]
    ]
    | None = None,
    body: str | None = None,
    json: JsonValue = None,
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = 30,
    expect_status: list[Annotated[int, Field(ge=100, le=599)]] | None = None,
    expect_json: ExpectJson | None = None,
    verify: Annotated[bool | str, AfterValidator(_authorities)] = True,
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5,
    retries: Annotated[int, Field(ge=0, le=10)] = 0,
    max_response_bytes: Annotated[int, Field(ge=0)] = 65_536,
) -> HttpResult:
    """Send a request and return the answer's status, headers and body.

    All requests of a run carry the same Idempotency-Key: the run's id.

    Args:
        url: The URL, with http:// or https://.
        method: The HTTP method.
        headers: Headers to send besides our own.
        body: Text to send, in UTF-8.
        json: A value to send as JSON; not together with body.
        timeout_seconds: For everything: redirects, repetitions and pauses included.
        expect_status: The statuses that mean success; by default any 2xx.
        expect_json: A value that the answer must have at a JSON Pointer.
        verify: Whether to check the server's certificate: true, false, or the path of a file
            with the authorities to trust, on the worker.
        max_redirects: Highest number of redirects.
        retries: Number of repetitions within the attempt if there is no connection or the
            answer is 429, 502, 503 or 504. Retry-After is honoured.
        max_response_bytes: Bytes of the answer's body to keep.
    """
    context = current_run.get()
    settings = context.settings or Settings()
    request = _first_request(context, url, method, headers or {}, body, json)
    limit_bytes = min(max_response_bytes, settings.http_response_limit_bytes)
    client = HttpClient(
        policy=http_policy(settings),
        timeout_seconds=timeout_seconds,
        expected=frozenset(expect_status or range(200, 300)),
        log=lambda line: context.log.write("stdout", f"{line}\n".encode()),
        verify=verify,
        max_redirects=max_redirects,
        retries=retries,
        limit_bytes=limit_bytes,
    )
    started = time.monotonic()
    answer = asyncio.run(_unless_stopped(context, client, request, timeout_seconds))
    result = _result(answer, time.monotonic() - started)
    seconds = f"{result['duration_seconds']:.3f} s"
    lines = [f"{result['method']} {result['url']} -> {answer.status} in {seconds}", *answer.notes]
    context.log.write("stdout", "".join(f"{line}\n" for line in lines).encode())
    if answer.status not in client.expected:
        expected = "2xx" if expect_status is None else ", ".join(map(str, expect_status))
        fault = f"answered {answer.status}; expected was {expected}"
    elif expect_json is not None:
        fault = _json_fault(ExpectJson.model_validate(expect_json), answer)
    else:
        fault = ""
    if fault:
        context.log.write("stdout", result["body"].encode())
        raise HttpFailed(f"{result['url']}{_by_redirects(answer)} {fault}.")
    return result


def _by_redirects(answer: Answer) -> str:
    """Return how redirects led to *answer*, in words that follow its address; "" for none."""
    if not answer.redirects:
        return ""
    first, last = answer.redirects[0].request, answer.request
    became = f", now as {last.method}" if last.method != first.method else ""
    return f" (redirected from {first.method} {first.public_url}{became})"


def _result(answer: Answer, duration_seconds: float) -> HttpResult:
    return HttpResult(
        method=answer.request.method,
        url=answer.request.public_url,
        status=answer.status,
        headers={name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
        body=answer.text,
        body_truncated=answer.is_cut,
        duration_seconds=round(duration_seconds, 3),
        redirects=len(answer.redirects),
        redirected_by=[
            RedirectResult(
                status=redirect.status,
                method=redirect.request.method,
                url=redirect.request.public_url,
            )
            for redirect in answer.redirects
        ],
        retries=answer.retries,
    )


def _json_fault(expected: ExpectJson, answer: Answer) -> str:
    """Return how the JSON of *answer* differs from *expected*, "" if it does not."""
    if answer.packed_as:
        return f"answered in the encoding {answer.packed_as!r}, which jobs-app cannot unpack"
    if answer.is_cut:
        size = f"more than {counted(len(answer.body), 'byte')}"
        return f"answered {size}: too long to look for {expected.pointer!r}"
    try:
        value = JsonPointer(expected.pointer).resolve(json_module.loads(answer.body))
    except JsonPointerException:
        return f"answered JSON that has nothing at {expected.pointer!r}"
    except (ValueError, RecursionError):
        return "answered something other than JSON"
    if "equals" in expected.model_fields_set and not _is_same(value, expected.equals):
        return f"answered JSON that is not as expected at {expected.pointer!r}"
    return ""


def _is_same(one: JsonValue, other: JsonValue) -> bool:
    """Return whether two values are equal as JSON: 1 equals 1.0, but true does not equal 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[k], other[k]) for k in one)
    return one == other


def _refused_outright(url: str, settings: Settings) -> str | None:
    """Return why *url* will be refused, None if only a name server can tell."""
    try:
        parsed = checked_url(url)
    except HttpFailed:
        return None
    return http_policy(settings).literal_refusal(parsed.host, port_of(parsed))


async def _unless_stopped(
    context: RunContext, client: HttpClient, request: Request, timeout_seconds: float
) -> Answer:
    """Return the answer; raises if the run is stopped or the time is up first.

    httpx limits only the time of each step: a server that sends a byte a second would hold
    the run for ever.
    """
    started = time.monotonic()
    work = asyncio.ensure_future(client.answer(request))
    try:
        while not work.done():
            elapsed = time.monotonic() - started
            context.stop_if_asked(elapsed_seconds=elapsed)
            if elapsed >= timeout_seconds:
                url = (client.asked or request).public_url
                raise TimedOut(f"{url}: no full answer within {timeout_seconds:g} s.")
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
) -> Request:
    if body is not None and json is not None:
        raise HttpFailed("Both body and json are given; one request has one body.")
    content = None if body is None else body.encode()
    all_headers = httpx.Headers(
        {
            "user-agent": f"jobs-app/{jobs_app.__version__}",
            "accept": "*/*",
            # A compressed answer could unpack to any size.
            "accept-encoding": "identity",
            "idempotency-key": str(context.run_id),
        }
    )
    if json is not None:
        content = json_module.dumps(json).encode()
        all_headers["content-type"] = "application/json"
    for _, detail in http_headers.faults(headers):
        raise HttpFailed(detail)
    try:
        # Space around a value is no part of it (RFC 9110 §5.5), and cannot be sent.
        all_headers.update({name: value.strip(" \t") for name, value in headers.items()})
    except ValueError as error:
        raise HttpFailed("A header has characters that HTTP does not allow.") from error
    return Request(method, checked_url(url), all_headers, content)
