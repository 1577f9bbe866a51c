"""The task `http`: sends one request and checks the status and the JSON of the answer."""

import asyncio
import json as json_module
import re
import time
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypedDict

import httpx
from celery import Task, shared_task
from jsonpointer import JsonPointer, JsonPointerException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

import jobs_app
from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.tasks.context import HttpFailed, RunContext, TimedOut, current_run
from jobs_app.tasks.http_client import Answer, HttpClient, Request, checked_url, port_of
from jobs_app.tasks.network_policy import NetworkPolicy

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

POLL_SECONDS = 0.2
KEPT_HEADERS = ("content-type", "content-length", "date", "etag", "location", "retry-after")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _callable_url(text: str) -> str:
    try:
        checked_url(text)
    except HttpFailed as error:
        detail = error.detail.removeprefix("The URL ")
        raise PydanticCustomError("bad_url", "{detail}", {"detail": detail}) from error
    return text


def _header_name(text: str) -> str:
    if not HEADER_NAME.fullmatch(text):
        raise PydanticCustomError("bad_header", "is no name of a header.")
    return text


def _header_value(text: str) -> str:
    if not text.isascii() or any(char < " " and char != "\t" for char in text):
        raise PydanticCustomError("bad_header", "has characters that HTTP does not allow.")
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


class HttpResult(TypedDict):
    """The answer in the result of the run; `body` is text, cut at `max_response_bytes`."""

    status: int
    headers: dict[str, str]
    body: str
    body_truncated: bool
    duration_seconds: float
    redirects: int
    retries: int


class HttpTask(Task[Any, Any]):
    """The base of `http`: checks its arguments against each other."""

    abstract = True

    @staticmethod
    def faults_of(kwargs: Mapping[str, Any], settings: Settings) -> Iterator[FieldError]:
        """Yield the faults of arguments that do not go together."""
        if kwargs.get("body") is not None and kwargs.get("json") is not None:
            detail = "Both body and json are given; one request has one body."
            yield FieldError("/kwargs/json", "body_and_json", detail)
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
        policy=NetworkPolicy.of(settings),
        timeout_seconds=timeout_seconds,
        expected=frozenset(expect_status or range(200, 300)),
        on_retry=lambda line: context.log.write("stdout", f"{line}\n".encode()),
        verify=verify,
        max_redirects=max_redirects,
        retries=retries,
        limit_bytes=limit_bytes,
    )
    started = time.monotonic()
    answer = asyncio.run(_unless_stopped(context, client, request, timeout_seconds))
    result, raw = _result(answer, limit_bytes, time.monotonic() - started)
    line = (
        f"{method} {request.public_url} -> {answer.status} in {result['duration_seconds']:.3f} s\n"
    )
    context.log.write("stdout", line.encode())
    if answer.status not in client.expected:
        expected = "2xx" if expect_status is None else ", ".join(map(str, expect_status))
        fault = f"answered {answer.status}; expected was {expected}"
    elif expect_json is not None:
        fault = _json_fault(ExpectJson.model_validate(expect_json), raw, result["body_truncated"])
    else:
        fault = ""
    if fault:
        context.log.write("stdout", result["body"].encode())
        raise HttpFailed(f"{request.public_url} {fault}.")
    return result


def _result(answer: Answer, limit_bytes: int, duration_seconds: float) -> tuple[HttpResult, bytes]:
    body, is_cut = answer.body(limit_bytes)
    result = HttpResult(
        status=answer.status,
        headers={name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers},
        body=answer.text(body),
        body_truncated=is_cut,
        duration_seconds=round(duration_seconds, 3),
        redirects=answer.redirects,
        retries=answer.retries,
    )
    return result, body


def _json_fault(expected: ExpectJson, body: bytes, is_cut: bool) -> str:
    """Return how the JSON of the answer differs from *expected*, "" if it does not."""
    if is_cut:
        return f"answered more than {len(body)} bytes: too long to look for {expected.pointer!r}"
    try:
        value = JsonPointer(expected.pointer).resolve(json_module.loads(body))
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
        address = ip_address("127.0.0.1" if parsed.host == "localhost" else parsed.host)
    except (HttpFailed, ValueError):
        return None
    return NetworkPolicy.of(settings).refusal(address, host=parsed.host, port=port_of(parsed))


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
                raise TimedOut(
                    f"{request.public_url}: no full answer within {timeout_seconds:g} s."
                )
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
    try:
        all_headers.update(headers)
    except ValueError as error:
        raise HttpFailed("A header has characters that HTTP does not allow.") from error
    return Request(method, checked_url(url), all_headers, content)
