"""Traces as OTLP in JSON, sent to a collector beside everything else."""

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

from jobs_app import __version__
from jobs_app.runs.traces import Span, span_id
from jobs_app.scheduler import trace_export
from jobs_app.scheduler.trace_export import TraceExport, document
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.factories import NOON, SECOND
from tests.notifications.webhook_server import WebhookServer, webhook_server
from tests.servers import wait_until

OPEN = NetworkPolicy(allows_private=True)
RUN_ID = UUID("01890000-0000-7000-8000-000000000001")
IDS = (RUN_ID, span_id(RUN_ID, 1), span_id(RUN_ID))
SPAN = Span(*IDS, "attempt 1", NOON, NOON + SECOND, {"a": "x", "n": 2})


@pytest.fixture
def recorder() -> Iterator[WebhookServer]:
    with webhook_server() as server:
        yield server


def test_a_span_is_written_as_the_protocol_says() -> None:
    failed = Span(RUN_ID, span_id(RUN_ID), None, "nightly", NOON, NOON, {}, "OSError")

    [resource] = document([SPAN, failed])["resourceSpans"]

    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "jobs-app"}},
        {"key": "service.version", "value": {"stringValue": __version__}},
    ]
    child, root = resource["scopeSpans"][0]["spans"]
    start = int(NOON.timestamp()) * 10**9
    assert child == {
        "traceId": "01890000000070008000000000000001",
        "spanId": span_id(RUN_ID, 1).hex(),
        "parentSpanId": span_id(RUN_ID).hex(),
        "name": "attempt 1",
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 10**9),
        "attributes": [
            {"key": "a", "value": {"stringValue": "x"}},
            {"key": "n", "value": {"intValue": "2"}},
        ],
        "status": {"code": 1},
    }
    assert "parentSpanId" not in root
    assert root["status"] == {"code": 2, "message": "OSError"}


def test_spans_are_sent_together(recorder: WebhookServer) -> None:
    export = TraceExport(f"{recorder.url}/v1/traces", OPEN)
    export.add([SPAN] * 3)

    export.start()
    wait_until(lambda: len(recorder.received) == 1, "the request")
    export.stop()

    [request] = recorder.received
    assert (request.path, request.headers["Content-Type"]) == ("/v1/traces", "application/json")
    [resource] = json.loads(request.body)["resourceSpans"]
    assert len(resource["scopeSpans"][0]["spans"]) == 3


def test_what_cannot_be_sent_is_dropped_and_logged_once(
    recorder: WebhookServer, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.statuses = [503, 503, 200]
    export = TraceExport(f"{recorder.url}/canary", OPEN)

    assert [export.send([SPAN]) for _ in range(3)] == [False, False, True]

    assert [line for line in caplog.messages if "otlp" in line] == [
        "otlp_url_failed reason=It answered 503.",
        "otlp_url_answers_again",
    ]


def test_spans_that_cannot_wait_are_dropped(
    recorder: WebhookServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trace_export, "MAX_WAITING", 10)
    export = TraceExport(f"{recorder.url}/v1/traces", OPEN)

    export.add([SPAN] * 100)
    export.start()
    wait_until(lambda: len(recorder.received) == 1, "the request")
    export.stop()

    assert recorder.received[0].body.count(b"traceId") == 10
    assert caplog.text.count("more spans wait than can be sent") == 1
