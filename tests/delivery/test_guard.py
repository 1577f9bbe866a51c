"""What the process that sends may not do, whatever a library in it tries."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "code, refused",
    [
        ("import socket; socket.create_connection(('169.254.169.254', 80), 1)", "never allowed"),
        ("import socket; socket.socket(socket.AF_UNIX).connect('/tmp/x')", "own machine"),
        ("import subprocess; subprocess.run(['true'])", "starts a program"),
        ("open(DATA + '/secret-key').read()", "may not be read"),
        ("open('/proc/self/environ').read()", "may not be read"),
        ("import socket; socket.create_connection(('127.0.0.1', 9), 1)", None),
    ],
)
def test_the_process_that_sends_may_not(tmp_path: Path, code: str, refused: str | None) -> None:
    (tmp_path / "secret-key").write_text("key")
    program = (
        "from jobs_app.delivery import guard\n"
        f"DATA, refused = {str(tmp_path)!r}, []\n"
        "hook = guard.make_hook(allows_private=True, closed_folders=[DATA, '/proc'],"
        " refused=refused)\n"
        "guard.install(hook)\n"
        f"try:\n    {code}\nexcept OSError:\n    pass\n"
        "print(refused)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert (refused in done.stdout) if refused else (done.stdout == "[]\n")
