"""The plugin that forks the workers of pytest-xdist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TESTS = """
import atexit
import os
import sys
from pathlib import Path

import pytest

IMPORTED_BY = os.getpid()
FOLDER = Path(__file__).parent


@pytest.mark.parametrize("number", range(4))
def test_one(number):
    (FOLDER / f"forked-{number}").write_text(str(IMPORTED_BY != os.getpid()))
    assert os.environ["PYTEST_XDIST_WORKER"]
    assert len(sys.argv) == 1
    atexit.register((FOLDER / f"ended-{number}").touch)


def test_ends_its_process():
    os._exit(1)
"""


def run_pytest(folder: Path, *files: str) -> str:
    """Run pytest with the plugin and two workers on *files*; return what it prints."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    # Only the plugins that are named: others take longer to import than all of this.
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    options = ["-p", "xdist.plugin", "-p", "tests.forked_workers", "-p", "no:cacheprovider"]
    options += ["--import-mode=importlib", "-n2", "--rootdir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
def test_workers_get_their_tests_from_the_process_they_are_forked_from(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)

    output = run_pytest(tmp_path, ".", "-k", "test_one")

    assert " 4 passed in " in output, output
    assert {(tmp_path / f"forked-{n}").read_text() for n in range(4)} == {"True"}
    assert len(list(tmp_path.glob("ended-*"))) == 4


def test_a_worker_that_ends_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)

    assert " 1 failed, 4 passed in " in run_pytest(tmp_path, ".")


def test_a_module_that_cannot_be_imported_fails(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): pass\n")
    (tmp_path / "test_two.py").write_text("import nowhere\n")

    output = run_pytest(tmp_path, ".", "--continue-on-collection-errors")

    assert "No module named 'nowhere'" in output
    assert " 1 passed, 1 error in " in output
