"""Keeps a few programs running, and stops them in order.

Programs start in the order in which they are added. They stop together, except
those that the others need until they have ended. A program that ends by itself
is started again, after a pause that grows while it keeps ending. All of this
happens in the main thread, between two signals; threads only copy the output of
the programs.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from jobs_app.core.errors import JobsError
from jobs_app.up.programs import Program, StopSignal, announce

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A program that ran this long counts as healthy: its next pause is the first one again.
HEALTHY_SECONDS = 60.0
# A wrapper may pass on a Ctrl-C that the terminal sent to us too: both count as one.
SIGNAL_DEBOUNCE_SECONDS = 0.5
STOP_REQUESTS_TO_EXIT_AT_ONCE = 3

Handler = Callable[[int, FrameType | None], object]


class Signals:
    """The signals that this process receives while it waits.

    `stop_requests` counts how often we were asked to stop: once means in order,
    twice at once. The third time we exit on the spot, and the parent-death pipe
    ends our children.
    """

    def __init__(self) -> None:
        self.stop_requests = 0
        self._last_request_at = float("-inf")
        self._wakeup_reader, self._wakeup_writer = socket.socketpair()

    def __enter__(self) -> "Signals":
        for end in (self._wakeup_reader, self._wakeup_writer):
            end.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)
        handlers: dict[int, Handler] = dict.fromkeys((signal.SIGINT, signal.SIGTERM), self._note)
        # SIGHUP: the terminal was closed. That is a stop request, unless nohup ignores it.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            handlers[signal.SIGHUP] = self._note
        # A child's end wakes us only if SIGCHLD has a handler.
        handlers[signal.SIGCHLD] = lambda _number, _frame: None
        self._old_handlers = {n: signal.signal(n, handler) for n, handler in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._wakeup_reader.close()
        self._wakeup_writer.close()

    def wait(self, seconds: float | None) -> None:
        """Return after the next signal, or after *seconds* (None: no limit)."""
        select.select([self._wakeup_reader], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            while self._wakeup_reader.recv(512):
                pass

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last_request_at > SIGNAL_DEBOUNCE_SECONDS:
            self.stop_requests += 1
        self._last_request_at = now
        if self.stop_requests >= STOP_REQUESTS_TO_EXIT_AT_ONCE:
            os._exit(128 + signal.SIGINT)


@dataclass(slots=True)
class _ProgramState:
    """A program and its restarts; instants are seconds of the monotonic clock."""

    program: Program
    stops_last: bool
    started_at: float = 0.0
    start_again_at: float | None = None
    pause_seconds: float = field(default_factory=lambda: FIRST_PAUSE_SECONDS)


@dataclass(slots=True)
class _Stop:
    """A program that is being stopped: the signals for it, and when the next one is due."""

    program: Program
    signals: list[StopSignal]
    sent: int = 0
    next_at: float = float("-inf")


class Supervisor:
    """Keeps programs running and reports on them with `announce`."""

    def __init__(self, signals: Signals) -> None:
        self._states: list[_ProgramState] = []
        # Programs that were replaced and still end what they do.
        self._leaving: list[Program] = []
        self._signals = signals

    def start(self, program: Program, *, stops_last: bool = False) -> None:
        """Start *program* and keep it running; raises JobsError or OSError if that fails.

        With *stops_last* it is stopped when all others have ended.
        """
        program.start()
        self._states.append(_ProgramState(program, stops_last, started_at=time.monotonic()))

    def look_after(self, *, longest_seconds: float | None = None) -> None:
        """Wait for a signal or the next restart, and restart programs that have ended.

        Returns after *longest_seconds* at the latest (None: no limit).
        """
        now = time.monotonic()
        waits = [
            state.start_again_at - now for state in self._states if state.start_again_at is not None
        ]
        if longest_seconds is not None:
            waits.append(longest_seconds)
        self._signals.wait(max(0.0, min(waits)) if waits else None)
        if self._signals.stop_requests == 0:
            for state in self._states:
                self._restart_if_ended(state)
            self._leaving = [program for program in self._leaving if not _has_left(program)]

    def run(self) -> None:
        """Keep the programs running until a stop is requested."""
        while self._signals.stop_requests == 0:
            self.look_after()

    def replace(self, name: str) -> None:
        """Start a successor of the program *name* beside it, and ask the program to end.

        It has all the time that it needs: it ends what it does.
        """
        state = self._state(name)
        old = state.program
        state.program = old.successor()
        self._start_now(state)
        if old.exit_code() is None:
            old.send(old.ask_to_stop()[0].signal)
            self._leaving.append(old)

    def restart(self, name: str) -> None:
        """Stop the program *name*, as `stop` does, and start it again."""
        state = self._state(name)
        requests = self._signals.stop_requests
        self._stop_together([state.program], requests)
        if self._signals.stop_requests == requests:
            self._start_now(state)

    def _state(self, name: str) -> _ProgramState:
        return next(state for state in self._states if state.program.name == name)

    def stop(self) -> None:
        """Stop all programs; another stop request kills them at once.

        They stop together, so none uses up the time of another.
        """
        requests = max(1, self._signals.stop_requests)
        for stops_last in (False, True):
            programs = [state.program for state in self._states if state.stops_last is stops_last]
            self._stop_together(programs + self._leaving, requests)
            self._leaving.clear()

    def _stop_together(self, programs: Sequence[Program], requests: int) -> None:
        stops = [_Stop(program, list(program.ask_to_stop())) for program in programs]
        while stops := [stop for stop in stops if not self._has_stopped(stop, requests)]:
            left = min(stop.next_at for stop in stops) - time.monotonic()
            # At most 0.1 s: a SIGCHLD may have come just before this wait.
            self._signals.wait(max(0.0, min(left, 0.1)))

    def _has_stopped(self, stop: _Stop, requests: int) -> bool:
        """Send the next signal if it is due; return whether the program is gone."""
        program, now = stop.program, time.monotonic()
        has_ended = program.exit_code() is not None
        is_hurried = self._signals.stop_requests > requests
        if not has_ended and not is_hurried and now < stop.next_at:
            return False
        if has_ended or is_hurried or stop.sent == len(stop.signals):
            if not has_ended:
                announce(f"{program.name} did not stop in time: killed")
            program.kill()
            return True
        if stop.sent == 1:
            announce(f"{program.name} is still busy: what it does is ended now")
        next_signal = stop.signals[stop.sent]
        program.send(next_signal.signal)
        stop.sent, stop.next_at = stop.sent + 1, now + next_signal.seconds
        return False

    def _restart_if_ended(self, state: _ProgramState) -> None:
        now = time.monotonic()
        if state.start_again_at is None:
            code = state.program.exit_code()
            if code is not None:
                state.program.kill()
                self._restart_later(state, _ending(code), now)
        elif state.start_again_at <= now:
            self._start_now(state)

    def _start_now(self, state: _ProgramState) -> None:
        try:
            state.program.start()
        except (JobsError, OSError) as error:
            self._restart_later(state, f"did not start: {error}", time.monotonic())
        else:
            state.started_at, state.start_again_at = time.monotonic(), None

    def _restart_later(self, state: _ProgramState, event: str, now: float) -> None:
        if now - state.started_at > HEALTHY_SECONDS:
            state.pause_seconds = FIRST_PAUSE_SECONDS
        pause = state.pause_seconds
        announce(f"{state.program.name} {event}; starting it again in {pause:g} s")
        state.start_again_at = now + pause
        state.pause_seconds = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _has_left(program: Program) -> bool:
    """Return whether a replaced program has ended; then nothing of it is left behind."""
    if program.exit_code() is None:
        return False
    program.kill()
    return True


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
