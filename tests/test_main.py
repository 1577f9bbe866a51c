"""The processes that `jobs-app up` starts have streams of their own, whatever those of `up` are."""

import subprocess
import sys
from pathlib import Path

#: Runs a process of `up` with a module of the user in place of its command.
PROGRAM = """
import io, os, sys
import jobs_app.cli
from jobs_app import __main__ as program

reading, writing = os.pipe()
secrets, secrets_end = os.pipe()
os.write(secrets_end, b"{}")
os.close(secrets_end)

def command_line():
    for stream in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
        wrapper = io.TextIOWrapper(stream.buffer)
        print(stream.name, stream.seekable(), file=wrapper)
        wrapper.detach()
    print(sys.stdout.encoding, sys.stderr.errors)
    os._exit(0)

jobs_app.cli.main = command_line
if os.fork() == 0:
    program.run_process("web", writing, 0, secrets)
os.close(writing)
with os.fdopen(reading) as pipe, open(sys.argv[1], "w") as lines:
    lines.write(pipe.read())
"""


def test_the_output_is_a_pipe_also_if_that_of_up_is_a_file(tmp_path: Path) -> None:
    lines_file = tmp_path / "lines"
    with (tmp_path / "up.log").open("w") as log:
        command = [sys.executable, "-c", PROGRAM, str(lines_file)]
        subprocess.run(command, stdout=log, stderr=log, check=True, timeout=20)

    names = ["<stdout>", "<stdout>", "<stderr>", "<stderr>"]
    expected = [*(f"{name} False" for name in names), "utf-8 backslashreplace"]
    assert lines_file.read_text().splitlines() == expected
