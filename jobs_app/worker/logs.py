"""A run's log: what it prints, kept in chunks, head and tail of it when it is too long."""

import codecs
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from io import TextIOBase
from typing import Any, Literal, Protocol, TextIO

from billiard.exceptions import SoftTimeLimitExceeded

from jobs_app.core import clock
from jobs_app.tasks.context import LogSink, Stream
from jobs_app.worker.descriptors import Descriptors
from jobs_app.worker.masking import MaskedRecords, masked, masked_bytes

FLUSH_SECONDS = 0.5
# A transaction costs as much as half a megabyte: a fast writer need not wait for one more often.
FLUSH_BYTES = 524_288
# Once the head is full every flush rewrites up to half a log: not twice a second, then.
TAIL_FLUSH_SECONDS = 2.0
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
CHUNK_BYTES = 16_384
# What a row costs at least, so that a job that prints a byte a second cannot fill the table.
CHUNK_COST_BYTES = 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output. `seq` rises within an attempt; a gap in it is where output was cut."""

    seq: int
    stream: Stream
    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    """What a store is to do in one transaction, and may be asked to do again.

    Delete the chunks with `delete_from` <= seq <= `delete_through` (none where
    `delete_through` is the lower one), insert `chunks` unless they are there
    already, and set the log's counts: `total_bytes` is what the run wrote, of
    which `cut_bytes` were dropped between head and tail.
    """

    chunks: tuple[Chunk, ...]
    delete_from: int
    delete_through: int
    total_bytes: int
    cut_bytes: int


class ChunkStore(Protocol):
    """Where the chunks of one attempt are kept."""

    def apply(self, flush: Flush, /) -> None:
        """Do all of *flush* or nothing; raise anything to be asked again a little later."""


class RunLog:
    """The log of one attempt: takes bytes at any speed, stores them from a thread of its own.

    It keeps the first half of `limit_bytes` and the last half, and holds no
    more than twice the limit in memory, whatever the store does. NUL becomes
    U+FFFD, because PostgreSQL refuses it; colours stay.
    """

    def __init__(
        self,
        store: ChunkStore,
        *,
        limit_bytes: int = 1_048_576,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._store = store
        self._now = now
        self._half = limit_bytes // 2
        self._chunk_bytes = max(1, min(CHUNK_BYTES, limit_bytes // 8))
        self._decoders: dict[Stream, codecs.IncrementalDecoder] = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }
        self._next_seq = 0
        self._head_cost = 0
        self._is_head_full = False
        self._tail: deque[tuple[int, int, int]] = deque()  # seq, cost, bytes
        self._tail_cost = 0
        self._delete_from = 0
        self._delete_through = -1
        self._pending_head: list[Chunk] = []
        self._pending_tail: deque[Chunk] = deque()
        self._unflushed_bytes = 0
        self._open: _OpenChunk | None = None
        self._total_bytes = 0
        self._cut_bytes = 0
        self._state = threading.Condition()
        self._is_closed = False
        self._is_stored = True
        self._give_up_at = float("inf")
        self._flusher: threading.Thread | None = None

    @property
    def total_bytes(self) -> int:
        """How much the run wrote, bytes of text."""
        return self._total_bytes

    @property
    def cut_bytes(self) -> int:
        """How much of that was dropped between head and tail."""
        return self._cut_bytes

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some output; after `close` it is ignored."""
        with self._state:
            if not self._is_closed:
                self._take(stream, self._decoders[stream].decode(data))

    def close(self, *, timeout_seconds: float = 10.0) -> bool:
        """Store what is left; return False if the store did not take it in time."""
        with self._state:
            if not self._is_closed:
                for stream, decoder in self._decoders.items():
                    self._take(stream, decoder.decode(b"", True))
            self._is_closed = True
            self._give_up_at = time.monotonic() + timeout_seconds
            self._state.notify_all()
        if self._flusher is not None:
            self._flusher.join(timeout_seconds)
        with self._state:
            return self._is_stored

    def _take(self, stream: Stream, text: str) -> None:
        if not text:
            return
        text = text.replace("\x00", "\ufffd")
        step = self._chunk_bytes if text.isascii() else max(1, self._chunk_bytes // 4)
        for start in range(0, len(text), step):
            self._add(stream, text[start : start + step])
        if self._flusher is None:
            self._is_stored = False
            self._flusher = threading.Thread(
                target=self._flush_until_closed, name="run-log", daemon=True
            )
            self._flusher.start()
        self._state.notify_all()

    def _add(self, stream: Stream, text: str) -> None:
        size = len(text.encode())
        self._total_bytes += size
        if self._open is None or not self._open.takes(stream, size, self._chunk_bytes):
            self._seal()
            self._open = _OpenChunk(self._next_seq, stream, self._now())
            self._next_seq += 1
        self._open.texts.append(text)
        self._open.size += size
        self._unflushed_bytes += size

    def _seal(self) -> None:
        """Put the chunk that is being filled in its place, and cut what no longer fits."""
        if self._open is None:
            return
        chunk, size = self._open.chunk(), self._open.size
        self._open = None
        cost = max(size, CHUNK_COST_BYTES)
        if not self._is_head_full and self._head_cost + cost <= self._half:
            self._head_cost += cost
            self._pending_head.append(chunk)
            return
        if not self._is_head_full:
            self._is_head_full = True
            self._delete_from = chunk.seq
        self._pending_tail.append(chunk)
        self._tail.append((chunk.seq, cost, size))
        self._tail_cost += cost
        while self._tail_cost > self._half and len(self._tail) > 1:
            self._cut_oldest()

    def _cut_oldest(self) -> None:
        seq, cost, size = self._tail.popleft()
        self._tail_cost -= cost
        self._cut_bytes += size
        self._delete_through = seq
        if self._pending_tail and self._pending_tail[0].seq == seq:
            self._pending_tail.popleft()

    def _next_flush(self) -> Flush:
        self._seal()
        flush = Flush(
            chunks=(*self._pending_head, *self._pending_tail),
            delete_from=self._delete_from,
            delete_through=self._delete_through,
            total_bytes=self._total_bytes,
            cut_bytes=self._cut_bytes,
        )
        self._pending_head.clear()
        self._pending_tail.clear()
        self._unflushed_bytes = 0
        self._delete_from = max(self._delete_from, self._delete_through + 1)
        return flush

    def _flush_until_closed(self) -> None:
        stay_out_of_runs()
        while True:
            with self._state:
                self._state.wait_for(lambda: self._unflushed_bytes > 0 or self._is_closed)
                pause = TAIL_FLUSH_SECONDS if self._is_head_full else FLUSH_SECONDS
                self._state.wait_for(self._is_flush_due, pause)
                flush = self._next_flush()
            is_stored = not flush.chunks or self._stores(flush)
            with self._state:
                if self._is_closed and (self._unflushed_bytes == 0 or not is_stored):
                    self._is_stored = is_stored
                    return

    def _is_flush_due(self) -> bool:
        has_enough = self._unflushed_bytes >= FLUSH_BYTES and not self._is_head_full
        return has_enough or self._is_closed

    def _stores(self, flush: Flush) -> bool:
        """Store *flush*, asking again until `close` gives up; return whether it is stored."""
        failures = 0
        while True:
            try:
                self._store.apply(flush)
            except Exception as error:  # noqa: BLE001  # stores differ; the thread outlives them
                if failures == 0:
                    logger.warning("run_log_not_stored", extra={"error": type(error).__name__})
            else:
                return True
            self._pause_before_retry(failures)
            failures += 1
            if time.monotonic() >= self._give_up_at:
                return False

    def _pause_before_retry(self, failures: int) -> None:
        """Wait longer after each failure, but not past the moment when the run ends."""
        with self._state:
            if self._is_closed:
                self._state.wait(RETRY_SECONDS[0])
            else:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                self._state.wait_for(lambda: self._is_closed, pause)


class _OpenChunk:
    """The chunk that is being filled: lines of one stream, written close together."""

    def __init__(self, seq: int, stream: Stream, at: datetime) -> None:
        self.seq = seq
        self.stream: Stream = stream
        self.at = at
        self.texts: list[str] = []
        self.size = 0

    def takes(self, stream: Stream, size: int, limit: int) -> bool:
        return self.stream == stream and self.size + size <= limit

    def chunk(self) -> Chunk:
        return Chunk(self.seq, self.stream, self.at, "".join(self.texts))


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
