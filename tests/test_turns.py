"""In which turns the processes of pytest-xdist get their tests."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

PLUGIN = """
from tests.turns import Turns

def pytest_xdist_make_scheduler(config):
    return Turns(config, lambda nodeid: "group" if "group" in nodeid else None)
"""
TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(20))
def test_one(number):
    if number in {7, 8, 19}:
        os._exit(1)

@pytest.mark.parametrize("number", range(6))
def test_group(number):
    if number == 2:
        os._exit(1)
"""


def test_a_test_that_ends_its_process_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_some.py").write_text(TESTS)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    options = ["-p", "xdist.plugin", "-p", "no:cacheprovider", "-n2", "--dist", "loadscope"]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--no-loadscope-reorder", "--rootdir", tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert " 4 failed, 22 passed in " in done.stdout, done.stdout + done.stderr
    assert not done.stderr
