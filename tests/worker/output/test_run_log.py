"""A run's log keeps what matters, in order, whatever is written and whatever the store does."""

import random
import threading
import time
import tracemalloc

import pytest

from jobs_app.db.models.runs import LogChunk
from jobs_app.tasks.context import Stream
from jobs_app.worker.output.run_log import CHUNK_BYTES, SMALL_CHUNKS, Chunk, Flush, RunLog
from tests.servers import wait_until

LIMIT = 65_536


class Store:
    """A store that keeps rows as a table would, and that can be down."""

    def __init__(self) -> None:
        self.rows: dict[int, Chunk] = {}
        self.flushes: list[Flush] = []
        self.is_down = False
        self.refusals = 0

    def apply(self, flush: Flush) -> None:
        if self.is_down:
            self.refusals += 1
            raise OSError("the database is away")
        for seq in [s for s in self.rows if flush.delete_from <= s <= flush.delete_through]:
            del self.rows[seq]
        for chunk in flush.chunks:
            self.rows.setdefault(chunk.seq, chunk)
        self.flushes.append(flush)

    def text(self, stream: Stream | None = None) -> str:
        chunks = [self.rows[seq] for seq in sorted(self.rows)]
        return "".join(chunk.text for chunk in chunks if stream in (None, chunk.stream))


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def log(store: Store) -> RunLog:
    return RunLog(store, limit_bytes=LIMIT)


def test_output_is_kept_in_order_with_its_stream(log, store):
    log.write("stdout", b"one\n")
    log.write("stderr", b"two\n")
    log.write("stdout", b"three\n")

    assert log.close()

    assert [(c.stream, c.text) for c in store.rows.values()] == [
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\n"),
    ]
    assert log.cut_bytes == 0


def test_output_is_stored_while_the_run_goes_on(log, store):
    log.write("stdout", b"progress\n")

    wait_until(lambda: store.text() == "progress\n", "the line is stored without a close")
    log.close()


def test_much_output_is_stored_before_the_time_is_up(store):
    log = RunLog(store, limit_bytes=4_194_304)
    started = time.monotonic()

    log.write("stdout", b"x" * 600_000)

    wait_until(lambda: bool(store.flushes), "a flush by size")
    assert time.monotonic() - started < 0.45
    log.close()


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_characters_cut_by_a_border_are_put_together(log, store, width):
    text = "größer 🙂 日本語 \x1b[31mred\x1b[0m\n" * 20
    data = text.encode()

    for start in range(0, len(data), width):
        log.write("stdout", data[start : start + width])
    log.close()

    assert store.text() == text


def test_a_character_is_put_together_around_output_of_the_other_stream(log, store):
    euro = "€".encode()

    log.write("stdout", euro[:1])
    log.write("stderr", b"!")
    log.write("stdout", euro[1:])
    log.close()

    assert (store.text("stdout"), store.text("stderr")) == ("€", "!")


def test_bytes_that_are_not_utf8_and_nul_become_replacement_characters(log, store):
    log.write("stdout", b"a\xff\xfeb\x00c\xe2\x82")
    log.close()

    assert store.text() == "a\ufffd\ufffdb\ufffdc\ufffd"


def test_a_long_log_keeps_its_head_and_its_tail_and_counts_the_cut(log, store):
    lines = [f"line {n:07d}\n" for n in range(50_000)]
    whole = "".join(lines)

    for line in lines:
        log.write("stdout", line.encode())
    log.close()

    kept = store.text()
    gap = next(n for n, row in enumerate(sorted(store.rows)) if row != n)
    head = "".join(store.rows[n].text for n in range(gap))
    tail = kept[len(head) :]
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert LIMIT * 0.3 < len(head) <= LIMIT / 2
    assert LIMIT * 0.3 < len(tail) <= LIMIT / 2
    assert log.total_bytes == len(whole)
    assert log.cut_bytes == len(whole) - len(kept)
    assert (store.flushes[-1].total_bytes, store.flushes[-1].cut_bytes) == (
        log.total_bytes,
        log.cut_bytes,
    )


def test_the_store_never_holds_much_more_than_the_limit(store):
    log = RunLog(store, limit_bytes=8_192)
    source = random.Random(4)

    for _ in range(300):
        log.write("stdout", b"y" * source.randrange(1, 3_000))
    log.close()

    assert sum(len(chunk.text) for chunk in store.rows.values()) <= 8_192


def test_many_tiny_writes_do_not_make_many_rows(log, store):
    for _ in range(20_000):
        log.write("stdout", b".")
    log.close()

    assert store.text() == "." * 20_000
    assert len(store.rows) < 100


def parts(chunk: Chunk) -> list[tuple[str, str]]:
    columns = {"seq": chunk.seq, "stream": chunk.stream, "text": chunk.text}
    return LogChunk(**columns, lengths=chunk.lengths).parts()


def test_short_lines_of_both_streams_in_turns_are_kept_whole(store):
    log = RunLog(store, limit_bytes=1_048_576)
    lines: list[tuple[Stream, str]] = [
        ("stderr" if n % 2 else "stdout", f"{n}\n") for n in range(30_000)
    ]

    for stream, line in lines:
        log.write(stream, line.encode())
    log.close()

    kept = [part for seq in sorted(store.rows) for part in parts(store.rows[seq])]
    assert log.cut_bytes == 0
    assert kept == lines
    assert len(store.rows) <= SMALL_CHUNKS + 60


@pytest.mark.parametrize("limit", [LIMIT, pytest.param(1_048_576, marks=pytest.mark.nightly)])
def test_the_limit_counts_bytes_however_short_the_pieces_are(store, limit):
    log = RunLog(store, limit_bytes=limit)

    for _ in range(limit // 2 - CHUNK_BYTES):
        log.write("stdout", b"o")
        log.write("stderr", b"e")
    log.close()

    assert log.cut_bytes == 0
    assert len(store.rows) < SMALL_CHUNKS + 2 * limit / CHUNK_BYTES + 20
    assert store.text() == "oe" * (limit // 2 - CHUNK_BYTES)


def test_a_slow_writer_makes_few_rows_in_the_long_run(store, monkeypatch):
    monkeypatch.setattr("jobs_app.worker.output.run_log.SMALL_CHUNKS", 10)
    monkeypatch.setattr("jobs_app.worker.output.run_log.FLUSH_SECONDS", 0.001)
    log = RunLog(store, limit_bytes=LIMIT)
    tick = threading.Event()

    for _ in range(300):
        log.write("stdout", b".")
        tick.wait(0.002)
    log.close()

    assert store.text() == "." * 300
    # Far from 300: each row but the first ten has 64 bytes, or took 5 s.
    assert len(store.rows) < 60


def test_few_bytes_are_stored_after_a_while_however_many_chunks_there_are(store, monkeypatch):
    monkeypatch.setattr("jobs_app.worker.output.run_log.SMALL_CHUNKS", 0)
    monkeypatch.setattr("jobs_app.worker.output.run_log.SMALL_CHUNK_SECONDS", 0.6)
    log = RunLog(store, limit_bytes=LIMIT)

    log.write("stdout", b".")

    wait_until(lambda: store.text() == ".", "the byte is stored without a close")
    log.close()


def test_memory_stays_bounded_while_streams_take_turns_and_the_store_is_down(store):
    store.is_down = True
    log = RunLog(store, limit_bytes=LIMIT)
    tracemalloc.start()
    try:
        for _ in range(LIMIT):
            log.write("stdout", b"o")
            log.write("stderr", b"e")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    log.close(timeout_seconds=0)

    assert peak < 20 * LIMIT


def test_a_flush_that_is_asked_for_twice_changes_nothing(store):
    log = RunLog(store, limit_bytes=4_096)
    for n in range(2_000):
        log.write("stdout", f"{n}\n".encode())
    log.close()
    before = dict(store.rows)

    store.apply(store.flushes[-1])

    assert store.rows == before


def test_output_written_while_the_store_is_down_is_stored_when_it_is_back(log, store):
    store.is_down = True
    log.write("stdout", b"first\n")
    wait_until(lambda: store.refusals >= 2, "the store was asked again")
    log.write("stdout", b"second\n")

    store.is_down = False

    assert log.close()
    assert store.text() == "first\nsecond\n"


def test_a_store_that_stays_down_delays_the_end_only_so_long(log, store):
    store.is_down = True
    log.write("stdout", b"lost\n")
    started = time.monotonic()

    is_stored = log.close(timeout_seconds=0.7)

    assert not is_stored
    assert time.monotonic() - started < 3


def test_what_a_close_could_not_store_is_stored_later_in_order(log, store):
    log.write("stdout", b"stored\n")
    wait_until(lambda: store.text() == "stored\n", "it is stored")
    store.is_down = True
    log.write("stdout", b"late\n")
    wait_until(lambda: store.refusals > 0, "the store was asked")
    log.write("stderr", b"later\n" * 30_000)
    assert not log.close(timeout_seconds=0)
    with pytest.raises(OSError, match="the database is away"):
        log.store_rest()

    store.is_down = False
    log.store_rest()
    log.store_rest()

    assert store.text().startswith("stored\nlate\nlater\n")
    assert store.text().endswith("later\n")
    assert len(store.text()) == log.total_bytes - log.cut_bytes
    assert log.close()


def test_a_store_that_hangs_blocks_neither_the_writer_nor_the_end(store):
    release = threading.Event()

    class Hanging(Store):
        def apply(self, flush: Flush) -> None:
            release.wait(30)

    log = RunLog(Hanging(), limit_bytes=LIMIT)
    started = time.monotonic()

    for _ in range(100):
        log.write("stdout", b"z" * 65_536)
    is_stored = log.close(timeout_seconds=0.3)
    took = time.monotonic() - started
    release.set()

    assert not is_stored
    assert took < 5


def test_memory_stays_flat_while_the_store_is_down(log, store):
    store.is_down = True
    log.write("stdout", b"w" * LIMIT)
    tracemalloc.start()
    try:
        for _ in range(400):
            log.write("stdout", b"v" * 65_536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    log.close(timeout_seconds=0)

    assert peak < 20 * LIMIT


def test_output_after_the_close_is_ignored(log, store):
    log.write("stdout", b"in\n")
    log.close()

    log.write("stdout", b"late\n")
    log.close()

    assert store.text() == "in\n"
