"""All that a process writes to descriptors 1 and 2 during a run is in its log, in order."""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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


# On a crowded machine, two of 146 lines were missing once; why is not known yet.
@pytest.mark.nightly
def test_a_signal_handler_may_print_while_the_task_prints() -> None:
    pieces, _, _ = run(
        """
        import signal, time
        count = 0
        def handler(*_):
            global count
            count += 1
            print("tick")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        with capture_output(sink):
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                print("line")
                os.write(1, b"raw\\n")
            signal.setitimer(signal.ITIMER_REAL, 0)
            print("ticks", count)
        """
    )

    text = "".join(text for _, text in pieces)
    # What went to the descriptor may come after the last line, or right behind the number.
    count = re.search(r"ticks (\d+)", text)
    assert count
    assert text.count("tick") == int(count[1]) + 1
