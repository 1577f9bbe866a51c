"""The plugin that compiles a fresh checkout."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_pytest_imports_what_was_compiled(tmp_path: Path) -> None:
    for folder in ("tests", "jobs_app"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs_app" / "module.py").write_text("x = 1\n")
    (tmp_path / "tests" / "conftest.py").touch()
    test = tmp_path / "tests" / "test_one.py"
    test.write_text("def test() -> None:\n    assert 1\n")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in ("PYTEST_XDIST_WORKER", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    options = ["-p", "no:cacheprovider", "-p", "tests.compile_first"]

    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", *options, f"--debug={tmp_path / 'trace'}"),
            *("--rootdir", tmp_path, test),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert " 1 passed" in done.stdout, done.stdout + done.stderr
    assert f"found cached rewritten pyc for {test}" in (tmp_path / "trace").read_text()
    assert list((tmp_path / "jobs_app" / "__pycache__").glob("module.*.pyc"))
