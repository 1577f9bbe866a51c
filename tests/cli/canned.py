"""A real HTTP server with canned answers, in the shapes of the API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Canned:
    """What the server answers; bytes go out as they are."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class CannedServer:
    """Answers each route with its canned answers in turn, the last one for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._answers: dict[tuple[str, str], list[Canned]] = {}

    def on(self, method: str, path: str, *answers: Canned) -> None:
        """Answer *method* *path* (below /api/v1 unless it is a probe) with *answers*."""
        full = path if path == "/readyz" else f"/api/v1{path}"
        self._answers[method, full] = list(answers)

    def answer(self, request: Request) -> Canned:
        self.requests.append(request)
        answers = self._answers.get((request.method, request.path))
        if answers is None:
            return problem(404, code="not_found", detail=f"No route {request.path}.")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def problem(status: int, *, code: str, detail: str, **more: Any) -> Canned:
    """Return an error as the API writes it."""
    body = {"type": "about:blank", "title": "Refused", "status": status} | more
    return Canned(
        body | {"detail": detail, "code": code},
        status,
        {"Content-Type": "application/problem+json"},
    )


def page(*items: Any, next_cursor: str | None = None) -> Canned:
    """Return a list as the API writes it."""
    return Canned({"items": list(items), "next_cursor": next_cursor})


def a_job(**facts: Any) -> dict[str, Any]:
    """Return a job as the API writes it."""
    return {
        "id": 7,
        "name": "hello",
        "description": "",
        "tags": [],
        "task": "shell",
        "kwargs": {"command": "date"},
        "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Paris", "jitter_seconds": 0},
        "overlap_policy": "skip",
        "catchup_policy": "last",
        "retry": {"max_attempts": 1, "delay_seconds": 30},
        "time_limit_seconds": 3600,
        "queue": "default",
        "priority": 5,
        "concurrency_key": None,
        "concurrency_limit": None,
        "version": 3,
        "state": "active",
        "next_run_at": "2030-01-01T01:30:00Z",
        "last_run": None,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
        "description_of_schedule": "At 02:30",
    } | facts


RUN_ID = "0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d10"


def a_run(state: str = "succeeded", **facts: Any) -> dict[str, Any]:
    """Return a run as the API writes it."""
    return {
        "id": RUN_ID,
        "job": "hello",
        "task": "shell",
        "state": state,
        "reason": None,
        "cancelled_by": None,
        "trigger": "manual",
        "triggered_by": "admin",
        "note": None,
        "scheduled_for": None,
        "created_at": "2026-11-01T00:00:00Z",
        "queued_at": "2026-11-01T00:00:00Z",
        "started_at": "2026-11-01T00:00:01Z",
        "finished_at": "2026-11-01T00:00:03Z",
        "duration_seconds": 2.0,
        "delay_seconds": 1.0,
        "attempt": 1,
        "max_attempts": 1,
        "attempts": [],
        "worker": "w1",
        "queue": "default",
        "time_limit_seconds": None,
        "kwargs": {"command": "date"},
        "result": None,
        "error": None,
        "exit_code": None,
        "progress": None,
        "log": {"bytes": 0, "truncated": False},
        "retry_of": None,
        "timezone": "UTC",
    } | facts


@contextmanager
def canned_server() -> Iterator[CannedServer]:
    """Run a CannedServer on a free port of the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(size)
            canned = server.answer(
                Request(
                    self.command,
                    parts.path,
                    {name: values[0] for name, values in parse_qs(parts.query).items()},
                    dict(self.headers),
                    json.loads(sent) if sent else None,
                )
            )
            raw = isinstance(canned.body, bytes)
            payload = canned.body if raw else json.dumps(canned.body).encode()
            self.send_response(canned.status)
            kind = "text/plain; charset=utf-8" if raw else "application/json"
            for name, value in ({"Content-Type": kind} | canned.headers).items():
                self.send_header(name, value)
            if canned.status != 204:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if canned.status != 204:
                self.wfile.write(payload)

        # The library calls it by this name.
        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Log nothing: `requests` has every request."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = CannedServer(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
