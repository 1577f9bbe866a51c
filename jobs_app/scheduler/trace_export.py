"""Sends traces of finished runs to an OpenTelemetry collector, as OTLP in JSON over HTTP.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding has the format.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import jobs_app
from jobs_app.core.httpx_library import httpx
from jobs_app.runs.traces import Span
from jobs_app.scheduler.own_requests import OwnRequests
from jobs_app.tasks.http_request import Request, checked_url
from jobs_app.tasks.network_policy import NetworkPolicy

#: Spans of one request, and most that wait; more are dropped.
BATCH_SIZE, MAX_WAITING = 500, 20_000

#: Time for one request, seconds.
SEND_SECONDS = 10.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTERNAL, _OK, _ERROR = 1, 1, 2


class TraceExport:
    """Sends spans in a thread of its own; what cannot be sent is dropped, and logged once."""

    def __init__(self, url: str, policy: NetworkPolicy) -> None:
        self._url = url
        self._requests = OwnRequests("otlp_url", policy, seconds=SEND_SECONDS)
        self._waiting: queue.Queue[Span | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more after the request under way."""
        # A full queue ends with the process.
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def add(self, spans: Iterable[Span]) -> None:
        """Have *spans* sent; returns at once."""
        try:
            for span in spans:
                self._waiting.put_nowait(span)
        except queue.Full:
            self._requests.note("more spans wait than can be sent")

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            spans = [first]
            while len(spans) < BATCH_SIZE and not self._waiting.empty():
                if (span := self._waiting.get()) is None:
                    return
                spans.append(span)
            self.send(spans)

    def send(self, spans: Sequence[Span]) -> bool:
        """Send *spans* now; return whether the collector took them."""
        return self._requests.send(lambda: self._request(spans))

    def _request(self, spans: Sequence[Span]) -> Request:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"jobs-app/{jobs_app.__version__}",
            "Accept-Encoding": "identity",
        }
        body = json.dumps(document(spans)).encode()
        return Request("POST", checked_url(self._url), httpx.Headers(headers), body)


def document(spans: Iterable[Span]) -> dict[str, Any]:
    """Return the request for *spans*: an ExportTraceServiceRequest."""
    resource = {"service.name": "jobs-app", "service.version": jobs_app.__version__}
    scope = {"name": "jobs_app", "version": jobs_app.__version__}
    scoped = {"scope": scope, "spans": [_span(span) for span in spans]}
    return {
        "resourceSpans": [
            {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [scoped]}
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    fields: dict[str, Any] = {
        # Hexadecimal, unlike in other JSON of protobuf.
        "traceId": span.trace_id.hex,
        "spanId": span.span_id.hex(),
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": _nanoseconds(span.started_at),
        "endTimeUnixNano": _nanoseconds(span.ended_at),
        "attributes": _attributes(span.attributes),
        "status": {"code": _OK} if span.error is None else {"code": _ERROR, "message": span.error},
    }
    if span.parent_id is not None:
        fields["parentSpanId"] = span.parent_id.hex()
    return fields


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: str | int) -> dict[str, str]:
    # A whole number is a text in JSON of protobuf.
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _nanoseconds(instant: datetime) -> str:
    return str((instant - _EPOCH) // timedelta(microseconds=1) * 1000)
