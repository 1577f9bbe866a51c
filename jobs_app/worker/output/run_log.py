"""The log of a run, stored in chunks; of a log that is too long, its head and its tail."""

import codecs
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from jobs_app.core import clock
from jobs_app.db.errors import is_outage
from jobs_app.tasks.context import Stream
from jobs_app.worker.output.routing import leave_run_output
from jobs_app.worker.output.serial_calls import SerialCalls

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
# A transaction costs as much as half a megabyte: flush a fast writer no more often.
FLUSH_BYTES = 524_288
# Once the head is full, each flush rewrites up to half a log: flush less often.
TAIL_FLUSH_SECONDS = 2.0
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
# `store_rest` waits this long for a store that has not answered since the close.
JOIN_SECONDS = 5.0
CHUNK_BYTES = 16_384
# A job that prints a byte a second, or takes turns between its streams, must not fill the
# table: after this many chunks, a chunk holds both streams, and few bytes wait for more.
SMALL_CHUNKS = 1_000
SMALL_CHUNK_BYTES = 64
SMALL_CHUNK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of output. `seq` rises within an attempt; a gap in it marks a cut.

    With output of both streams, `lengths` are the characters of each part, with commas: the
    parts alternate, and `stream` is that of the first. None: all of it is of `stream`.
    """

    seq: int
    stream: Stream
    at: datetime
    text: str
    lengths: str | None = None


@dataclass(frozen=True, slots=True)
class Flush:
    """The changes that a store must make in one transaction; it may get them twice.

    Delete the chunks with `delete_from` <= seq <= `delete_through` (none if `delete_through`
    is lower), insert `chunks` that are missing, and set the counts: the run wrote
    `total_bytes`, of which `cut_bytes` were dropped between head and tail.
    """

    chunks: tuple[Chunk, ...]
    delete_from: int
    delete_through: int
    total_bytes: int
    cut_bytes: int


class ChunkStore(Protocol):
    """Stores the chunks of one attempt."""

    def apply(self, flush: Flush, /) -> None:
        """Do all of *flush* or nothing; after any error it is called again a little later."""


class RunLog:
    """The log of one attempt: takes bytes at any speed and stores them from its own thread.

    It keeps the first and the last half of `limit_bytes`, which counts bytes of text. It holds
    a small multiple of the limit in memory, whatever the store does. NUL becomes U+FFFD,
    because PostgreSQL refuses it.
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
        self._head_bytes = 0
        self._is_head_full = False
        self._tail: deque[tuple[int, int]] = deque()  # seq, bytes
        self._tail_bytes = 0
        self._delete_from = 0
        self._delete_through = -1
        self._pending_head: list[Chunk] = []
        self._pending_tail: deque[Chunk] = deque()
        self._unflushed_bytes = 0
        self._open: _OpenChunk | None = None
        self._total_bytes = 0
        self._cut_bytes = 0
        self._calls = SerialCalls()
        self._state = threading.Condition()
        self._is_closed = False
        self._is_stored = True
        self._give_up_at = float("inf")
        self._flusher: threading.Thread | None = None
        self._rest: Flush | None = None

    @property
    def total_bytes(self) -> int:
        """Number of bytes of text that the run wrote."""
        return self._total_bytes

    @property
    def cut_bytes(self) -> int:
        """Number of those bytes that were dropped between head and tail."""
        return self._cut_bytes

    def write(self, stream: Stream, data: bytes) -> None:
        """Take some output; after `close` it is ignored."""
        self._calls.call(self._write, stream, data)

    def close(self, *, timeout_seconds: float = 10.0) -> bool:
        """Store the rest; return False if the store did not accept it in time."""
        self._calls.call(self._write_end)
        with self._state:
            self._is_closed = True
            self._give_up_at = time.monotonic() + timeout_seconds
            self._state.notify_all()
        if self._flusher is not None:
            self._flusher.join(timeout_seconds)
        with self._state:
            return self._is_stored

    def store_rest(self) -> None:
        """Store in one try what `close` could not; raises the error of an outage."""
        self.close(timeout_seconds=0)
        if self._flusher is not None:
            self._flusher.join(JOIN_SECONDS)
            if self._flusher.is_alive():
                raise TimeoutError("The store has not answered yet.")
        while self._rest is not None or self._unflushed_bytes > 0:
            self._rest = self._rest or self._next_flush()
            try:
                self._store.apply(self._rest)
            except DBAPIError as error:
                if is_outage(error):
                    raise
                logger.warning("run_log_not_stored", extra={"error": type(error).__name__})
            self._rest = None
        self._is_stored = True

    def _write(self, stream: Stream, data: bytes, is_end: bool = False) -> None:
        with self._state:
            if not self._is_closed:
                self._take(stream, self._decoders[stream].decode(data, is_end))

    def _write_end(self) -> None:
        for stream in self._decoders:
            self._write(stream, b"", is_end=True)

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
            self._close_chunk()
            self._open = _OpenChunk(self._next_seq, stream, self._now())
            self._next_seq += 1
        self._open.add(stream, text, size)
        self._unflushed_bytes += size

    def _close_chunk(self) -> None:
        """Add the open chunk to head or tail, and cut the oldest chunks of a full tail."""
        if self._open is None:
            return
        chunk, size = self._open.chunk(), self._open.size
        self._open = None
        if not self._is_head_full and self._head_bytes + size <= self._half:
            self._head_bytes += size
            self._pending_head.append(chunk)
            return
        if not self._is_head_full:
            self._is_head_full = True
            self._delete_from = chunk.seq
        self._pending_tail.append(chunk)
        self._tail.append((chunk.seq, size))
        self._tail_bytes += size
        while self._tail_bytes > self._half and len(self._tail) > 1:
            self._cut_oldest()

    def _cut_oldest(self) -> None:
        seq, size = self._tail.popleft()
        self._tail_bytes -= size
        self._cut_bytes += size
        self._delete_through = seq
        if self._pending_tail and self._pending_tail[0].seq == seq:
            self._pending_tail.popleft()

    def _next_flush(self) -> Flush:
        self._close_chunk()
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
        leave_run_output()
        while True:
            with self._state:
                self._state.wait_for(lambda: self._unflushed_bytes > 0 or self._is_closed)
                pause = TAIL_FLUSH_SECONDS if self._is_head_full else FLUSH_SECONDS
                self._state.wait_for(self._is_flush_due, pause)
                if self._next_seq > SMALL_CHUNKS:
                    self._state.wait_for(self._has_enough_bytes, SMALL_CHUNK_SECONDS - pause)
                flush = self._next_flush()
            is_stored = not flush.chunks or self._try_store(flush)
            with self._state:
                if self._is_closed and (self._unflushed_bytes == 0 or not is_stored):
                    self._is_stored = is_stored
                    self._rest = None if is_stored else flush
                    return

    def _is_flush_due(self) -> bool:
        has_enough = self._unflushed_bytes >= FLUSH_BYTES and not self._is_head_full
        return has_enough or self._is_closed

    def _has_enough_bytes(self) -> bool:
        return self._unflushed_bytes >= SMALL_CHUNK_BYTES or self._is_closed

    def _try_store(self, flush: Flush) -> bool:
        """Store *flush*; try again until the time-out of `close`. Return whether it is stored."""
        failures = 0
        while True:
            try:
                self._store.apply(flush)
            except Exception as error:  # noqa: BLE001  # stores differ; the thread outlives them
                if failures == 0:
                    logger.warning("run_log_not_stored", extra={"error": type(error).__name__})
                if isinstance(error, DBAPIError) and not is_outage(error):
                    # The database refuses this piece: the output after it comes next.
                    return True
            else:
                return True
            self._pause_before_retry(failures)
            failures += 1
            if time.monotonic() >= self._give_up_at:
                return False

    def _pause_before_retry(self, failures: int) -> None:
        """Wait longer after each failure, but not beyond the end of the run."""
        with self._state:
            if self._is_closed:
                self._state.wait(RETRY_SECONDS[0])
            else:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                self._state.wait_for(lambda: self._is_closed, pause)


class _OpenChunk:
    """The chunk that takes the next output: text written close together."""

    def __init__(self, seq: int, stream: Stream, at: datetime) -> None:
        self._seq = seq
        self._at = at
        self._texts: list[str] = []
        self._stream: Stream = stream
        self._last_stream: Stream = stream
        # The characters of each part; the parts alternate between the two streams.
        self._lengths = [0]
        self.size = 0

    def takes(self, stream: Stream, size: int, limit: int) -> bool:
        may_take = stream == self._last_stream or self._seq >= SMALL_CHUNKS
        return may_take and self.size + size <= limit

    def add(self, stream: Stream, text: str, size: int) -> None:
        if stream != self._last_stream:
            self._last_stream = stream
            self._lengths.append(0)
        self._lengths[-1] += len(text)
        self._texts.append(text)
        self.size += size

    def chunk(self) -> Chunk:
        lengths = ",".join(map(str, self._lengths)) if len(self._lengths) > 1 else None
        return Chunk(self._seq, self._stream, self._at, "".join(self._texts), lengths)
