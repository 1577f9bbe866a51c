"""A pytest plugin that compiles a fresh checkout before pytest-xdist starts its workers.

Each worker would compile all files itself, at the same time as the others.
"""

import compileall
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.assertion.rewrite import (
    PYC_TAIL,
    _rewrite_test,
    _write_pyc,
    assertstate_key,
    get_cache_dir,
    try_makedirs,
)


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compile_all(config, config.rootpath)


def compile_all(config: pytest.Config, root: Path) -> None:
    """Compile the product and its tests, unless some test is compiled already."""
    # The files conftest.py are compiled already: pytest has imported them.
    if next((root / "tests").rglob(f"test_*{PYC_TAIL}"), None) is not None:
        return
    files = sorted(file for name in ("jobs_app", "tests") for file in (root / name).rglob("*.py"))
    processes = os.cpu_count() or 1
    children = [_fork(config, files[first::processes]) for first in range(processes)]
    for pid in children:
        os.waitpid(pid, 0)


def _fork(config: pytest.Config, files: Sequence[Path]) -> int:
    """Compile *files* in a child process, whose id is returned."""
    pid = os.fork()
    if pid == 0:
        try:
            for file in files:
                _compile(config, file)
        finally:
            # Never as a second copy of the tests. The run itself tells what cannot be compiled.
            os._exit(0)
    return pid


def _compile(config: pytest.Config, file: Path) -> None:
    """Compile *file*; a file of tests as pytest does when it imports it, with other asserts."""
    if not file.name.startswith(("test_", "conftest.")):
        compileall.compile_file(file, quiet=2)
        return
    source_hash, code = _rewrite_test(file, config)
    cache = get_cache_dir(file)
    if try_makedirs(cache):
        pyc = cache / f"{file.stem}{PYC_TAIL}"
        _write_pyc(config.stash[assertstate_key], code, source_hash, pyc)
