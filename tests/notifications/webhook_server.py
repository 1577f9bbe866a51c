"""A web server that keeps its requests, and answers with the configured statuses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A received request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class WebhookServer:
    """The received requests; it answers with `statuses` in turn, then always with the last."""

    url: str
    statuses: list[int] = field(default_factory=lambda: [204])
    location: str | None = None
    received: list[ReceivedRequest] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    is_holding: bool = False
    has_endless_body: bool = False


@contextmanager
def webhook_server() -> Iterator[WebhookServer]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            recorder.received.append(ReceivedRequest(self.path, dict(self.headers), body))
            if recorder.is_holding:
                recorder.hold.wait(30)
            statuses = recorder.statuses
            self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
            if recorder.location is not None:
                self.send_header("Location", recorder.location)
            if not recorder.has_endless_body:
                self.send_header("Content-Length", "0")
            self.end_headers()
            # The end of the headers is the last that comes until the server stops.
            if recorder.has_endless_body:
                recorder.hold.wait(60)

        do_GET = do_POST  # noqa: N815  # the name in http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    recorder = WebhookServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield recorder
    finally:
        recorder.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
