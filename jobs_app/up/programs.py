"""The programs that `jobs-app up` supervises: our own processes and the embedded Valkey."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Protocol

from jobs_app.core import handed_settings, json_log
from jobs_app.core.fork_server import lend, spawn
from jobs_app.core.forked_process import ForkedProcess
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import EmbeddedValkey

LONGEST_LINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class StopSignal:
    """A signal, and how many seconds a program has to end after it."""

    signal: signal.Signals
    seconds: float


class Program(Protocol):
    """A program that can be started and stopped, any number of times."""

    name: str

    def start(self) -> None:
        """Start it; raises JobsError or OSError if that fails."""

    def exit_code(self) -> int | None:
        """Return its exit code (negative: minus the signal), None while it runs."""

    def ask_to_stop(self) -> Sequence[StopSignal]:
        """Return the signals to send, one after the other, before it is killed."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""

    def kill(self) -> None:
        """Kill it and everything it left behind at once."""

    def successor(self) -> "Program":
        """Return a program like it that was not started yet."""


@dataclass(slots=True)
class ChildProcess:
    """One of our processes, in a process group of its own, that ends with *death_pipe*.

    The fork server calls *target* (`module:function`) in it, with *arguments* and three
    descriptors: for its output, for `parent_death.die_with_parent`, and to read *secrets*
    (`handed_settings.receive`), and *more_fds*. If it *forks* processes itself, a connection to
    a fork server follows (`fork_server.use`). *environment* is its whole environment. Its
    output is copied to our standard error, each line with its name before it.
    """

    name: str
    target: str
    arguments: Sequence[str]
    death_pipe: ParentDeathPipe
    stop_signals: Sequence[StopSignal]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    more_fds: Sequence[int] = ()
    forks: bool = False
    process: ForkedProcess | None = field(default=None, init=False)
    _has_group: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start it. It leads a group: Ctrl-C in the terminal reaches only us."""
        output, output_end = os.pipe()
        secrets_end, secrets = os.pipe()
        try:
            with contextlib.ExitStack() as stack:
                server = [stack.enter_context(lend()).fileno()] if self.forks else []
                fds = [output_end, self.death_pipe.read_fd, secrets_end, *self.more_fds, *server]
                self.process = spawn(
                    self.target,
                    *self.arguments,
                    fds=fds,
                    environment=self.environment,
                    title=f"jobs-app {self.name}",
                )
        except BaseException:
            os.close(output)
            os.close(secrets)
            raise
        finally:
            os.close(output_end)
            os.close(secrets_end)
        self._has_group = True
        copied = (self.name, os.fdopen(output, "rb"))
        threading.Thread(target=_copy_output, args=copied, daemon=True).start()
        # A process that has ended already reads nothing.
        with contextlib.suppress(BrokenPipeError):
            handed_settings.send(secrets, self.secrets)

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> Sequence[StopSignal]:
        """Return the signals that it was made with."""
        return self.stop_signals

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process only, which handles its own children."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the whole group, with what a crashed process left behind."""
        # Once only: the kernel may give the number to another group later.
        if self.process is not None and self._has_group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            # In its first moment it does not lead the group yet.
            self.process.kill()
            self.process.wait()
            self._has_group = False

    def successor(self) -> "ChildProcess":
        """Return a process like it that was not started yet."""
        return replace(self)


@dataclass(slots=True)
class ValkeyProgram:
    """The embedded Valkey as a supervised program."""

    server: EmbeddedValkey
    death_pipe: ParentDeathPipe
    name: str = "valkey"

    def start(self) -> None:
        """Start the server and return once it answers."""
        self.server.start(self.death_pipe)

    def exit_code(self) -> int | None:
        """Return the exit code of the server, None while it runs."""
        return None if self.server.process is None else self.server.process.poll()

    def ask_to_stop(self) -> Sequence[StopSignal]:
        """Return TERM: the server completes its append-only file and ends."""
        return [StopSignal(signal.SIGTERM, 5)]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        if self.server.process is not None:
            self.server.process.send_signal(number)

    def kill(self) -> None:
        """Kill the server, as a crash would; its acknowledged writes are in its file."""
        self.server.kill()

    def successor(self) -> "ValkeyProgram":
        """Return a program with the same server, which runs once."""
        return replace(self)


_output_lock = threading.Lock()
_are_lines_json = False


def announce_as_json() -> None:
    """Make each line a JSON object from now on: JOBS_LOG_FORMAT=json."""
    global _are_lines_json
    _are_lines_json = True


def announces_json() -> bool:
    """Tell whether each line is a JSON object."""
    return _are_lines_json


def announce(text: str, *, name: str = "up") -> None:
    """Print a line to standard error, with the name of its source before it or in its JSON.

    If standard error is closed, the line is lost and nothing else happens: a closed
    terminal must not stop the programs.
    """
    with _output_lock, contextlib.suppress(OSError, ValueError):
        sys.stderr.write(_line(name, text))
        sys.stderr.flush()


def _line(name: str, text: str) -> str:
    if not _are_lines_json:
        return f"{name:<9} | {text}\n"
    # What a process prints past its log becomes a line of its log.
    return f"{text if json_log.is_line(text) else json_log.line(name, 'INFO', text)}\n"


def _copy_output(name: str, output: IO[bytes]) -> None:
    """Copy the output of a program to our standard error until it ends."""
    with output:
        for line in _lines(output):
            if text := line.decode(errors="replace").rstrip():
                announce(text, name=name)


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    while line := output.readline(LONGEST_LINE_BYTES):
        yield line
