"""A process that the fork server has forked, as its client sees it."""

import contextlib
import os
import select
import signal
import subprocess


class ForkedProcess:
    """A process that the server has forked, with what we use of `subprocess.Popen`."""

    def __init__(self, status_fd: int) -> None:
        self._status = os.fdopen(status_fd, "rb", buffering=0)
        line = self._status.readline()
        if not line:
            self._status.close()
            raise OSError("no process could be forked: the system is short of processes or files")
        self.pid = int(line)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: minus the signal), None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code at its end; raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it (SIGKILL), unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipe to the server; a process that still runs goes on."""
        self._status.close()

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                # Empty: the server was killed. It takes its processes for dead.
                self.returncode = int(self._status.readline() or -signal.SIGKILL)
                self._status.close()
        return self.returncode
