"""Descriptors 1 and 2 of a pool process: the worker's own between runs, a run's during one.

C code, programs that a task starts and `os.write` know nothing of `sys.stdout`. In a pool
process, where one run at a time has everything for itself, what they write is caught as
well: the two descriptors become pipes that one thread reads. Each run gets new pipes, so
that a program which it leaves behind never writes into the log of another.
"""

import ctypes
import fcntl
import os
import selectors
import sys
import threading
from contextlib import suppress
from typing import TextIO

from jobs_app.tasks.context import LogSink, Stream

STREAMS: tuple[tuple[int, Stream], ...] = ((1, "stdout"), (2, "stderr"))
READ_BYTES = 65_536

#: Where the worker's own descriptors are kept: above those that programs close by habit.
KEPT_FROM = 64

# C code that prints without letting go of Python's lock would wait for ever for our thread
# to read: the larger the pipe, the more it may print. What an ordinary user may ask for.
PIPE_BYTES = 1_048_576
F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", None)


class Descriptors:
    """The two descriptors of this process. Make it after the fork; raises OSError without them."""

    def __init__(self) -> None:
        self._own = {fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FROM) for fd, _ in STREAMS}
        # None as a sink: the run is over.
        self._pipes: dict[int, tuple[Stream, LogSink | None]] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._reader: threading.Thread | None = None
        self._c_streams = _c_streams()

    def own_streams(self) -> tuple[TextIO, TextIO]:
        """Return the worker's own stdout and stderr, as streams that no run ever gets."""
        out, err = (
            os.fdopen(self._own[fd], "w", buffering=1, errors="backslashreplace", closefd=False)
            for fd, _ in STREAMS
        )
        return out, err

    def lend(self, sink: LogSink) -> None:
        """Send to *sink* what is written to the two descriptors, until `take_back`."""
        for fd, stream in STREAMS:
            read, write = os.pipe()
            os.set_blocking(read, False)
            if F_SETPIPE_SZ is not None:
                # Refused where a user has many pipes: it is a little smaller then.
                with suppress(OSError):
                    fcntl.fcntl(write, F_SETPIPE_SZ, PIPE_BYTES)
            os.dup2(write, fd)
            if write != fd:
                os.close(write)
            with self._lock:
                self._pipes[read] = (stream, sink)
                self._selector.register(read, selectors.EVENT_READ)
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="descriptors", daemon=True)
            self._reader.start()

    def take_back(self) -> None:
        """Give the descriptors back to the worker, and their sink all that was written so far.

        May be called again if it was interrupted.
        """
        self._flush()
        with self._lock:
            lent = [read for read, (_, sink) in self._pipes.items() if sink is not None]
            # Nobody is to be woken by the end of what is over.
            for read in lent:
                self._unregister(read)
            for fd, own in self._own.items():
                os.dup2(own, fd)
            for read in lent:
                self._drain(read)
                if read in self._pipes:
                    # A program that was left behind holds its other end.
                    self._pipes[read] = (self._pipes[read][0], None)
                    self._selector.register(read, selectors.EVENT_READ)

    def _flush(self) -> None:
        """Have what lies in buffers on the way to the descriptors written there."""
        for stream in (sys.__stdout__, sys.__stderr__):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()  # type: ignore[union-attr]  # None in a process without one
        for c_stream in self._c_streams:
            _libc.fflush(c_stream)

    def _read(self) -> None:
        while True:
            for key, _ in self._selector.select():
                with self._lock:
                    # The run may have ended since; another pipe may have the number by now.
                    if key.fd in self._pipes:
                        self._drain(key.fd)

    def _drain(self, read: int) -> None:
        """Pass on what lies in a pipe, and close it if nobody can write there any more."""
        stream, sink = self._pipes[read]
        while True:
            try:
                data = os.read(read, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._unregister(read)
                del self._pipes[read]
                os.close(read)
                return
            # What writes after its run is over is heard by nobody: it may tell secrets.
            if sink is not None:
                sink.write(stream, data)

    def _unregister(self, read: int) -> None:
        with suppress(KeyError):
            self._selector.unregister(read)


_libc = ctypes.CDLL(None)


def _c_streams() -> list[ctypes.c_void_p]:
    """Return C's own stdout and stderr, which buffer what C code prints."""
    found = []
    for name in ("stdout", "stderr"):
        for symbol in (name, f"__{name}p"):
            with suppress(ValueError):
                found.append(ctypes.c_void_p.in_dll(_libc, symbol))
                break
    return found
