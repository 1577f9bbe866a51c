"""Keeps a handful of processes running, and stops them in order.

Programs start in the order in which they are given and stop all together, except
for those that the others need to the end. One that ends by itself is started
again, after a pause that grows while it keeps ending. All of it happens in the
main thread, between two signals; only the output of the programs is passed on
by threads.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, Protocol

from jobs_app.core.errors import JobsError
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import EmbeddedValkey

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# Having run for so long, a program counts as healthy: its next pause is the first again.
HEALTHY_SECONDS = 60.0
# Wrappers pass on a Ctrl-C that the terminal has sent to us as well: that is one wish.
SIGNAL_DEBOUNCE_SECONDS = 0.5
STOP_REQUESTS_TO_EXIT_AT_ONCE = 3
LONGEST_LINE_BYTES = 65_536

Handler = Callable[[int, FrameType | None], object]


class Program(Protocol):
    """Something that can be started and stopped, any number of times."""

    name: str

    def start(self) -> None:
        """Start it; raises JobsError or OSError if that fails."""

    def exit_code(self) -> int | None:
        """Return how it ended (negative: by that signal), None while it runs."""

    def ask_to_stop(self) -> "Sequence[StopSignal]":
        """Return what to send it, one demand after the other, before it is killed."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""

    def kill(self) -> None:
        """End it and everything it left behind at once."""


@dataclass(frozen=True, slots=True)
class StopSignal:
    """A signal, and how many seconds a program has to end after it."""

    signal: signal.Signals
    seconds: float


@dataclass(slots=True)
class ChildProcess:
    """A program of ours, in a process group of its own, that ends with *death_pipe*.

    Its command must call `parent_death.die_with_parent`. What it prints is passed on
    to our standard error, each line with its name before it.
    """

    name: str
    command: Sequence[str]
    death_pipe: ParentDeathPipe
    stop_signals: Sequence[StopSignal]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _has_group: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start the command."""
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment, **self.death_pipe.environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[self.death_pipe.read_fd],
            # Ctrl-C in the terminal is for us alone; and the group can be killed as one.
            start_new_session=True,
        )
        self._has_group = True
        output = self.process.stdout
        threading.Thread(target=_pass_on, args=(self.name, output), daemon=True).start()

    def exit_code(self) -> int | None:
        """Return how the command ended, None while it runs."""
        return None if self.process is None else self.process.poll()

    def ask_to_stop(self) -> Sequence[StopSignal]:
        """Return the stop_signals it was made with."""
        return self.stop_signals

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command itself; it knows best what to do with its own children."""
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the whole group; what it leaves behind when it crashes is part of it."""
        # Once only: later the number may belong to a group of somebody else.
        if self.process is not None and self._has_group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._has_group = False


@dataclass(slots=True)
class ValkeyProgram:
    """The embedded Valkey as something that is supervised."""

    server: EmbeddedValkey
    death_pipe: ParentDeathPipe
    name: str = "valkey"

    def start(self) -> None:
        """Start the server and return once it answers."""
        self.server.start(self.death_pipe)

    def exit_code(self) -> int | None:
        """Return how the server ended, None while it runs."""
        return None if self.server.process is None else self.server.process.poll()

    def ask_to_stop(self) -> Sequence[StopSignal]:
        """Return TERM: the server writes its file to the end and leaves."""
        return [StopSignal(signal.SIGTERM, 5)]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        if self.server.process is not None:
            self.server.process.send_signal(number)

    def kill(self) -> None:
        """End the server as a crash would; what it has answered is in its file."""
        self.server.kill()


class Signals:
    """What people and children tell this process while it waits.

    `stop_requests` counts how often we were asked to end: once means in order, twice
    at once. The third time we end on the spot, whatever we are busy with, and
    our children through the parent-death pipe.
    """

    def __init__(self) -> None:
        self.stop_requests = 0
        self._last_wish_at = float("-inf")
        self._woken, self._waking = socket.socketpair()

    def __enter__(self) -> "Signals":
        for end in (self._woken, self._waking):
            end.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        handlers: dict[int, Handler] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._note)
        # The terminal was closed: a wish as well, unless nohup says that it is none.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            handlers[signal.SIGHUP] = self._note
        # A child's end wakes us only if somebody handles the signal.
        handlers[signal.SIGCHLD] = lambda _number, _frame: None
        self._old_handlers = {n: signal.signal(n, handler) for n, handler in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._woken.close()
        self._waking.close()

    def wait(self, seconds: float | None) -> None:
        """Return after the next signal, or after *seconds* (None: however long it takes)."""
        select.select([self._woken], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(512):
                pass

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_wish_at > SIGNAL_DEBOUNCE_SECONDS:
            self.stop_requests += 1
        self._last_wish_at = now
        if self.stop_requests >= STOP_REQUESTS_TO_EXIT_AT_ONCE:
            os._exit(128 + signal.SIGINT)


@dataclass(slots=True)
class _Care:
    """How a program has been doing, in seconds of the monotonic clock."""

    program: Program
    is_needed_to_the_end: bool
    started_at: float = 0.0
    start_again_at: float | None = None
    pause_seconds: float = field(default_factory=lambda: FIRST_PAUSE_SECONDS)


@dataclass(slots=True)
class _Ending:
    """A program that is being stopped: what is still to be sent to it, and when."""

    program: Program
    stop_signals: "list[StopSignal]"
    sent: int = 0
    next_at: float = float("-inf")


class Supervisor:
    """Keeps programs running and tells a person, by `announce`, what becomes of them."""

    def __init__(self, signals: Signals) -> None:
        self._cares: list[_Care] = []
        self._signals = signals

    def start(self, program: Program, *, is_needed_to_the_end: bool = False) -> None:
        """Start *program* and look after it; raises JobsError or OSError if that fails.

        One that *is_needed_to_the_end* is stopped when all others have ended.
        """
        program.start()
        self._cares.append(_Care(program, is_needed_to_the_end, started_at=time.monotonic()))

    def look_after(self, *, longest_seconds: float | None = None) -> None:
        """Wait for a signal, or until something is due, and start what has ended again.

        Returns after *longest_seconds* at the latest (None: whenever that is).
        """
        now = time.monotonic()
        waits = [c.start_again_at - now for c in self._cares if c.start_again_at is not None]
        if longest_seconds is not None:
            waits.append(longest_seconds)
        self._signals.wait(max(0.0, min(waits)) if waits else None)
        if self._signals.stop_requests == 0:
            for care in self._cares:
                self._look_at(care)

    def run(self) -> None:
        """Look after the programs until somebody wants us to end."""
        while self._signals.stop_requests == 0:
            self.look_after()

    def stop(self) -> None:
        """Stop all programs; a second wish kills them at once.

        All together: none of them uses up the time that another one was promised.
        """
        stop_requests = max(1, self._signals.stop_requests)
        for is_needed in (False, True):
            self._stop_together(
                [c.program for c in self._cares if c.is_needed_to_the_end is is_needed],
                stop_requests,
            )

    def _stop_together(self, programs: Sequence[Program], stop_requests: int) -> None:
        endings = [_Ending(program, list(program.ask_to_stop())) for program in programs]
        while endings := [
            each for each in endings if not self._has_come_to_its_end(each, stop_requests)
        ]:
            left = min(each.next_at for each in endings) - time.monotonic()
            # Shorter than need be: a child's signal may have come just before this wait.
            self._signals.wait(max(0.0, min(left, 0.1)))

    def _has_come_to_its_end(self, ending: _Ending, stop_requests: int) -> bool:
        """Send what is to be sent next, if it is time; return whether the program is gone."""
        program, now = ending.program, time.monotonic()
        has_ended, is_dropped = (
            program.exit_code() is not None,
            self._signals.stop_requests > stop_requests,
        )
        if not has_ended and not is_dropped and now < ending.next_at:
            return False
        if has_ended or is_dropped or ending.sent == len(ending.stop_signals):
            if not has_ended:
                announce(f"{program.name} did not stop in time: killed")
            program.kill()
            return True
        if ending.sent == 1:
            announce(f"{program.name} is still busy: what it does is ended now")
        demand = ending.stop_signals[ending.sent]
        program.send(demand.signal)
        ending.sent, ending.next_at = ending.sent + 1, now + demand.seconds
        return False

    def _look_at(self, care: _Care) -> None:
        now = time.monotonic()
        if care.start_again_at is None:
            code = care.program.exit_code()
            if code is not None:
                care.program.kill()
                self._start_later(care, _how_it_ended(code), now)
        elif care.start_again_at <= now:
            try:
                care.program.start()
            except (JobsError, OSError) as error:
                self._start_later(care, f"did not start: {error}", now)
            else:
                care.started_at, care.start_again_at = time.monotonic(), None

    def _start_later(self, care: _Care, what: str, now: float) -> None:
        if now - care.started_at > HEALTHY_SECONDS:
            care.pause_seconds = FIRST_PAUSE_SECONDS
        announce(f"{care.program.name} {what}; starting it again in {care.pause_seconds:g} s")
        care.start_again_at = now + care.pause_seconds
        care.pause_seconds = min(care.pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


_output = threading.Lock()


def announce(text: str, *, name: str = "up") -> None:
    """Print a line to standard error, with who says it before it.

    Where nobody reads that any more, the line is lost and nothing else: a closed
    terminal must not stop the programs.
    """
    with _output, contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{name:<9} | {text}\n")
        sys.stderr.flush()


def _pass_on(name: str, output: IO[bytes]) -> None:
    """Copy what a program prints to our standard error until it ends."""
    with output:
        for line in _lines(output):
            if text := line.decode(errors="replace").rstrip():
                announce(text, name=name)


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    while line := output.readline(LONGEST_LINE_BYTES):
        yield line
