"""The plugin that turns skips into failures."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

def test_needs_a_part():
    pytest.skip("the part is missing")

@pytest.mark.skip(reason="never")
def test_marked():
    pass

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""


def test_with_the_plugin_every_skip_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "test_skips.py"
    file.write_text(TESTS)

    options = ["-p", "no:valkey", "-p", "no:cacheprovider", "-p", "tests.no_skips"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", tmp_path, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    # What is skipped by a mark never begins, so pytest calls its failure an error.
    assert " 1 failed, 1 xfailed, 1 error in " in done.stdout
    assert "was skipped where nothing may be: Skipped: the part is missing" in done.stdout
