"""Runs a command under a keeper, from the worker's side: not a task, but what `shell` stands on.

The keeper itself is jobs_app/tasks/command_supervisor.py. It is started by its path and
never imported, so this module keeps below the worker.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

from jobs_app.tasks.context import RunContext, Stream

SUPERVISOR_DIR = Path(__file__).parent
# Imported as a module, and not run as a script, so that Python keeps it compiled.
KEEPER_START = (
    "import sys; sys.path.append(sys.argv[1]); import command_supervisor; "
    "command_supervisor.main(*map(int, sys.argv[2:]))"
)
TICK_SECONDS = 0.25
READ_BYTES = 65_536
# A worker that is told to stop at once gives its commands no more than this, whatever their grace.
LEAVING_GRACE_SECONDS = 2.0
# The keeper needs at most 8 s for leftovers; one that takes longer is itself stuck.
KEEPER_LATE_SECONDS = 15.0
IS_LINUX = sys.platform == "linux"

Why = Literal["exited", "timed_out", "cancelled", "fenced", "not_started", "keeper_died"]


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended.

    `code` is 0 to 255, or -n for signal n, and None where it is not known;
    `detail` is a sentence for `not_started`.
    """

    why: Why
    code: int | None
    duration_seconds: float
    detail: str = ""


def run_command(
    argv: list[str], *, env: dict[str, str], cwd: str, context: RunContext
) -> CommandEnd:
    """Run *argv* (an absolute program and its arguments) to its end, and nothing of it longer.

    Its environment is exactly *env*, its input empty, its output goes to the
    run's log. Should this function be left by an exception, or this process
    die or freeze, the keeper ends the command.
    """
    with ExitStack() as stack:
        return _Command(stack, argv, env, cwd, context).follow()


class _Command:
    """A command that is being followed: its keeper, its pipes, and what was asked of it."""

    def __init__(
        self,
        stack: ExitStack,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        context: RunContext,
    ) -> None:
        self._context = context
        self._marks = [
            f"{name}={value}".encode()
            for name, value in env.items()
            if name in ("JOBS_RUN_ID", "JOBS_ATTEMPT")
        ]
        self._group: int | None = None
        self._asked: str | None = None
        self._unread = b""
        self._end: CommandEnd | None = None
        self._started = time.monotonic()
        self._stuck_at = self._stuck_after(context.time_limit_seconds)
        self._control, theirs = socket.socketpair()
        stack.enter_context(self._control)
        self._streams: dict[int, Stream] = {}
        self._poll = select.poll()
        with theirs, ExitStack() as handed_over:
            pipes: list[int] = []
            for stream in ("stdout", "stderr"):
                pipes += self._open_pipe(stack, handed_over, stream)
            self._keeper = _start_keeper([theirs.fileno(), *pipes])
        stack.callback(_reap, self._keeper)
        # Closed before the reaping: it is what tells the keeper to end.
        stack.callback(self._control.close)
        self._poll.register(self._control, select.POLLIN)
        order = {
            "argv": argv,
            "env": env,
            "cwd": cwd,
            "soft": context.soft_time_limit_seconds,
            "limit": context.time_limit_seconds,
            "grace": context.kill_grace_seconds,
            "lease": self._lease_until(),
        }
        self._say(json.dumps(order))
        self._control.setblocking(False)

    def follow(self) -> CommandEnd:
        """Pass on output, lease and cancellation until the keeper has answered."""
        try:
            return self._follow()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        """End the command before anybody hears that its run is over, and may start it again."""
        self._asked = "kill"
        late = LEAVING_GRACE_SECONDS + KEEPER_LATE_SECONDS
        self._stuck_at = min(self._stuck_at, time.monotonic() + late)
        self._say(f"cancel {LEAVING_GRACE_SECONDS}")
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
                    self._hear()
        # Everything that could write is dead now, so what lies in the pipes is all there is.
        for fd in list(self._streams):
            while self._read_output(fd):
                pass
        return self._end

    def _open_pipe(
        self, ours: ExitStack, handed_over: ExitStack, stream: Stream
    ) -> tuple[int, int]:
        read, write = os.pipe()
        ours.callback(os.close, read)
        handed_over.callback(os.close, write)
        os.set_blocking(read, False)
        self._streams[read] = stream
        self._poll.register(read, select.POLLIN)
        return read, write

    def _tick(self, now: float) -> None:
        if now >= self._stuck_at:
            self._give_up_on_keeper()
            return
        self._say(f"lease {self._lease_until()}")
        mode = self._context.is_cancelled()
        if mode is not None and self._asked not in {mode, "kill"}:
            self._asked = mode
            self._stuck_at = min(self._stuck_at, now + self._stuck_after(0.0) - self._started)
            self._say("kill" if mode == "kill" else "cancel")

    def _stuck_after(self, seconds: float | None) -> float:
        if seconds is None:
            return float("inf")
        return self._started + seconds + self._context.kill_grace_seconds + KEEPER_LATE_SECONDS

    def _lease_until(self) -> float:
        # The clock first: an answer that is already old must not make the lease longer.
        now = _keeper_clock()
        return now + self._context.lease_seconds_left()

    def _say(self, line: str) -> None:
        # A keeper that is gone is noticed when it is listened to.
        with suppress(OSError):
            self._control.sendall(line.encode() + b"\n")

    def _hear(self) -> None:
        try:
            data = self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._give_up_on_keeper()
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
                )
            else:
                self._group = message["pid"]

    def _read_output(self, fd: int) -> bool:
        """Pass on what is there; return False if there was nothing."""
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

    def _give_up_on_keeper(self) -> None:
        """End what a dead or stuck keeper can no longer end.

        The command died with its keeper. Its children are found by their group
        and by the run's mark in their environment; one that left both is not.
        """
        self._keeper.kill()
        self._keeper.wait()
        if self._group is not None:
            with suppress(OSError):
                os.killpg(self._group, signal.SIGKILL)
        if IS_LINUX and self._marks:
            _kill_marked(self._marks)
        duration = time.monotonic() - self._started
        self._end = CommandEnd("keeper_died", None, duration)


def _start_keeper(fds: list[int]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", "-c", KEEPER_START, str(SUPERVISOR_DIR), *map(str, fds)]
    # Nothing of the worker's environment, which may hold passwords; the loader may need its path.
    env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        command,
        env=env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=fds,
        start_new_session=True,
    )


def _reap(keeper: subprocess.Popen[bytes]) -> None:
    """Collect the keeper, now or when it is done with what it still has to end."""
    try:
        keeper.wait(0.2)
    except subprocess.TimeoutExpired:
        threading.Thread(target=keeper.wait, name="reap-keeper", daemon=True).start()


def _keeper_clock() -> float:
    """Return the time on the keeper's clock (see keeper.clock)."""
    if IS_LINUX:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def is_still_ending(run_id: UUID, attempt: int) -> bool:
    """Tell whether something of an attempt lives on this machine, its worker process being dead.

    Its keeper ends it within seconds. False where that cannot be seen (not Linux).
    """
    marks = [f"JOBS_RUN_ID={run_id}".encode(), f"JOBS_ATTEMPT={attempt}".encode()]
    return IS_LINUX and bool(_marked(marks))


def _kill_marked(marks: list[bytes]) -> None:
    """Kill every process whose environment holds all of *marks*, until there is none."""
    give_up_at = time.monotonic() + KEEPER_LATE_SECONDS
    while pids := _marked(marks):
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > give_up_at:
            return
        time.sleep(0.02)


def _marked(marks: list[bytes]) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                variables = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                if all(mark in variables for mark in marks):
                    found.append(int(name))
    return found
