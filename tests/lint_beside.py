"""A pytest plugin that has the style, types and imports checked beside the tests.

Where nothing is cached, that takes half a minute of a processor that the tests do not use.
"""

import os
import signal
import subprocess
from tempfile import TemporaryFile
from typing import BinaryIO

import pytest

#: Below the tests, some of which measure time.
COMMAND = ("nice", "-n", "10", "./run", "lint")


def pytest_configure(config: pytest.Config) -> None:
    # The workers of pytest-xdist get the plugins of the process that started them.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(LintBeside(config.rootpath), "lint-beside-session")


class LintBeside:
    """The checks of one test run: they begin with it, and it fails if they do."""

    def __init__(self, root: "os.PathLike[str]") -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._output: BinaryIO | None = None

    def pytest_sessionstart(self) -> None:
        # Closed in the summary: what is in it is shown there.
        self._output = TemporaryFile()  # noqa: SIM115 - it outlives this function
        self._process = subprocess.Popen(
            COMMAND,
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._process is None:
            return
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            os.killpg(self._process.pid, signal.SIGTERM)
        if self._process.wait() != 0 and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._output is None or self._process is None:
            return
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")
        self._output.close()
        is_good = self._process.returncode == 0
        terminalreporter.section("style, types and imports", green=is_good, red=not is_good)
        terminalreporter.write(text)
