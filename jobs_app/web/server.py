"""The web server: waitress around the application.

Waitress reads whole requests in one thread, before it gives them to others that answer them.
So a client that sends slowly, or nothing, holds a connection but no thread.
"""

import errno
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.server import TcpWSGIServer
from waitress.utilities import BadRequest

from jobs_app.core import exposure, process
from jobs_app.core.errors import ConfigurationError, Conflict, JobsError
from jobs_app.core.process_log import configure_log
from jobs_app.core.settings import Settings
from jobs_app.web import extension, first_start, streams
from jobs_app.web.app import create_app
from jobs_app.web.forwarded_for import last_hop

log = logging.getLogger(__name__)

#: How long requests under way may take after SIGTERM, seconds.
STOP_SECONDS = 5

#: How long a client may take to send the header of a request, and all of it, seconds.
HEADER_SECONDS = 15
BODY_SECONDS = 60

#: How long a client may read nothing of its answer, seconds.
STALLED_SECONDS = 20

#: Most connections at once; one more closes the one that has waited longest for its client.
MAX_CONNECTIONS = 2000
#: Open files that are not connections: those of the database, of Redis, of large answers.
OTHER_FILES = 500

#: Longest header of a request, with its first line, bytes.
MAX_HEADER_BYTES = 32_768

#: Longest line between two chunks of a body, and longest trailer after the last one, bytes.
MAX_CHUNK_LINE_BYTES = 8_192

#: Most requests of a connection that wait for their answers; one more closes it.
MAX_PIPELINED = 32
#: Data that may hold many requests is parsed in pieces of this size, bytes.
PIPELINE_BYTES = 1_024

#: Bytes of a connection that are read at once: fewer while they take longer to parse, as chunks
#: and lines of one byte do. Thus no connection keeps the others waiting.
MOST_PIECE_BYTES = 8_192
LEAST_PIECE_BYTES = 64
FIRST_PIECE_BYTES = 1_024

#: Connections that wait to be accepted, and what the system keeps for each one unread, bytes.
BACKLOG = 128
RECEIVE_BUFFER_BYTES = 131_072

#: How long one piece may take to parse, seconds of processor time.
PIECE_SECONDS = 0.000_3

#: Requests that have not arrived wholly may fill so much memory together, bytes. It holds at
#: least this many of the largest bodies that are read: eight times JOBS_MAX_BODY_BYTES each.
MAX_HELD_BYTES = 128 << 20
LEAST_HELD_BODIES = 2

#: The held bytes are added up each time that so many bytes have arrived.
COUNT_HELD_BYTES = 4 << 20

#: Settings of waitress that are the same for each installation.
OPTIONS: dict[str, Any] = {
    "asyncore_use_poll": True,
    "asyncore_loop_timeout": 1,
    "cleanup_interval": 1,
    # A connection between two requests may be silent for so long, seconds.
    "channel_timeout": 30,
    # Reading on during a request shows whether the client has hung up.
    "channel_request_lookahead": 1,
    "max_request_header_size": MAX_HEADER_BYTES,
    # Send each event of a stream at once.
    "send_bytes": 1,
    # A slow reader must not hold a thread: keep its answer, above 1 MB in a temporary file.
    "outbuf_high_watermark": 1 << 30,
    # `auth` looks at these headers to recognise a proxy.
    "clear_untrusted_proxy_headers": False,
    "ident": None,
}


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """A request that is being received; it ends early if its chunks have endless lines.

    Waitress searches such a line from its start with each piece that arrives, in the one
    thread that reads.
    """

    completed: bool = False

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            # A proxy that goes by the other one takes what follows for another request.
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other.")
        if (hops := self.headers.get("X_FORWARDED_FOR")) is not None:
            # Waitress logs the whole header if any part of it, also a client's, is malformed.
            self.headers["X_FORWARDED_FOR"] = last_hop(hops)

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        body = self.body_rcv
        line = 0
        if isinstance(body, ChunkedReceiver) and not self.completed:
            line = len(body.control_line) + len(body.trailer)
        if line > MAX_CHUNK_LINE_BYTES:
            self.error = BadRequest("A line between chunks, or the trailer, is too long.")
            self.completed = True
        return consumed

    @property
    def held_bytes(self) -> int:
        """The bytes of this request that have arrived so far."""
        return int(self.header_bytes_received + self.body_bytes_received)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """A connection that notes when it began to send its present request."""

    parser_class = _Parser
    began_at = 0.0
    _piece_bytes = FIRST_PIECE_BYTES

    def recv(self, buffer_size: int) -> bytes:
        return bytes(super().recv(min(buffer_size, self._piece_bytes)))

    def handle_read(self) -> None:
        began = time.thread_time()
        super().handle_read()
        if time.thread_time() - began > PIECE_SECONDS:
            self._piece_bytes = max(LEAST_PIECE_BYTES, self._piece_bytes // 2)
        else:
            self._piece_bytes = min(MOST_PIECE_BYTES, self._piece_bytes * 2)

    def received(self, data: bytes) -> bool:
        before = self.request
        self.server.count_received(len(data))
        has_body = before is not None and before.headers_finished
        step = len(data) if has_body else PIPELINE_BYTES
        is_received = False
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            if self.request is None:
                # Waitress makes a parser for each empty line before a request.
                piece = piece.lstrip(b"\r\n")
            is_received = super().received(piece)
            if len(self.requests) > MAX_PIPELINED:
                # Parsing thousands of them would hold up the thread that reads for all.
                self.will_close = True
                break
        if self.request is not before:
            self.began_at = self.last_activity
        return is_received

    @property
    def held_bytes(self) -> int:
        """The bytes of its requests that this connection keeps in memory."""
        present = () if self.request is None else (self.request,)
        return sum(request.held_bytes for request in (*self.requests, *present))

    def is_overdue(self, now: float) -> bool:
        """Tell whether the client takes too long to send its request, or to read the answer."""
        if self.total_outbufs_len:
            return bool(now - self.last_activity > STALLED_SECONDS)
        if self.request is None:
            return False
        limit = BODY_SECONDS if self.request.headers_finished else HEADER_SECONDS
        return now - self.began_at > limit


class Server(TcpWSGIServer):  # type: ignore[misc]  # waitress ships no types
    """A server that no slow client can hold, and that ends what it has begun when it stops."""

    channel_class = _Channel
    most_connections = MAX_CONNECTIONS
    _uncounted_bytes = 0
    _stops_at: float | None = None

    def stop(self) -> None:
        """Accept nothing more, and stop once all answers are sent; called by a signal handler."""
        self._stops_at = self._stops_at or time.time() + STOP_SECONDS
        self.accepting = False
        self.pull_trigger()

    def handle_accept(self) -> None:
        # All that wait, not one of them each time that every connection was read.
        for _ in range(BACKLOG):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:
                break
            if len(self.active_channels) > self.most_connections:
                self._close_oldest()

    def _close_oldest(self) -> None:
        for channel in self._waiting()[:1]:
            channel.will_close = True

    def count_received(self, count: int) -> None:
        """Note that *count* bytes have arrived; close connections if too many are held."""
        self._uncounted_bytes += count
        if self._uncounted_bytes < COUNT_HELD_BYTES:
            return
        self._uncounted_bytes = 0
        channels = [c for c in self.active_channels.values() if not c.will_close]
        most = max(MAX_HELD_BYTES, LEAST_HELD_BODIES * self.adj.max_request_body_size)
        excess = sum(channel.held_bytes for channel in channels) - most
        for channel in self._waiting() if excess > 0 else ():
            if excess > 0 and channel.held_bytes:
                channel.will_close = True
                excess -= channel.held_bytes

    def _waiting(self) -> list[_Channel]:
        """Return the connections that wait for their clients: first the one that waits longest."""
        channels = self.active_channels.values()
        waiting = [c for c in channels if not c.requests and not c.will_close]
        return sorted(waiting, key=lambda c: c.began_at or c.creation_time)

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.will_close = True

    def readable(self) -> bool:
        if self._stops_at is not None:
            channels = self.active_channels.values()
            is_busy = any(channel.requests or channel.total_outbufs_len for channel in channels)
            if not is_busy or time.time() > self._stops_at:
                raise SystemExit(0)
        return bool(super().readable())


def serve(settings: Settings, *, show_link: Callable[[str], None] | None = None) -> int:
    """Run the web server until SIGTERM or SIGINT and return the exit code.

    While nobody can sign in, *show_link* is called with the link that makes the first admin.

    Raises Conflict if the port is taken, ConfigurationError for settings that cannot work.
    """
    configure_log(settings, process="web", text_format="%(asctime)s %(levelname)s %(message)s")
    exposure.check_host(settings)
    app = create_app(settings)
    listener = _listen(settings)
    first_start.prepare(settings, show_link)
    process.resume_gc()
    process.limit_arenas()
    server = make_server(app, listener, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    with app.app_context():
        extension.current().redis_status()  # its warnings go to the log at the start
    server.run()
    return 0


def make_server(app: Flask, listener: socket.socket, settings: Settings) -> Server:
    """Return a server for *app* that accepts connections of *listener*."""
    most_connections = connections_for(_raise_file_limit())
    # Requests that wait for a thread, and clients that hang up, are no news.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.getLogger("waitress").setLevel(logging.WARNING)
    options = OPTIONS | {
        "sockets": [listener],
        "threads": settings.web_threads,
        "connection_limit": most_connections + 100,
        # The application refuses a body that is too large with a sentence, up to this size.
        "max_request_body_size": 8 * settings.max_body_bytes,
        # Never a temporary file: bodies without a token would fill the disk, and files run out.
        "inbuf_overflow": 8 * settings.max_body_bytes + 1,
    }
    if settings.trusted_proxy is not None:
        options |= {
            "trusted_proxy": settings.trusted_proxy,
            "trusted_proxy_headers": {"x-forwarded-for"},
        }
    adjustments = Adjustments(**options)
    server = Server(
        app, _sock=listener, adj=adjustments, sockinfo=adjustments.listen[0], bind_socket=False
    )
    server.most_connections = most_connections
    with app.app_context():
        # An open stream would delay the stop to its last second.
        streams.current().is_stopping = lambda: not server.accepting
    return server


def connections_for(open_files: int) -> int:
    """Return how many connections there may be, if the process may have *open_files*."""
    return max(1, min(MAX_CONNECTIONS, max(open_files - OTHER_FILES, open_files // 2 - 100)))


def _raise_file_limit() -> int:
    """Allow as many open files as MAX_CONNECTIONS needs; return how many the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed_files = MAX_CONNECTIONS + OTHER_FILES
    if soft < needed_files:
        soft = min(needed_files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(settings, error) from error
    listener.set_inheritable(True)
    return listener


def _cannot_listen(settings: Settings, error: OSError) -> JobsError:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"Something else listens on {where}: choose another port with JOBS_PORT.",
            code="port_taken",
        )
    return ConfigurationError(f"Cannot listen on {where}: {error.strerror}.")
