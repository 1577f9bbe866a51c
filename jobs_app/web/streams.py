"""Event streams: how many may be open at once, how each waits, and when it ends."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from threading import BoundedSemaphore

from flask import Flask, Response, current_app, request

from jobs_app.core.errors import Unavailable
from jobs_app.core.settings import Settings

EXTENSION = "jobs_streams"

#: A proxy, and the client itself, may give up a connection that is silent for longer.
HEARTBEAT_SECONDS = 4.0

#: Then the client is to come back, with a token that still holds.
LONGEST_SECONDS = 900.0

#: How long a client may take nothing of what it is sent.
STALLED_SECONDS = 20.0

#: What a browser waits before it comes back, milliseconds.
RETRY_MILLISECONDS = 1000


class Streams:
    """The streams of one web process, each of which holds a thread for as long as it lasts.

    `is_stopping` is asked by every one of them, several times a second: the
    server says there that it was told to end.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_stopping: Callable[[], bool] = lambda: False
        self._free = BoundedSemaphore(most)

    def respond(self, events: Callable[["Stream"], Iterator[str]]) -> Response:
        """Answer this request with *events*; raises Unavailable if there are too many already."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(
                f"All of the {self.most} streams are in use; JOBS_MAX_STREAMS says how many "
                "there are. Try again shortly.",
                code="too_many_streams",
            )
        stream = Stream(self, request.environ.get("gunicorn.socket"))
        response = Response(_until_the_end(stream, events), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"  # nginx would keep it all to itself
        # Called when the connection is done with, also if not one event was sent.
        response.call_on_close(self._free.release)
        return response


class Stream:
    """One open stream: it ends with the server, with its client, or after its time."""

    def __init__(self, streams: Streams, client: socket.socket | None) -> None:
        self._streams = streams
        self._client = client
        self._is_left = False
        self._until = time.monotonic() + LONGEST_SECONDS
        self._spoke_at = time.monotonic()
        if client is not None:
            client.settimeout(STALLED_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether there is any use in sending more."""
        is_over = self._is_left or self._streams.is_stopping()
        return not is_over and time.monotonic() < self._until

    def spoke(self) -> None:
        """Note that something was sent."""
        self._spoke_at = time.monotonic()

    def is_heartbeat_due(self) -> bool:
        """Tell whether the client has heard nothing for long."""
        return time.monotonic() - self._spoke_at >= HEARTBEAT_SECONDS

    def pause(self, seconds: float) -> None:
        """Wait, and notice a client that hangs up meanwhile."""
        if self._client is None:
            time.sleep(seconds)
        elif _is_readable(self._client, seconds):
            self._is_left = _has_hung_up(self._client)
            if not self._is_left:
                # It sends more than its request, which nobody reads: do not spin on that.
                time.sleep(seconds)


def _is_readable(client: socket.socket, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ)
        return bool(selector.select(seconds))


def _has_hung_up(client: socket.socket) -> bool:
    try:
        return not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return True


def _until_the_end(stream: Stream, events: Callable[[Stream], Iterator[str]]) -> Iterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    for event in events(stream):
        yield event
        stream.spoke()


def init_app(app: Flask, settings: Settings) -> None:
    """Give *app* its streams."""
    app.extensions[EXTENSION] = Streams(settings.effective_max_streams)


def current() -> Streams:
    """Return the streams of the application that answers this request."""
    found: Streams = current_app.extensions[EXTENSION]
    return found
