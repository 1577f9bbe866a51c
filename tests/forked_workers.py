"""A pytest plugin that forks the workers of pytest-xdist from a process with all tests imported.

Each worker would import the product and all tests itself, which is most of its start.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NoReturn

import pytest
from _pytest.pathlib import ImportMode, import_path
from execnet import XSpec, gateway_io
from execnet.gateway_base import ExecModel, Popen2IO


@dataclass(frozen=True)
class ForkedWorker:
    """A process that waits for execnet's first line, with our ends of its pipes."""

    pid: int
    stdin: FileIO
    stdout: FileIO


class ForkedWorkerIO(Popen2IO):
    """What execnet does with the process of a worker."""

    def __init__(self, worker: ForkedWorker, execmodel: ExecModel) -> None:
        super().__init__(worker.stdin, worker.stdout, execmodel)
        self._pid = worker.pid
        self._lock = threading.Lock()
        self._code: int | None = None

    def wait(self) -> int:
        """Return how the process ended, once it has."""
        with self._lock:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            return self._code

    def kill(self) -> None:
        """End the process at once; until it is waited for, its id is no other's."""
        if self._code is None:
            os.kill(self._pid, 9)


def pytest_xdist_setupnodes(config: pytest.Config, specs: list[XSpec]) -> None:
    """Fork a worker for each of *specs*, before execnet has threads.

    One that takes the place of another is started as usual, and so are all if some module
    cannot be imported: a worker tells why.
    """
    if sys.platform != "linux" or config.getoption("--nightly", default=False):
        return
    if not _import_tests(config) or threading.active_count() > 1:
        return
    gc.collect()
    gc.freeze()
    workers = list[ForkedWorker]()
    for _ in specs:
        workers.append(_fork(workers))
    start_anew = gateway_io.create_io

    def create_io(spec: XSpec, execmodel: ExecModel) -> Popen2IO:
        return ForkedWorkerIO(workers.pop(), execmodel) if workers else start_anew(spec, execmodel)

    gateway_io.create_io = create_io  # type: ignore[assignment]  # of the class, no more is used


def _import_tests(config: pytest.Config) -> bool:
    """Import all modules of tests as a worker does, and return whether that was possible."""
    places = [config.rootpath / argument for argument in config.args]
    files = [file for place in places for file in sorted(place.rglob("test_*.py"))]
    gc.disable()
    try:
        for file in files:
            _import(file, config)
    except Exception:  # noqa: BLE001 - a module of tests may raise anything
        return False
    finally:
        gc.enable()
    return bool(files)


def _import(file: Path, config: pytest.Config) -> None:
    import_path(
        file, mode=ImportMode.importlib, root=config.rootpath, consider_namespace_packages=False
    )


def _fork(others: Iterable[ForkedWorker]) -> ForkedWorker:
    """Fork a worker; *others* have been forked before."""
    its_stdin, stdin = os.pipe()
    stdout, its_stdout = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        # A worker ends when its input does, so nobody else may keep that open.
        for worker in others:
            worker.stdin.close()
            worker.stdout.close()
        os.close(stdin)
        os.close(stdout)
        _serve(its_stdin, its_stdout)
    os.close(its_stdin)
    os.close(its_stdout)
    return ForkedWorker(pid, FileIO(stdin, "w"), FileIO(stdout, "r"))


def _serve(stdin: int, stdout: int) -> NoReturn:
    """Be the Python that execnet starts: read one line from *stdin* and run it."""
    try:
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        os.close(stdout)
        sys.argv = ["-c"]
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as it lives
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - the same
        # It is execnet's own protocol, spoken through a pipe that nobody else has.
        exec(eval(sys.stdin.readline()), {})  # noqa: S102, S307
        atexit._run_exitfuncs()
    finally:
        # Never as a second copy of the process that all this was forked from.
        os._exit(0)
