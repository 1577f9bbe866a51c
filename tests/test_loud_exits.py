"""A process of the tests that ends itself says where."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

CODE = """
import os
from tests.loud_exits import LoudExits

exits = LoudExits()
if os.fork() == 0:
    os._exit(0)
os.wait()
os.write(2, b"the child was quiet")

def leave():
    os._exit(3)

leave()
"""


def test_a_process_that_ends_itself_says_where_a_forked_one_does_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.startswith("the child was quiet\nos._exit(3) ends the tests")
    assert "in leave" in done.stderr
