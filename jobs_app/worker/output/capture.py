"""Captures what a run prints: streams, loggers and file descriptors."""

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
from jobs_app.worker.output.fd_capture import Descriptors
from jobs_app.worker.output.secret_masking import MaskedRecords, masked, masked_bytes

logger = logging.getLogger(__name__)


class _Unset(Enum):
    UNSET = "unset"


_sink: ContextVar[LogSink | Literal[_Unset.UNSET] | None] = ContextVar(
    "run_log_sink", default=_Unset.UNSET
)
_install_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Whole:
    """The run that has this whole process for itself, and the threads that were there before."""

    sink: LogSink
    strangers: frozenset[int | None]


class _Raw:
    """Where a forked copy of this process writes: the run's log has no thread in it."""

    def write(self, stream: Stream, data: bytes) -> None:
        with suppress(OSError):
            os.write(1 if stream == "stdout" else 2, data)


_descriptors: Descriptors | None = None
_own_streams: tuple[TextIO, TextIO] | None = None
_whole: _Whole | None = None
_raw: _Raw | None = None
_is_installed = False


def own_descriptors() -> None:
    """Catch, from now on, what is written to descriptors 1 and 2 during a run as well.

    For a process that works on one run at a time. The worker's own log goes where it went.
    """
    global _descriptors, _own_streams
    try:
        _descriptors = Descriptors()
    except OSError:
        # A service without an output: then there is nothing to tell apart.
        return
    _own_streams = _descriptors.own_streams()
    for handler in _handlers_of_the_worker():
        handler.addFilter(_is_of_no_run)
        handler.setStream(_own_streams[_fileno(handler.stream) - 1])
    with _install_lock:
        sys.stdout = _RoutedStream("stdout", _own_streams[0])
        sys.stderr = _RoutedStream("stderr", _own_streams[1])


def _handlers_of_the_worker() -> list["logging.StreamHandler[TextIO]"]:
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
    """Send what the block prints and logs to *log*, and to nowhere else.

    It holds for this thread (or asyncio task) only, so that runs in a pool of
    threads never mix; what the block prints there from threads that it starts
    itself, or from C code and child processes, stays with the worker. In a process
    that works on one run at a time (`own_descriptors`) all of that is caught too,
    unless *is_python* is false: a task of ours writes to its log by itself.
    """
    global _whole
    _install()
    token = _sink.set(log)
    descriptors = _descriptors if is_python else None
    try:
        if descriptors is not None:
            _whole = _Whole(log, frozenset(each.ident for each in threading.enumerate()))
            descriptors.lend(log)
        yield
    finally:
        _sink.reset(token)
        if descriptors is not None:
            _whole = None
            try:
                descriptors.take_back()
            except SoftTimeLimitExceeded:
                # It strikes once, and the task has ended: too late for it.
                descriptors.take_back()


def _sink_here() -> LogSink | None:
    """Return the log of the run that this thread works for, None for the worker itself."""
    if _raw is not None:
        return _raw
    sink, whole = _sink.get(), _whole
    if sink is not _Unset.UNSET:
        return sink
    is_of_the_run = whole is not None and threading.get_ident() not in whole.strangers
    return whole.sink if whole is not None and is_of_the_run else None


def _is_of_no_run(_: logging.LogRecord) -> bool:
    """Keep the records of a run out of the worker's own log: they may hold what is nobody's."""
    return _sink_here() is None


def stay_out_of_runs() -> None:
    """Let what this thread prints and logs go to the worker, whichever run is under way."""
    _sink.set(None)


def _become_raw() -> None:
    global _raw
    _raw = _Raw()


def _install() -> None:
    """Put the routers in place, once; again where somebody has replaced sys.stdout since."""
    global _is_installed
    with _install_lock:
        if not _is_installed:
            os.register_at_fork(after_in_child=_become_raw)
            for handler in _handlers_of_the_worker():
                handler.addFilter(_is_of_no_run)
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
            # A thread that a task started: its output stays here, the secrets do not.
            self._original.write(masked(text))
            return len(text)
        # A lone surrogate cannot be encoded; shown as an escape, it can.
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
    """The `buffer` of such a stream, for those who print bytes."""

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
    """Sends the records of a run's own thread to the run's log, each once."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        sink = _sink_here()
        # A logger that reaches both the root and Celery's logger brings a record twice.
        if sink is None or getattr(record, "is_in_run_log", False):
            return
        record.is_in_run_log = True
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  # as in logging itself: a bad format ends no run
            self.handleError(record)
            return
        sink.write("stderr", f"{text}\n".encode("utf-8", "backslashreplace"))
