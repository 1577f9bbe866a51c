"""Event streams: how many may be open at once, how each one waits, and when it ends."""

import time
from collections.abc import Callable, Iterator
from threading import BoundedSemaphore

from flask import Flask, Response, current_app, request

from jobs_app.core.errors import Unavailable
from jobs_app.core.settings import Settings
from jobs_app.web.auth import rights_watch

EXTENSION = "jobs_streams"

#: The key of the function by which the server tells whether the client has hung up.
HAS_HUNG_UP = "waitress.client_disconnected"

#: A proxy or the client may close a connection that is silent for longer.
HEARTBEAT_SECONDS = 4.0

#: After this long the client must reconnect, with a token that is still valid.
LONGEST_SECONDS = 900.0

#: How soon a stream ends whose caller has lost the right to it, or another right.
RIGHTS_SECONDS = 5.0

#: How soon the end of a stream is noticed.
LOOK_SECONDS = 0.02

#: How long a browser waits before it reconnects, milliseconds.
RETRY_MILLISECONDS = 1000


class Streams:
    """The open streams of one web process; each one holds a thread until it ends.

    Every stream calls `is_stopping` several times a second, to end with the server.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.is_stopping: Callable[[], bool] = lambda: False
        self._free = BoundedSemaphore(most)

    def respond(self, events: Callable[["Stream"], Iterator[str]]) -> Response:
        """Answer this request with *events*; raises Unavailable if there are too many already."""
        if not self._free.acquire(blocking=False):
            raise Unavailable(
                f"All streams are in use: JOBS_MAX_STREAMS allows {self.most}. Try again shortly.",
                code="too_many_streams",
            )
        stream = Stream(self, request.environ.get(HAS_HUNG_UP, lambda: False), rights_watch())
        response = Response(_event_stream(stream, events), mimetype="text/event-stream")
        response.headers["X-Accel-Buffering"] = "no"  # nginx would buffer the events
        # Called when the connection closes, even if no event was sent.
        response.call_on_close(self._free.release)
        return response


class Stream:
    """One open stream; it ends with the server or its client, or after LONGEST_SECONDS.

    It also ends when the rights of its caller have changed: the next request says what is left.
    """

    def __init__(
        self, streams: Streams, has_hung_up: Callable[[], bool], has_rights: Callable[[], bool]
    ) -> None:
        self._streams = streams
        self._has_hung_up = has_hung_up
        self._has_rights = has_rights
        self._asked_at = time.monotonic()
        self._ends_at = time.monotonic() + LONGEST_SECONDS
        self._sent_at = time.monotonic()

    @property
    def is_open(self) -> bool:
        """Whether more events should be sent."""
        is_over = self._has_hung_up() or self._streams.is_stopping()
        return not is_over and time.monotonic() < self._ends_at and self._is_allowed()

    def _is_allowed(self) -> bool:
        """Tell whether the caller had its rights when they were read last."""
        now = time.monotonic()
        if now - self._asked_at < RIGHTS_SECONDS:
            return True
        self._asked_at = now
        if not self._has_rights():
            self._ends_at = now
            return False
        return True

    def note_sent(self) -> None:
        """Note that something was sent."""
        self._sent_at = time.monotonic()

    def is_heartbeat_due(self) -> bool:
        """Tell whether nothing was sent for HEARTBEAT_SECONDS."""
        return time.monotonic() - self._sent_at >= HEARTBEAT_SECONDS

    def pause(self, seconds: float) -> None:
        """Wait for *seconds*; return early if the stream ends meanwhile."""
        until = time.monotonic() + seconds
        while self.is_open and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)


def _event_stream(stream: Stream, events: Callable[[Stream], Iterator[str]]) -> Iterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    for event in events(stream):
        yield event
        stream.note_sent()


def init_app(app: Flask, settings: Settings) -> None:
    """Give *app* its streams."""
    app.extensions[EXTENSION] = Streams(settings.effective_max_streams)


def current() -> Streams:
    """Return the streams of the application that answers this request."""
    streams: Streams = current_app.extensions[EXTENSION]
    return streams
