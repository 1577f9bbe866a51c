"""Runs a command under a supervisor process: the worker's side, used by the task `shell`.

The supervisor is jobs_app/tasks/command_supervisor.py, which the fork server forks.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal
from uuid import UUID

from jobs_app.core.fork_server import plain_environment, spawn
from jobs_app.core.forked_process import ForkedProcess
from jobs_app.core.states import CancelMode
from jobs_app.core.text import counted
from jobs_app.tasks.command_account import Account
from jobs_app.tasks.command_cgroup import make_cgroup
from jobs_app.tasks.context import RunContext, Stream

SUPERVISOR = "jobs_app.tasks.command_supervisor:main"
TICK_SECONDS = 0.25
READ_BYTES = 65_536
# The longest grace of a command when its worker must stop at once.
LEAVING_GRACE_SECONDS = 2.0
# The supervisor needs at most 8 s for leftover processes; one that takes longer is stuck.
SUPERVISOR_LATE_SECONDS = 15.0
NO_CPUS = b"jobs-app: cpus has no effect: this worker may not divide its cgroup (Delegate=yes)\n"
IS_LINUX = sys.platform == "linux"

Why = Literal["exited", "timed_out", "cancelled", "fenced", "not_started", "supervisor_died"]


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended.

    `code` is 0 to 255, or -n for signal n, and None where it is not known;
    `detail` is a sentence for `not_started`. `leftovers` is a sentence about the processes
    that outlived the command and were ended, "" if there were none. `reached` are the names of
    the limits that it has reached, as far as that can be told.
    """

    why: Why
    code: int | None
    duration_seconds: float
    detail: str = ""
    leftovers: str = ""
    reached: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """An absolute program with its arguments, exactly its environment, and where it starts.

    `account` is None for the account of this process. `limits` are numbers, by name.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    account: Account | None = None
    limits: Mapping[str, float] = field(default_factory=dict)


def run_command(program: Program, *, context: RunContext, stdin: str = "") -> CommandEnd:
    """Run *program*; no process of it outlives this call.

    Its input is *stdin*, its output goes to the run's log. The supervisor ends the command if
    this call raises, or if this process dies or freezes.
    """
    with ExitStack() as stack, _input(stdin) as file:
        return _Command(stack, program, context, file.fileno()).follow()


def _input(text: str) -> IO[bytes]:
    """Return a file without a name that holds *text*, for a command to read from its start."""
    if not text:
        return open(os.devnull, "rb")
    # In memory where that is possible: the text may have secrets, and a disk may be full.
    file = os.fdopen(os.memfd_create("stdin"), "w+b") if IS_LINUX else TemporaryFile()  # noqa: SIM115  # the caller closes it
    file.write(text.encode("utf-8", "replace"))
    file.seek(0)
    return file


class _Command:
    """A command that runs: its supervisor, its pipes, and how it was asked to stop."""

    def __init__(
        self,
        stack: ExitStack,
        program: Program,
        context: RunContext,
        stdin: int,
    ) -> None:
        self._context = context
        self._marks = [
            f"{name}={value}".encode()
            for name, value in program.env.items()
            if name in ("JOBS_RUN_ID", "JOBS_ATTEMPT")
        ]
        self._cgroup = make_cgroup(f"{context.run_id}-{context.attempt}", program.limits)
        if "cpus" in program.limits and "cpus" not in (self._cgroup.limits if self._cgroup else ()):
            context.log.write("stderr", NO_CPUS)
        self._group: int | None = None
        self._stop_mode: str | None = None
        self._unread = b""
        self._end: CommandEnd | None = None
        self._started = time.monotonic()
        self._stuck_at = self._stuck_after(context.limits.time_limit_seconds)
        self._control, supervisor_end = socket.socketpair()
        stack.enter_context(self._control)
        self._streams: dict[int, Stream] = {}
        self._poll = select.poll()
        with supervisor_end, ExitStack() as child_ends:
            pipes: list[int] = []
            for stream in ("stdout", "stderr"):
                pipes += self._open_pipe(stack, child_ends, stream)
            self._supervisor = _start_supervisor([supervisor_end.fileno(), stdin, *pipes])
        stack.callback(_wait_a_moment, self._supervisor)
        # Close it before the wait: a closed socket tells the supervisor to end.
        stack.callback(self._control.close)
        self._poll.register(self._control, select.POLLIN)
        order = {
            "argv": program.argv,
            "env": program.env,
            "cwd": program.cwd,
            "limits": dict(program.limits),
            "cgroup": self._cgroup and vars(self._cgroup),
            "account": program.account and program.account.numbers(),
            "soft": context.limits.soft_time_limit_seconds,
            "limit": context.limits.time_limit_seconds,
            "grace": context.limits.kill_grace_seconds,
            "lease": self._lease_until(),
            "new_privileges": context.settings is not None and context.settings.new_privileges,
        }
        self._send(json.dumps(order))
        self._control.setblocking(False)

    def follow(self) -> CommandEnd:
        """Pass on output, lease and cancellation until the supervisor answers."""
        try:
            return self._follow()
        except BaseException:
            self._stop_now()
            raise

    def _stop_now(self) -> None:
        """End the command before its run is reported as over: a retry may start it again."""
        self._stop_mode = "kill"
        late = LEAVING_GRACE_SECONDS + SUPERVISOR_LATE_SECONDS
        self._stuck_at = min(self._stuck_at, time.monotonic() + late)
        self._send(f"cancel {LEAVING_GRACE_SECONDS}")
        with suppress(Exception):
            self._follow()

    def _follow(self) -> CommandEnd:
        tick_at = 0.0
        while self._end is None:
            now = time.monotonic()
            if now >= tick_at:
                tick_at = now + TICK_SECONDS
                self._tick(now)
            for fd, _ in self._poll.poll(max(0.0, tick_at - now) * 1000 + 1):
                if fd in self._streams:
                    self._read_output(fd)
                else:
                    self._receive()
        # All writers are dead now: read the pipes to their end.
        for fd in list(self._streams):
            while self._read_output(fd):
                pass
        return self._end

    def _open_pipe(
        self, own_ends: ExitStack, child_ends: ExitStack, stream: Stream
    ) -> tuple[int, int]:
        read, write = os.pipe()
        own_ends.callback(os.close, read)
        child_ends.callback(os.close, write)
        os.set_blocking(read, False)
        self._streams[read] = stream
        self._poll.register(read, select.POLLIN)
        return read, write

    def _tick(self, now: float) -> None:
        if now >= self._stuck_at:
            self._give_up_on_supervisor()
            return
        self._send(f"lease {self._lease_until()}")
        mode = self._context.is_cancelled()
        if mode is not None and self._stop_mode not in {mode, "kill"}:
            self._stop_mode = mode
            self._stuck_at = min(self._stuck_at, now + self._stuck_after(0.0) - self._started)
            self._send("kill" if mode is CancelMode.KILL else "cancel")

    def _stuck_after(self, seconds: float | None) -> float:
        if seconds is None:
            return float("inf")
        grace = self._context.limits.kill_grace_seconds
        return self._started + seconds + grace + SUPERVISOR_LATE_SECONDS

    def _lease_until(self) -> float:
        # Read the clock first: a late answer must not make the lease longer.
        now = _supervisor_clock()
        return now + self._context.lease_seconds_left()

    def _send(self, line: str) -> None:
        # `_receive` notices a supervisor that is gone.
        with suppress(OSError):
            self._control.sendall(line.encode() + b"\n")

    def _receive(self) -> None:
        try:
            data = self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._give_up_on_supervisor()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "why" in message:
                self._end = CommandEnd(
                    message["why"],
                    message.get("code"),
                    message.get("duration", 0.0),
                    message.get("detail", ""),
                    _leftovers(**message.get("leftovers", {})),
                    tuple(message.get("reached", ())),
                )
            else:
                self._group = message["pid"]

    def _read_output(self, fd: int) -> bool:
        """Pass on the output in the pipe; return False if there was none."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._context.log.write(self._streams[fd], data)
        else:
            self._poll.unregister(fd)
            del self._streams[fd]
        return bool(data)

    def _give_up_on_supervisor(self) -> None:
        """End the processes that a dead or stuck supervisor can no longer end.

        The command died with its supervisor. Its children are found by their group and by the
        run's id in their environment. A child that dropped both is not found.
        """
        self._supervisor.kill()
        self._supervisor.wait()
        if self._group is not None:
            with suppress(OSError):
                os.killpg(self._group, signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.kill()
        if IS_LINUX and self._marks:
            _kill_marked(self._marks)
        if self._cgroup is not None:
            self._cgroup.remove()
        duration = time.monotonic() - self._started
        self._end = CommandEnd("supervisor_died", None, duration)


def _leftovers(
    count: int = 0, first: Sequence[tuple[int, str]] = (), *, were_killed: bool = False
) -> str:
    """Return one line about the processes that a command left behind; "" if there were none."""
    if not count:
        return ""
    names = [f"{_printable(name)} (pid {pid})" for pid, name in first]
    more = f" and {count - len(names)} more" if count > len(names) else ""
    processes = f"{counted(count, 'process')} that {'was' if count == 1 else 'were'}"
    signals = "SIGTERM, then SIGKILL" if were_killed else "SIGTERM"
    return f"ended {processes} still running, by {signals}: {', '.join(names)}{more}"


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)


def _start_supervisor(fds: list[int]) -> ForkedProcess:
    return spawn(
        SUPERVISOR, fds=fds, environment=plain_environment(), title="jobs-app command-supervisor"
    )


def _wait_a_moment(supervisor: ForkedProcess) -> None:
    """Wait for the supervisor, but not while it ends leftover processes; close the pipe to it."""
    with suppress(subprocess.TimeoutExpired):
        supervisor.wait(0.2)
    supervisor.close()


def _supervisor_clock() -> float:
    """Return the time on the supervisor's clock (command_supervisor.clock)."""
    if IS_LINUX:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def is_still_ending(run_id: UUID, attempt: int) -> bool:
    """Tell whether a process of an attempt lives on this machine after its pool process died.

    Its supervisor ends it within seconds. Always False where /proc is missing (not Linux).
    """
    marks = [f"JOBS_RUN_ID={run_id}".encode(), f"JOBS_ATTEMPT={attempt}".encode()]
    return IS_LINUX and bool(_marked(marks))


def _kill_marked(marks: list[bytes]) -> None:
    """Kill every process whose environment holds all of *marks*, until none is left."""
    give_up_at = time.monotonic() + SUPERVISOR_LATE_SECONDS
    while pids := _marked(marks):
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > give_up_at:
            return
        time.sleep(0.02)


def _marked(marks: list[bytes]) -> list[int]:
    pids = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                variables = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                if all(mark in variables for mark in marks):
                    pids.append(int(name))
    return pids
