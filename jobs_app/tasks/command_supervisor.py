"""The small process around a shell job: it sees to it that nothing of the job outlives its worker.

It runs as a program of its own and imports nothing of jobs_app, because it
starts once a run. Its story:

1.  It reads one line of JSON, the order, from a socket that it shares with the
    worker, and starts the command in a process group of its own. The command
    writes straight into pipes that the worker reads.
2.  The worker tells it every second until when the worker may work (`lease`).
    It may also say `cancel`, with the longest grace if that is to be short, or `kill`.
3.  It stops the job when it is told to, at its time limit, when the lease has
    run out (the worker is frozen) and when the socket closes (the worker is
    dead): TERM to every process of the job, and after the grace KILL.
4.  When the command has ended, whatever it left behind is ended too.
5.  It answers with one line of JSON, the result, and goes.

On Linux it finds daemons that left the group, because orphans among its
descendants become its children; elsewhere it knows the group only.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
IS_LINUX = sys.platform == "linux"

# Whatever the grace: the job is dead before others may start it again.
FENCE_GRACE_SECONDS = 5.0
LEFTOVER_GRACE_SECONDS = 2.0
# A process that even KILL does not end (a dead disk) must not hold the result for ever.
LEFTOVER_LIMIT_SECONDS = 8.0
KILL_AGAIN_SECONDS = 0.1
NEVER = float("inf")


def clock() -> float:
    """Return seconds on a clock that worker and keeper share, and that no one can set.

    On Linux it goes on while the machine sleeps, so that a lease does not survive a suspend.
    """
    if IS_LINUX:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def main(control: int, *pipes: int) -> None:
    """Do one order.

    *control* is the socket; *pipes* are the read and write end of the
    command's stdout, then of its stderr.
    """
    for fd in (control, *pipes):
        os.set_inheritable(fd, False)
    # The worker alone decides when a job ends: a service manager that signals everybody does not.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    keeper = Keeper(control, *pipes)
    try:
        keeper.keep()
    except BaseException as error:
        keeper.answer({"why": "not_started", "detail": f"The keeper failed: {error!r}"})
        keeper.signal_all(signal.SIGKILL)
        raise
    # The worker waits for this process: without Python's own tidying it waits less.
    os._exit(0)


class Keeper:
    """One job: its processes, its deadlines, and why it was stopped."""

    def __init__(self, control: int, out_read: int, out_write: int, err_read: int, err_write: int):
        self.control = control
        self.reads = [out_read, err_read]
        self.writes = [out_write, err_write]
        self.unread = b""
        self.pid = 0
        self.status: int | None = None
        self.why: str | None = None
        self.was_warned = False
        self.is_alone = False
        self.has_children = True
        self.kill_at = NEVER
        self.libc = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None
        self.poll = select.poll()

    def keep(self) -> None:
        """Start the command, see it to its end, and answer."""
        order = json.loads(self.read_order())
        self.grace = order["grace"]
        self.lease_until = order["lease"]
        self.become_subreaper()
        self.become_undumpable()
        self.wake_on_child()
        failure = self.start(order["argv"], order["env"], order["cwd"])
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
        self.watch()
        duration = clock() - started
        self.end_leftovers(clock() + LEFTOVER_LIMIT_SECONDS)
        self.answer(self.result(duration))
        self.end_leftovers(NEVER)

    def read_order(self) -> bytes:
        while b"\n" not in self.unread:
            data = os.read(self.control, 65_536)
            if not data:
                raise EOFError("no order came")
            self.unread += data
        order, _, self.unread = self.unread.partition(b"\n")
        return order

    def become_subreaper(self) -> None:
        if self.libc is not None:
            self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def become_undumpable(self) -> None:
        """Keep the secrets in the order from other jobs of the same user."""
        if self.libc is not None:
            self.libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)

    def wake_on_child(self) -> None:
        """Let the end of a child wake `poll` at once."""
        self.wake, wakes = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self.poll.register(self.wake, select.POLLIN)
        self.poll.register(self.control, select.POLLIN)

    def start(self, argv: list[str], env: dict[str, str], cwd: str) -> str | None:
        """Start the command; return what went wrong, None if nothing did."""
        failure_read, failure_write = os.pipe()
        me = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self.become_command(me, argv, env, cwd, failure_write)
        os.close(failure_write)
        # Both sides do it: whoever is first, no signal to the group comes too early.
        with suppress(OSError):
            os.setpgid(self.pid, self.pid)
        with os.fdopen(failure_read, "rb") as pipe:
            return pipe.read().decode("utf-8", "replace") or None

    def become_command(
        self, keeper: int, argv: list[str], env: dict[str, str], cwd: str, failure: int
    ) -> None:
        """Turn this new process into the command; never returns."""
        try:
            os.setpgid(0, 0)
            if self.libc is not None:
                self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != keeper:
                    os._exit(127)
            signal.set_wakeup_fd(-1)
            for number in range(1, signal.NSIG):
                with suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self.writes[0], 1)
            os.dup2(self.writes[1], 2)
            os.umask(0o022)
            os.chdir(cwd)
            os.execve(argv[0], argv, env)  # noqa: S606  # the shell, if any, is in argv
        except BaseException as error:  # noqa: BLE001  # two keepers must not go on from here
            os.write(failure, str(error).encode("utf-8", "replace"))
        finally:
            os._exit(127)

    def watch(self) -> None:
        """Return when the command itself has ended."""
        self.reap()
        while self.status is None:
            now = clock()
            self.act_on_time(now)
            due = min(self.lease_until, self.soft_at, self.limit_at, self.kill_at)
            for fd, _ in self.poll.poll(max(0.0, min(due - now, 1.0)) * 1000 + 1):
                self.act_on(fd)
            self.reap()

    def act_on_time(self, now: float) -> None:
        if now >= self.lease_until:
            # Thawed long after it ran out: by now another attempt may be under way.
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

    def act_on(self, fd: int) -> None:
        if fd == self.control:
            self.obey()
        elif fd == self.wake:
            os.read(self.wake, 4096)
        else:
            self.discard(fd)

    def discard(self, fd: int) -> None:
        # A worker that thaws reads the same pipe: what poll saw may be gone.
        with suppress(BlockingIOError):
            if not os.read(fd, 65_536):
                self.poll.unregister(fd)

    def obey(self) -> None:
        """Do what the worker says; its silence at the end means that it is dead."""
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
            word, _, value = line.partition(b" ")
            if word == b"lease" and not self.is_alone:
                self.lease_until = float(value)
            elif word == b"cancel":
                self.stop("cancelled", min(self.grace, float(value)) if value else self.grace)
            elif word == b"kill":
                self.stop("cancelled", 0.0)

    def fence(self, most_grace: float) -> None:
        """Stop the job because its worker is dead or frozen, and read what it still prints.

        Nobody else reads that, and a job must not hang, or die of a closed
        pipe, while it cleans up.
        """
        if self.is_alone:
            return
        self.is_alone = True
        self.lease_until = NEVER
        for fd in self.reads:
            self.poll.register(fd, select.POLLIN)
        self.why = None
        self.stop("fenced", max(0.0, min(self.grace, most_grace)))

    def stop(self, why: str, grace: float) -> None:
        if self.why is None:
            self.why = why
            self.signal_all(signal.SIGTERM if grace > 0 else signal.SIGKILL)
        self.kill_at = min(self.kill_at, clock() + grace)

    def reap(self) -> None:
        """Collect the processes that have ended, the command's status among them."""
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
        """End what the command left behind; return when it is gone, or at *give_up_at*."""
        kill_at = min(self.kill_at, clock() + min(self.grace, LEFTOVER_GRACE_SECONDS))
        is_asked = False
        while self.has_leftovers() and clock() < give_up_at:
            if clock() >= kill_at:
                self.signal_all(signal.SIGKILL)
            elif not is_asked:
                self.signal_all(signal.SIGTERM)
                is_asked = True
            pause = max(0.0, min(kill_at - clock(), KILL_AGAIN_SECONDS)) or KILL_AGAIN_SECONDS
            # Not `self.poll`: a socket that has something to say would keep it from waiting.
            if select.select([self.wake], [], [], pause)[0]:
                os.read(self.wake, 4096)

    def has_leftovers(self) -> bool:
        """Return whether a process of the job lives, the command itself being dead."""
        self.reap()
        if IS_LINUX:
            # Orphans become the subreaper's children: without children, there are none.
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
        # After the command was reaped, the number of its group may belong to somebody else.
        has_group = self.status is None or not IS_LINUX
        targets = [-self.pid] if has_group else []
        if IS_LINUX:
            # Each process once: a program may do something at every TERM.
            outside = [pid for pid, group in descendants() if not has_group or group != self.pid]
            targets += outside
        # A stopped process does not see TERM before it goes on; KILL needs no such help.
        numbers = [number] if number == signal.SIGKILL else [number, signal.SIGCONT]
        for target in targets:
            for each in numbers:
                with suppress(OSError):
                    os.kill(target, each)

    def result(self, duration: float) -> dict[str, object]:
        code = os.waitstatus_to_exitcode(self.status or 0)
        why = self.why
        if why is None:
            # A command that heeds the soft limit and ends well has succeeded.
            why = "timed_out" if self.was_warned and code != 0 else "exited"
        return {"why": why, "code": code, "duration": duration}

    def answer(self, message: dict[str, object]) -> None:
        """Tell the worker; it may be dead."""
        with suppress(OSError):
            os.write(self.control, json.dumps(message).encode() + b"\n")


def descendants() -> list[tuple[int, int]]:
    """Return the processes below this one that are not dead, each with its group, from /proc."""
    children: dict[int, list[tuple[int, int]]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # The name in brackets may hold anything, brackets and spaces too.
                state, parent, group = file.read().rpartition(b")")[2].split()[:3]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            children.setdefault(int(parent), []).append((int(name), int(group)))
    found: list[tuple[int, int]] = []
    below = children.get(os.getpid(), [])
    while below:
        found += below
        below = [child for pid, _ in below for child in children.get(pid, [])]
    return found
