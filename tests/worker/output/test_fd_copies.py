"""Descriptors that a module copied from 1 and 2 at its import lead to the log of each run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import fcntl, gc, json, logging, os, subprocess, sys
own = os.open(sys.argv[1], os.O_WRONLY)
early = {early}
from jobs_app.worker.output.capture import capture_descriptors, capture_output

class Sink:
    def __init__(self): self.pieces = []
    def write(self, stream, data): self.pieces.append((stream, data.decode()))

gc.freeze()
capture_descriptors()
logs = [Sink(), Sink()]
"""
ENDING = "\nos.write(own, json.dumps([log.pieces for log in logs]).encode())\n"


def run(tmp_path: Path, early: str, program: str, *, joined: bool = False):
    """Run *program* with a file that it made early; return the logs of two runs, and its output."""
    result = tmp_path / "logs"
    result.touch()
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE.format(early=early) + program + ENDING, str(result)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if joined else subprocess.PIPE,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    logs = json.loads(result.read_text())
    return [[tuple(piece) for piece in log] for log in logs], done.stdout, done.stderr


TWO_RUNS = """
for number, log in enumerate(logs):
    with capture_output(log):
        early.write(f"run {number}\\n")
    early.write(f"between {number}\\n")
early.flush()
"""


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    "early, stream",
    [
        ("open('/dev/stderr', 'w')", "stderr"),
        ("open('/dev/stdout', 'w', buffering=1)", "stdout"),
        ("open('/proc/self/fd/1', 'w')", "stdout"),
        ("os.fdopen(os.dup(2), 'w')", "stderr"),
        ("os.fdopen(os.open('/dev/fd/2', os.O_WRONLY), 'w', buffering=1)", "stderr"),
        ("os.fdopen(fcntl.fcntl(2, fcntl.F_DUPFD, 200), 'w')", "stderr"),
    ],
)
def test_each_run_has_its_own_lines(tmp_path: Path, early: str, stream: str, joined: bool) -> None:
    logs, out, err = run(tmp_path, early, TWO_RUNS, joined=joined)

    assert logs == [[(stream, "run 0\n")], [(stream, "run 1\n")]]
    worker_output = out if joined or stream == "stdout" else err
    assert worker_output == "between 0\nbetween 1\n"


def test_a_handler_on_such_a_file_is_heard(tmp_path: Path) -> None:
    logs, out, err = run(
        tmp_path,
        "logging.StreamHandler(open('/dev/stderr', 'w'))",
        """
log = logging.getLogger("mine")
log.propagate = False
log.addHandler(early)
with capture_output(logs[0]):
    log.warning("heard")
    subprocess.run(["/bin/sh", "-c", "echo a program >&2"], stderr=early.stream)
""",
    )

    assert "".join(text for _, text in logs[0]) == "heard\na program\n"
    assert (out, err) == ("", "")


def test_a_file_that_took_the_number_is_left_alone(tmp_path: Path) -> None:
    logs, out, err = run(
        tmp_path,
        "os.dup(1)",
        f"""
with capture_output(logs[0]):
    os.close(early)
    assert os.open({str(tmp_path / "other")!r}, os.O_WRONLY | os.O_CREAT) == early
with capture_output(logs[1]):
    os.write(early, b"to the file")
os.write(early, b", all of it")
""",
    )

    assert (tmp_path / "other").read_text() == "to the file, all of it"
    assert (logs, out, err) == ([[], []], "", "")


def test_a_file_on_the_null_device_stays_silent(tmp_path: Path) -> None:
    program = """
with capture_output(logs[0]):
    early.write("nothing")
    early.flush()
"""
    # Standard output of the worker is the null device, too.
    early = "os.dup2(os.open(os.devnull, os.O_WRONLY), 1) and open(os.devnull, 'w')"

    logs, _, _ = run(tmp_path, early, program)

    assert logs == [[], []]
