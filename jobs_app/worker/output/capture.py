"""Captures the output of a run: standard streams, loggers and file descriptors."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from io import TextIOBase
from typing import Any, Literal, TextIO

from billiard.exceptions import SoftTimeLimitExceeded

from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.output.fd_capture import FdCapture
from jobs_app.worker.output.process_masking import MaskedRecords, masked, masked_bytes

logger = logging.getLogger(__name__)


class _Unset(Enum):
    UNSET = "unset"


_sink: ContextVar[LogSink | Literal[_Unset.UNSET] | None] = ContextVar(
    "run_log_sink", default=_Unset.UNSET
)
_install_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _OnlyRun:
    """The only run of this process, and the threads that are older than it."""

    sink: LogSink
    earlier_threads: frozenset[int | None]


class _ForkedSink:
    """The sink of a forked copy of this process, in which the run's log has no thread."""

    def write(self, stream: Stream, data: bytes) -> None:
        with suppress(OSError):
            os.write(1 if stream == "stdout" else 2, data)


_fd_capture: FdCapture | None = None
_own_streams: tuple[TextIO, TextIO] | None = None
_only_run: _OnlyRun | None = None
_forked_sink: _ForkedSink | None = None
_is_installed = False


def capture_descriptors() -> None:
    """From now on, also capture writes to descriptors 1 and 2 during a run.

    Only for a process that works on one run at a time. The worker's own log is not affected.
    """
    global _fd_capture, _own_streams
    try:
        _fd_capture = FdCapture()
    except OSError:
        # The service has no output: nothing to capture.
        return
    _own_streams = _fd_capture.own_streams()
    for handler in _worker_handlers():
        handler.addFilter(_is_worker_record)
        handler.setStream(_own_streams[_fileno(handler.stream) - 1])
    with _install_lock:
        sys.stdout = _RoutedStream("stdout", _own_streams[0])
        sys.stderr = _RoutedStream("stderr", _own_streams[1])


def _worker_handlers() -> list["logging.StreamHandler[TextIO]"]:
    """Return the handlers that write to the worker's own stdout or stderr."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [h for logger in loggers for h in getattr(logger, "handlers", [])]
    streams = [h for h in handlers if isinstance(h, logging.StreamHandler)]
    return [handler for handler in streams if _fileno(handler.stream) in (1, 2)]


def _fileno(stream: Any) -> int:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return -1


@contextmanager
def capture_output(log: LogSink, *, is_python: bool = True) -> Iterator[None]:
    """Send the output and the log records of the block to *log*, and nowhere else.

    This covers only this thread (or asyncio task), so that runs in a pool of threads never
    mix. Output of other threads, C code and child processes goes to the worker's log. In a
    process with one run at a time (`capture_descriptors`) it is captured too, unless
    *is_python* is false: our own tasks write to their log directly.
    """
    global _only_run
    _install()
    token = _sink.set(log)
    fd_capture = _fd_capture if is_python else None
    try:
        if fd_capture is not None:
            _only_run = _OnlyRun(log, frozenset(thread.ident for thread in threading.enumerate()))
            fd_capture.redirect(log)
        yield
    finally:
        _sink.reset(token)
        if fd_capture is not None:
            _only_run = None
            try:
                fd_capture.restore()
            except SoftTimeLimitExceeded:
                # The limit fires once, and the task has ended: ignore it.
                fd_capture.restore()


def _sink_here() -> LogSink | None:
    """Return the log of this thread's run; None for the worker itself."""
    if _forked_sink is not None:
        return _forked_sink
    sink, whole = _sink.get(), _only_run
    if sink is not _Unset.UNSET:
        return sink
    is_of_the_run = whole is not None and threading.get_ident() not in whole.earlier_threads
    return whole.sink if whole is not None and is_of_the_run else None


def _is_worker_record(_: logging.LogRecord) -> bool:
    """Keep records of runs, which may hold private data, out of the worker's own log."""
    return _sink_here() is None


def leave_run_output() -> None:
    """Send the output of this thread to the worker's log, whichever run is active."""
    _sink.set(None)


def _become_forked_sink() -> None:
    global _forked_sink
    _forked_sink = _ForkedSink()


def _install() -> None:
    """Install the routed streams and handlers; again if user code replaced sys.stdout."""
    global _is_installed
    with _install_lock:
        if not _is_installed:
            os.register_at_fork(after_in_child=_become_forked_sink)
            for handler in _worker_handlers():
                handler.addFilter(_is_worker_record)
            _is_installed = True
        if not isinstance(sys.stdout, _RoutedStream):
            sys.stdout = _RoutedStream("stdout", _own_streams[0] if _own_streams else sys.stdout)
        if not isinstance(sys.stderr, _RoutedStream):
            sys.stderr = _RoutedStream("stderr", _own_streams[1] if _own_streams else sys.stderr)
        # Celery stops its task loggers from reaching the root logger.
        for name in (None, "celery.task"):
            handlers = logging.getLogger(name).handlers
            if not any(isinstance(handler, _RunLogHandler) for handler in handlers):
                logging.getLogger(name).addHandler(_RunLogHandler())
        make = logging.getLogRecordFactory()
        if not isinstance(make, MaskedRecords):
            logging.setLogRecordFactory(MaskedRecords(make))


class _RoutedStream(TextIOBase):
    """A standard stream that sends text to the run of the caller, if it has one."""

    def __init__(self, stream: Stream, original: TextIO) -> None:
        self._stream: Stream = stream
        self._original = original
        self.buffer = _RoutedBuffer(stream, original)

    def write(self, text: str) -> int:
        sink = _sink_here()
        if sink is None:
            # A thread of a task: its output goes to the worker's log, without secrets.
            self._original.write(masked(text))
            return len(text)
        # A lone surrogate cannot be encoded: write it as an escape.
        sink.write(self._stream, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        if _sink_here() is None:
            self._original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return _sink_here() is None and self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute
        return "utf-8"


class _RoutedBuffer:
    """The `buffer` of a routed stream, for output as bytes."""

    def __init__(self, stream: Stream, original: TextIO) -> None:
        self._stream: Stream = stream
        self._original = original

    def write(self, data: bytes | bytearray | memoryview) -> int:
        sink = _sink_here()
        if sink is None:
            self._original.buffer.write(masked_bytes(bytes(data)))
            return len(data)
        sink.write(self._stream, bytes(data))
        return len(data)

    def flush(self) -> None:
        if _sink_here() is None:
            self._original.flush()


class _RunLogHandler(logging.Handler):
    """Sends each record of a run's thread to the run's log, once."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        sink = _sink_here()
        # A logger below both the root and Celery's logger delivers a record twice.
        if sink is None or getattr(record, "is_in_run_log", False):
            return
        record.is_in_run_log = True
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  # as in logging: a bad format must not end a run
            self.handleError(record)
            return
        sink.write("stderr", f"{text}\n".encode("utf-8", "backslashreplace"))
