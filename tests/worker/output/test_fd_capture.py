"""All that a process writes to descriptors 1 and 2 during a run is in its log, in order."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

PREAMBLE = """
import faulthandler, json, logging, os, subprocess, sys, threading
own = os.dup(1)
first = sys.stdout
from jobs_app.worker.output.capture import capture_descriptors, capture_output

class Sink:
    def __init__(self): self.pieces = []
    def write(self, stream, data): self.pieces.append((stream, data.decode()))
    def text(self): return "".join(text for _, text in self.pieces)

capture_descriptors()
sink = Sink()
"""


def run(program: str) -> tuple[list[tuple[str, str]], str, str]:
    """Run *program*; return the log of its run, and the output of the process itself."""
    ending = "\nos.write(own, b'LOG' + json.dumps(sink.pieces).encode())\n"
    code = PREAMBLE + textwrap.dedent(program) + ending
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stderr
    own_output, _, log = done.stdout.partition("LOG")
    return [(stream, text) for stream, text in json.loads(log)], own_output, done.stderr


def test_programs_and_python_write_in_order_when_they_take_turns() -> None:
    pieces, out, err = run(
        """
        with capture_output(sink):
            print("1")
            subprocess.run(["/bin/sh", "-c", "echo 2"])
            print("3", file=sys.stderr)
            os.write(sys.stdout.fileno(), b"4\\n")
            logging.getLogger("mine").warning("5")
            subprocess.run(["/bin/sh", "-c", "echo 6; exit 0"], stdout=sys.stdout)
            subprocess.run(["/bin/sh", "-c", "echo 7 >&2"], stderr=sys.stderr)
            sys.__stdout__.write("8\\n")
            first.write("9\\n")
            first.flush()
            os.system("echo 10")
        """
    )

    numbers = [
        word for _, text in pieces for word in text.split() if word not in ("WARNING", "mine:")
    ]
    assert numbers == [str(n) for n in range(1, 11)]
    assert (out, err) == ("", "")


def test_the_interpreter_finds_the_stream_of_the_run_by_its_number() -> None:
    pieces, out, err = run(
        """
        with capture_output(sink):
            faulthandler.dump_traceback(file=sys.stderr)
        """
    )

    assert "Current thread" in "".join(text for stream, text in pieces if stream == "stderr")
    assert (out, err) == ("", "")


def test_a_task_that_redirects_its_output_redirects_only_its_own() -> None:
    pieces, out, err = run(
        """
        with capture_output(sink):
            print("before")
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            print("silenced")
            os.system("echo silenced too")
            print("heard", file=sys.stderr)
        print("of the worker")
        with capture_output(sink):
            print("next")
            os.system("echo child")
        """
    )

    assert "".join(text for _, text in pieces) == "before\nheard\nnext\nchild\n"
    assert (out, err) == ("of the worker\n", "")


def test_a_task_that_closes_its_streams_closes_only_its_own() -> None:
    pieces, out, _ = run(
        """
        with capture_output(sink):
            sys.stdout.close(); sys.stderr.close(); sys.stdout.detach()
            os.close(1); os.close(2)
            print("still heard")
        with capture_output(sink):
            print("next")
            os.system("echo child")
        """
    )

    assert "".join(text for _, text in pieces) == "still heard\nnext\nchild\n"
    assert out == ""


def test_a_stream_is_a_pipe_also_if_the_output_of_the_worker_is_a_file(tmp_path: Path) -> None:
    program = """
        with capture_output(sink):
            import io
            assert not sys.stdout.seekable()
            wrapper = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
            wrapper.write("wrapped\\n")
            del wrapper
        print("of the worker")
        os.write(own, sink.text().encode())
    """
    file = tmp_path / "output"

    with file.open("w") as output:
        code = PREAMBLE + textwrap.dedent(program)
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True, timeout=60)

    assert file.read_text() == "of the worker\nwrapped\n"


def test_a_signal_handler_may_print_while_the_task_prints() -> None:
    pieces, own_output, _ = run(
        """
        import signal, time
        count = lines = 0
        def handler(*_):
            global count
            count += 1
            print("<%d>" % count)
        signal.signal(signal.SIGALRM, handler)
        with capture_output(sink):
            # A handler that runs before the block, or after it, prints for the worker.
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                print("line")
                os.write(1, b"raw\\n")
                lines += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            # Another thread may have got the last signal: then the handler comes a little later.
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        os.write(own, b"%d %d" % (count, lines))
        """
    )

    text = "".join(text for _, text in pieces)
    ticks, lines = map(int, own_output.split())
    assert ticks > 0
    assert sorted(map(int, re.findall(r"<(\d+)>", text))) == list(range(1, ticks + 1))
    assert (text.count("line"), text.count("raw")) == (lines, lines)


def test_output_of_a_program_that_ended_stays_before_the_next_line_of_the_task() -> None:
    pieces, _, _ = run(
        """
        import time
        is_reading, write = threading.Event(), sink.write
        def write_slowly(stream, data):
            if threading.current_thread().name == "descriptors":
                is_reading.set()
                time.sleep(0.1)
            write(stream, data)
        sink.write = write_slowly
        with capture_output(sink):
            os.system("echo 1 >&2")
            assert is_reading.wait(10)
            print("2")
        """
    )

    assert pieces == [("stderr", "1\n"), ("stdout", "2"), ("stdout", "\n")]


def test_lines_stay_in_order_if_a_handler_prints_at_any_line_of_the_capture() -> None:
    pieces, _, _ = run(
        """
        import itertools
        from tests.worker.output.interrupts import interrupt_each_line
        ticks = itertools.count()
        with capture_output(sink):
            with interrupt_each_line("worker/output", lambda: print(f"<{next(ticks)}>")):
                for number in range(0, 20, 2):
                    os.write(1, b"(%d)" % number)
                    print(f"({number + 1})")
        """
    )

    text = "".join(text for _, text in pieces)
    assert re.findall(r"\((\d+)\)", text) == [str(number) for number in range(20)]
    ticks = list(map(int, re.findall(r"<(\d+)>", text)))
    assert sorted(ticks) == list(range(len(ticks)))
    assert len(ticks) > 100


def test_a_fork_may_print_while_another_thread_writes_to_the_log() -> None:
    pieces, _, _ = run(
        """
        is_writing, may_end, write = threading.Event(), threading.Event(), sink.write
        def write_slowly(stream, data):
            if threading.current_thread().name == "descriptors":
                is_writing.set()
                may_end.wait(10)
            write(stream, data)
        sink.write = write_slowly
        with capture_output(sink):
            os.write(2, b"held\\n")
            assert is_writing.wait(10)
            pid = os.fork()
            if not pid:
                faulthandler.dump_traceback_later(10, exit=True)
                print("of the fork")
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            may_end.set()
            print(f"exit {status}")
        """
    )

    assert "".join(text for _, text in pieces) == "held\nof the fork\nexit 0\n"
