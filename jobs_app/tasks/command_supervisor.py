"""The small process around a shell job: no process of the job outlives its worker.

The fork server forks it, once a run, so that no other process can read the secrets in its
order. Of jobs_app it imports very little, to start fast.

1.  It reads one line of JSON, the order, from a socket that it shares with the worker. It
    starts the command in a new process group. The worker reads the command's pipes.
2.  The worker sends `lease` several times a second: the instant until which it may work.
    It may also send `cancel` (with a maximum grace, if any) or `kill`.
3.  It stops the job on request, at the time limit, when the lease has run out (a frozen
    worker) and when the socket closes (a dead worker): TERM, and KILL after the grace.
4.  When the command has ended, it also ends the processes that the command left behind.
5.  It answers with one line of JSON, the result, and exits.

On Linux it is a subreaper: orphaned descendants become its children, so it also finds
daemons that left the group. Elsewhere it knows the group only.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from jobs_app.core.process import limit_programs
from jobs_app.tasks.command_cgroup import CommandCgroup
from jobs_app.tasks.command_child import become_command
from jobs_app.tasks.process_limits import reached_limits
from jobs_app.tasks.process_tree import descendants

PR_SET_CHILD_SUBREAPER = 36
IS_LINUX = sys.platform == "linux"

# Longest grace of a fenced job: it is dead before another worker may start it again.
FENCE_GRACE_SECONDS = 5.0
LEFTOVER_GRACE_SECONDS = 2.0
LEFTOVER_NAME_SECONDS = 0.02
# So many of the processes that a command left behind are named.
NAMED_LEFTOVERS = 10
# A process that KILL does not end (a dead disk) must not delay the result for ever.
LEFTOVER_LIMIT_SECONDS = 8.0
KILL_AGAIN_SECONDS = 0.1
NEVER = float("inf")


def clock() -> float:
    """Return seconds on a clock that worker and supervisor share and nobody can set.

    On Linux it counts while the machine sleeps, so that a lease does not survive a suspend.
    """
    if IS_LINUX:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def main(control: int, stdin: int, *pipes: int) -> None:
    """Run one command, which reads *stdin*.

    *control* is the socket; *pipes* are the read and write ends of stdout, then of stderr.
    """
    for fd in (control, stdin, *pipes):
        os.set_inheritable(fd, False)
    # Only the worker decides when a job ends, not a service manager that signals all processes.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    supervisor = Supervisor(control, stdin, *pipes)
    try:
        supervisor.run()
    except BaseException as error:
        supervisor.answer({"why": "not_started", "detail": f"The supervisor failed: {error!r}"})
        supervisor.signal_all(signal.SIGKILL)
        raise
    # The worker waits for this process: skip Python's own clean-up.
    os._exit(0)


class Supervisor:
    """One command: its processes, its deadlines, and why it was stopped."""

    def __init__(self, control: int, stdin: int, *pipes: int):
        self.control = control
        self.stdin = stdin
        self.reads = pipes[::2]
        self.writes = pipes[1::2]
        self.unread = b""
        self.pid = 0
        self.status: int | None = None
        self.why: str | None = None
        self.was_warned = False
        self.is_fenced = False
        self.has_children = True
        # Processes that outlived the command, by their number: names without arguments.
        self.leftovers: dict[int, str] = {}
        self.were_killed = False
        self.kill_at = NEVER
        self.libc = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None
        self.poll = select.poll()

    def run(self) -> None:
        """Start the command, wait for its end, and answer."""
        order = json.loads(self.read_order())
        self.grace = order["grace"]
        self.lease_until = order["lease"]
        self.limits = order["limits"]
        self.cgroup = CommandCgroup(**order["cgroup"]) if order["cgroup"] else None
        self.set_process_flags()
        limit_programs(new_privileges=order["new_privileges"])
        self.wake_on_child()
        failure = self.start(order)
        started = clock()
        for fd in self.writes:
            os.close(fd)
        if failure is not None:
            self.reap()
            self.answer({"why": "not_started", "detail": failure})
            return
        self.answer({"pid": self.pid})
        self.soft_at = NEVER if order["soft"] is None else started + order["soft"]
        self.limit_at = NEVER if order["limit"] is None else started + order["limit"]
        self.wait_for_end()
        duration = clock() - started
        self.end_leftovers(clock() + LEFTOVER_LIMIT_SECONDS)
        self.answer(self.result(duration))
        self.end_leftovers(NEVER)
        if self.cgroup is not None:
            self.cgroup.remove()

    def read_order(self) -> bytes:
        while b"\n" not in self.unread:
            data = os.read(self.control, 65_536)
            if not data:
                raise EOFError("the worker sent no order")
            self.unread += data
        order, _, self.unread = self.unread.partition(b"\n")
        return order

    def set_process_flags(self) -> None:
        if self.libc is not None:
            self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def wake_on_child(self) -> None:
        """Wake `poll` at once when a child ends."""
        self.wake, wakes = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self.poll.register(self.wake, select.POLLIN)
        self.poll.register(self.control, select.POLLIN)

    def start(self, order: dict[str, Any]) -> str | None:
        """Start the command; return the error as text, None if it started."""
        failure_read, failure_write = os.pipe()
        own_pid = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            become_command(
                order,
                supervisor=own_pid,
                streams=(self.stdin, self.writes[0], self.writes[1]),
                failure=failure_write,
                libc=self.libc,
            )
        os.close(failure_write)
        # Parent and child both do it, so that no signal to the group comes too early.
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)
        with os.fdopen(failure_read, "rb") as pipe:
            return pipe.read().decode("utf-8", "replace") or None

    def wait_for_end(self) -> None:
        """Return when the command itself has ended."""
        self.reap()
        while self.status is None:
            now = clock()
            self.check_deadlines(now)
            due = min(self.lease_until, self.soft_at, self.limit_at, self.kill_at)
            for fd, _ in self.poll.poll(max(0.0, min(due - now, 1.0)) * 1000 + 1):
                self.handle(fd)
            self.reap()

    def check_deadlines(self, now: float) -> None:
        if now >= self.lease_until:
            # If this process thaws late, another attempt may already run: shorten the grace.
            self.fence(FENCE_GRACE_SECONDS - (now - self.lease_until))
        if now >= self.limit_at:
            self.limit_at = NEVER
            self.stop("timed_out", self.grace)
        if now >= self.soft_at:
            self.soft_at = NEVER
            self.was_warned = True
            self.signal_all(signal.SIGTERM)
        if now >= self.kill_at:
            self.kill_at = now + KILL_AGAIN_SECONDS
            self.signal_all(signal.SIGKILL)

    def handle(self, fd: int) -> None:
        if fd == self.control:
            self.receive()
        elif fd == self.wake:
            os.read(self.wake, 4096)
        else:
            # A worker that thaws reads the same pipe and may have emptied it.
            with suppress(BlockingIOError):
                if not os.read(fd, 65_536):
                    self.poll.unregister(fd)

    def receive(self) -> None:
        """Follow the worker's commands; end of file means that the worker is dead."""
        try:
            data = os.read(self.control, 65_536)
        except OSError:
            data = b""
        if not data:
            self.poll.unregister(self.control)
            self.fence(FENCE_GRACE_SECONDS)
            return
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            command, _, value = line.partition(b" ")
            if command == b"lease" and not self.is_fenced:
                self.lease_until = float(value)
            elif command == b"cancel":
                self.stop("cancelled", min(self.grace, float(value)) if value else self.grace)
            elif command == b"kill":
                self.stop("cancelled", 0.0)

    def fence(self, max_grace: float) -> None:
        """Stop the job because its worker is dead or frozen, and discard its output.

        Nobody else reads the pipes. A full or closed pipe would stop the job's clean-up.
        """
        if self.is_fenced:
            return
        self.is_fenced = True
        self.lease_until = NEVER
        for fd in self.reads:
            self.poll.register(fd, select.POLLIN)
        self.why = None
        self.stop("fenced", max(0.0, min(self.grace, max_grace)))

    def stop(self, why: str, grace: float) -> None:
        if self.why is None:
            self.why = why
            self.signal_all(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        self.kill_at = min(self.kill_at, clock() + grace)

    def reap(self) -> None:
        """Reap the children that have ended, and note the command's exit status."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.has_children = False
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def end_leftovers(self, give_up_at: float) -> None:
        """End the processes that the command left behind; stop trying at *give_up_at*."""
        kill_at = min(self.kill_at, clock() + min(self.grace, LEFTOVER_GRACE_SECONDS))
        has_termed = False
        if self.why is None and self.has_leftovers():
            # A process that was forked just now has not got the name of its program yet.
            time.sleep(LEFTOVER_NAME_SECONDS)
        while self.has_leftovers() and clock() < give_up_at:
            self.note_leftovers()
            if clock() >= kill_at:
                self.were_killed = True
                self.signal_all(signal.SIGKILL)
            elif not has_termed:
                self.signal_all(signal.SIGTERM)
                has_termed = True
            pause = max(0.0, min(kill_at - clock(), KILL_AGAIN_SECONDS)) or KILL_AGAIN_SECONDS
            # Not `self.poll`: a readable socket would make it return at once.
            if select.select([self.wake], [], [], pause)[0]:
                os.read(self.wake, 4096)

    def note_leftovers(self) -> None:
        """Note what is still running, unless the job was stopped: then nothing is left behind."""
        if self.why is None and IS_LINUX:
            self.leftovers |= {pid: name for pid, _, name in descendants()}

    def has_leftovers(self) -> bool:
        """Tell whether a process of the job is alive after the command ended."""
        self.reap()
        if IS_LINUX:
            # A subreaper inherits all orphans: without children nothing is left.
            return self.has_children
        try:
            os.killpg(self.pid, 0)
        except OSError:
            return False
        return True

    def signal_all(self, number: int) -> None:
        """Signal the command's group, and its other descendants where they can be found."""
        if self.pid == 0:
            return
        if self.cgroup is not None and number == signal.SIGKILL:
            self.cgroup.kill()
        # After the command is reaped, its group id may be reused by another process.
        has_group = self.status is None or not IS_LINUX
        targets = [-self.pid] if has_group else []
        if IS_LINUX:
            # Signal each process once: a program may act on every TERM.
            targets += [
                pid for pid, group, _ in descendants() if not has_group or group != self.pid
            ]
        # A stopped process handles TERM only after CONT; KILL works at once.
        numbers = [number] if number == signal.SIGKILL else [number, signal.SIGCONT]
        for target in targets:
            for signal_number in numbers:
                with suppress(OSError):
                    os.kill(target, signal_number)

    def result(self, duration: float) -> dict[str, object]:
        code = os.waitstatus_to_exitcode(self.status or 0)
        why = self.why
        if why is None:
            # A command that exits with 0 after the soft limit has succeeded.
            why = "timed_out" if self.was_warned and code != 0 else "exited"
        leftovers = {
            "count": len(self.leftovers),
            "first": list(self.leftovers.items())[:NAMED_LEFTOVERS],
            "were_killed": self.were_killed,
        }
        return {
            "why": why,
            "code": code,
            "duration": duration,
            "leftovers": leftovers,
            "reached": [
                *(self.cgroup.reached() if self.cgroup is not None else ()),
                *reached_limits(self.limits, code),
            ],
        }

    def answer(self, message: dict[str, object]) -> None:
        """Send a message to the worker, which may be dead."""
        with suppress(OSError):
            os.write(self.control, json.dumps(message).encode() + b"\n")
