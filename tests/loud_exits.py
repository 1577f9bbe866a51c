"""Says where a process of the tests ends itself by os._exit(), which tells nobody anything."""

import faulthandler
import os
from typing import NoReturn

import pytest


class LoudExits:
    """Prints the stack of each thread first. Forked processes are left as they are.

    A process of pytest-xdist that ends so is just "not properly terminated", whether it was
    pytest-timeout that ended it or what a test has called.
    """

    def __init__(self) -> None:
        self._exit = os._exit
        self._pid = os.getpid()
        # Under a test the descriptor 2 is a file of pytest's.
        self._stderr = os.dup(2)
        os._exit = self._say_and_exit

    def _say_and_exit(self, status: int) -> NoReturn:
        if os.getpid() == self._pid:
            os.write(self._stderr, b"\nos._exit(%d) ends the tests of this process:\n" % status)
            faulthandler.dump_traceback(self._stderr)
        self._exit(status)

    @pytest.hookimpl
    def pytest_unconfigure(self) -> None:
        """Leave the end of the process itself alone."""
        os._exit = self._exit
        os.close(self._stderr)
