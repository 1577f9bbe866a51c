"""The plugin that has the style checked while the tests run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_pytest(
    folder: Path, *, test: str, lint: str, processes: int = 2
) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin, one test and a `./run lint` with these bodies."""
    (folder / "test_one.py").write_text(f"def test_one():\n    {test}\n")
    (folder / "run").write_text(f'#!/bin/sh\n[ "$*" = lint ] || exit 9\n{lint}\n')
    (folder / "run").chmod(0o755)
    options = ["-p", "no:cacheprovider", "-p", "xdist.plugin", "-p", "tests.lint_beside"]
    # As for a person who starts it, though a worker of pytest-xdist runs this very test.
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST_")}
    # Only the plugins that are named: others take longer to import than all of this.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"-n{processes}", "--rootdir", folder, folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "test, lint, code, result",
    [
        ("pass", "echo all is well", 0, "1 passed"),
        ("pass", "echo a line is too long; exit 1", 1, "1 passed"),
        ("assert False", "echo all is well", 1, "1 failed"),
    ],
    ids=["both pass", "the style fails", "a test fails"],
)
def test_either_failure_fails_the_run_and_both_outputs_are_shown(
    tmp_path: Path, test: str, lint: str, code: int, result: str
) -> None:
    done = run_pytest(tmp_path, test=test, lint=lint)

    assert done.returncode == code, done.stdout + done.stderr
    assert f" {result} in " in done.stdout
    assert lint.removeprefix("echo ").partition(";")[0] in done.stdout
    assert done.stdout.count("style, types and imports") == 1


def test_an_interrupted_run_does_not_wait_for_the_style(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, test="raise KeyboardInterrupt", lint="exec sleep 100", processes=0)

    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "style, types and imports" in done.stdout
