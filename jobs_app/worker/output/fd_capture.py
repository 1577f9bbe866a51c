"""Redirects descriptors 1 and 2 of a pool process to the log of its run.

C code, child processes and `os.write` bypass `sys.stdout`. A pool process has one run at a
time, so both descriptors become pipes, which one thread reads. Each run gets new pipes: a
program that a run leaves behind never writes into the log of the next run.
"""

import ctypes
import fcntl
import os
import select
import selectors
import sys
import threading
from contextlib import suppress
from typing import TextIO

from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.output.fd_copies import CLOSED, DescriptorCopies, identity
from jobs_app.worker.output.serial_calls import SerialCalls

STREAMS: tuple[tuple[int, Stream], ...] = ((1, "stdout"), (2, "stderr"))
READ_BYTES = 65_536

#: The worker's own descriptors are copied to above this number: programs often close low ones.
OWN_FD_FROM = 64

# C code that prints while it holds the GIL blocks when the pipe is full, and our thread cannot
# read. So the pipe is as large as an ordinary user may have it.
PIPE_BYTES = 1_048_576
F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", None)


class FdCapture:
    """Descriptors 1 and 2 of this process. Create it after the fork; OSError if they are closed."""

    def __init__(self) -> None:
        self._own = {fd: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OWN_FD_FROM) for fd, _ in STREAMS}
        # The sink is None after the end of its run.
        self._pipes: dict[int, tuple[Stream, LogSink | None]] = {}
        # All that reads the pipes or changes their list: so output stays in order.
        self._calls = SerialCalls()
        self._selector = selectors.DefaultSelector()
        self._reader: threading.Thread | None = None
        self._c_streams = _c_streams()
        # Python's first streams: code that was imported early may have kept them.
        self._first_streams = (sys.__stdout__, sys.__stderr__)
        # The pipe behind each descriptor: (device, inode).
        self._ends: dict[int, tuple[int, int]] = {}
        self._copies = DescriptorCopies(self._own)
        # Tells whether a program of the run has written something that is not read yet.
        self._unread = select.poll()

    @property
    def copies(self) -> frozenset[int]:
        """The copies of descriptors 1 and 2 that are redirected with them."""
        return self._copies.fds

    def own_streams(self) -> tuple[TextIO, TextIO]:
        """Return the worker's own stdout and stderr, as streams that no run ever gets."""
        out, err = (
            os.fdopen(self._own[fd], "w", buffering=1, errors="backslashreplace", closefd=False)
            for fd, _ in STREAMS
        )
        return out, err

    def redirect(self, sink: LogSink) -> None:
        """Send writes to the two descriptors to *sink*, until `restore`."""
        for fd, stream in STREAMS:
            read, write = os.pipe()
            os.set_blocking(read, False)
            if F_SETPIPE_SZ is not None:
                # Refused if the user has many pipes: then the pipe is smaller.
                with suppress(OSError):
                    fcntl.fcntl(write, F_SETPIPE_SZ, PIPE_BYTES)
            os.dup2(write, fd)
            if write != fd:
                os.close(write)
            self._ends[fd] = identity(fd)
            self._calls.call(self._register, read, stream, sink)
        self._copies.redirect()
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, name="descriptors", daemon=True)
            self._reader.start()

    def write(self, stream: Stream, data: bytes, sink: LogSink) -> None:
        """Write output of the run's Python code, after all that its programs wrote before.

        It goes where the descriptor leads: a task may have put a file in place of the pipe.
        """
        fd = 1 if stream == "stdout" else 2
        if fd in self._ends and identity(fd) not in (self._ends[fd], CLOSED):
            while data:
                data = data[os.write(fd, data) :]
            return
        self._calls.call(self._write_after_programs, stream, data, sink)

    def restore(self) -> None:
        """Give the descriptors back to the worker, and all output so far to the sink.

        If it is interrupted, call it again.
        """
        self._flush()
        self._calls.call(self._restore)

    def _restore(self) -> None:
        reads = [read for read, (_, sink) in self._pipes.items() if sink is not None]
        # The end of these pipes must not wake the reader.
        for read in reads:
            self._unregister(read)
        self._copies.restore(self._ends)
        self._ends.clear()
        for fd, own in self._own.items():
            os.dup2(own, fd)
        for read in reads:
            self._drain(read)
            if read in self._pipes:
                # A program that the run left behind holds the write end.
                self._pipes[read] = (self._pipes[read][0], None)
                self._selector.register(read, selectors.EVENT_READ)

    def _flush(self) -> None:
        """Flush the buffers of Python and C to the descriptors."""
        for stream in self._first_streams:
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()  # type: ignore[union-attr]  # None in a process without one
        self._copies.flush()
        for c_stream in self._c_streams:
            _libc.fflush(c_stream)

    def _read(self) -> None:
        while True:
            for key, _ in self._selector.select():
                self._calls.call(self._drain_if_open, key.fd)

    def _drain_if_open(self, read: int) -> None:
        # The run may have ended, and another pipe may have this number now.
        if read in self._pipes:
            self._drain(read)

    def _write_after_programs(self, stream: Stream, data: bytes, sink: LogSink) -> None:
        # Most often nothing is there: a poll is cheaper than two reads.
        if self._unread.poll(0):
            for read, (_, reader_sink) in list(self._pipes.items()):
                if reader_sink is sink:
                    self._drain(read)
        sink.write(stream, data)

    def _drain(self, read: int) -> None:
        """Pass on what a pipe holds now; close the pipe at end of file."""
        stream, sink = self._pipes[read]
        # No pipe holds more: a program that never stops writing must not hold up the run.
        left = PIPE_BYTES
        while left > 0:
            try:
                data = os.read(read, READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._unregister(read)
                del self._pipes[read]
                os.close(read)
                return
            left -= len(data)
            # Output after the end of a run is discarded: it may hold secrets.
            if sink is not None:
                sink.write(stream, data)

    def _register(self, read: int, stream: Stream, sink: LogSink) -> None:
        self._pipes[read] = (stream, sink)
        self._selector.register(read, selectors.EVENT_READ)
        self._unread.register(read, select.POLLIN)

    def _unregister(self, read: int) -> None:
        with suppress(KeyError):
            self._unread.unregister(read)
        with suppress(KeyError):
            self._selector.unregister(read)


_libc = ctypes.CDLL(None)


def _c_streams() -> list[ctypes.c_void_p]:
    """Return C's own stdout and stderr, which buffer the output of C code."""
    streams = []
    for name in ("stdout", "stderr"):
        for symbol in (name, f"__{name}p"):
            with suppress(ValueError):
                streams.append(ctypes.c_void_p.in_dll(_libc, symbol))
                break
    return streams
