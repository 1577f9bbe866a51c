"""What a run prints and logs is in its log, and nowhere else."""

import itertools
import logging
import re
import sys
import threading

import pytest

from jobs_app.tasks.context import LogSink
from jobs_app.worker.output.capture import capture_output
from jobs_app.worker.output.run_log import Flush, RunLog
from jobs_app.worker.output.secret_masking import Mask, MaskedLog
from tests.worker.output.interrupts import interrupt_each_line
from tests.worker.output.sinks import Memory


def test_prints_and_log_records_of_the_block_go_to_its_log(capsys):
    sink = Memory()

    with capture_output(sink):
        print("printed")
        print("shouted", file=sys.stderr)
        sys.stdout.buffer.write(b"raw\n")
        logging.getLogger("mine").warning("careful: %d", 7)
    print("outside")

    assert sink.out == b"printed\nraw\n"
    assert sink.err == b"shouted\nWARNING mine: careful: 7\n"
    assert capsys.readouterr().out.endswith("outside\n")


def test_a_task_logger_that_celery_cut_from_the_root_reaches_the_log_once():
    sink = Memory()
    celery_logger = logging.getLogger("celery.task")
    propagates = celery_logger.propagate
    try:
        for celery_logger.propagate in (False, True):
            with capture_output(sink):
                logging.getLogger("celery.task.mine").warning("once")
    finally:
        celery_logger.propagate = propagates

    assert sink.err == b"WARNING celery.task.mine: once\n" * 2


def test_a_lone_surrogate_can_be_printed():
    sink = Memory()

    with capture_output(sink):
        print("\udcff")

    assert sink.out == b"\\udcff\n"


def test_runs_in_threads_never_mix_their_output():
    sinks = [Memory() for _ in range(8)]
    barrier = threading.Barrier(len(sinks))

    def work(number: int, sink: LogSink) -> None:
        barrier.wait(10)
        with capture_output(sink):
            for n in range(200):
                print(f"{number}:{n}")
                logging.getLogger("work").warning("%d", number)

    threads = [threading.Thread(target=work, args=(n, s)) for n, s in enumerate(sinks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    for number, sink in enumerate(sinks):
        assert sink.out.decode() == "".join(f"{number}:{n}\n" for n in range(200))
        assert sink.err.decode() == f"WARNING work: {number}\n" * 200


def test_streams_that_a_task_replaced_are_back_after_it() -> None:
    sink = Memory()

    with capture_output(sink):
        streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = sys.__stdout__ = None  # type: ignore[misc]  # as bad tasks do
    with capture_output(sink):
        assert (sys.stdout, sys.stderr) == streams
        print("heard")

    assert sink.out == b"heard\n"


class Rows:
    """A store that keeps the text of each chunk, as a table whose key is `seq` would."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}

    def apply(self, flush: Flush) -> None:
        for chunk in flush.chunks:
            assert chunk.seq not in self.texts
            self.texts[chunk.seq] = chunk.text


@pytest.mark.parametrize("is_masked", [False, True])
def test_a_handler_may_print_at_any_line_while_the_task_prints(is_masked: bool) -> None:
    rows = Rows()
    run_log = RunLog(rows)
    log = MaskedLog(run_log, Mask(["éé-secret"])) if is_masked else run_log
    ticks = itertools.count()
    # Pieces of characters, and of what may be a secret: both are held back.
    pieces = ["é", "é-", "sec", "é", "line\n"] * 3

    def interrupt() -> None:
        print(f"<{next(ticks)}>")

    with capture_output(log), interrupt_each_line("worker/output", interrupt):
        for number, piece in enumerate(pieces):
            print(piece, end="", file=sys.stderr if number % 2 else sys.stdout)
    if isinstance(log, MaskedLog):
        log.close()
    assert run_log.close()

    text = "".join(text for _, text in sorted(rows.texts.items())).replace("\n", "")
    count = next(ticks)
    assert count > 100
    assert [n for n in range(count) if text.count(f"<{n}>") != 1] == []
    assert sorted(re.sub(r"<\d+>", "", text)) == sorted("".join(pieces).replace("\n", ""))
