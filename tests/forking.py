"""Processes of jobs-app that are forked from one that has imported its modules already.

A Python that starts anew spends more than half a second of a processor on imports, and the
tests start hundreds. What is forked differs from it in no way that jobs-app looks at: it leads
a session of its own, has the environment and the descriptors that it is given, and runs
`python -m MODULE` from its first line.

    python -m tests.forking FD

is the process that forks: it gets an order for each process through the socket FD, and ends
when the other end is closed.
"""

import atexit
import contextlib
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from tempfile import TemporaryFile
from typing import BinaryIO

from celery.app import log as celery_log
from celery.apps import beat as celery_beat
from celery.apps import worker as celery_worker
from celery.backends import base as celery_backend
from celery.concurrency import prefork, solo, thread
from celery.fixups import django as django_fixup
from celery.worker import control, request
from kombu.transport import redis as redis_transport
from sqlalchemy.orm import configure_mappers

from jobs_app.cli.commands import processes
from jobs_app.core.settings import Settings
from jobs_app.scheduler import beat
from jobs_app.scheduler import main as scheduler_main
from jobs_app.tasks.builtin import email, http, shell, sleep
from jobs_app.web import server
from jobs_app.worker import main as worker_main
from tests.servers import NEVER_FORK

#: The modules of which a process imports some at its start, which is most of its work.
IMPORTED = (
    *(processes, server, beat, scheduler_main, worker_main, email, http, shell, sleep),
    *(celery_log, celery_beat, celery_worker, celery_backend, control, request),
    *(prefork, solo, thread, redis_transport, django_fixup),
)

#: Variables that a Python reads as it starts: they are what they were for the forking process.
INHERITED = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONWARNINGS")

#: Sends an order, with the descriptors of its text, output, status and death pipe.
ORDER = b"fork"
#: Above all descriptors that a test process hands on under their own numbers.
FIRST_SPARE_FD = 500


@dataclass(frozen=True)
class Order:
    """Which module to run, how, and the number under which it finds its death pipe."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str
    death_pipe_fd: int


class ForkedProcess:
    """A process that is not our child, with what the tests use of subprocess.Popen.

    Its parent tells, through a pipe, its process id and how it ended.
    """

    def __init__(self, status: BinaryIO) -> None:
        self._status = status
        self.pid = int(status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return how the process ended, None if it has not."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return how the process ended, once it has. Raises subprocess.TimeoutExpired."""
        ended = self._look(timeout)
        if ended is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return ended

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the process to end (SIGTERM)."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if poll.poll(None if timeout is None else timeout * 1000):
                status = self._status.readline()
                self._status.close()
                assert status, "the process that forks others has ended"
                self.returncode = int(status)
        return self.returncode


class Forker:
    """The process that forks others, for one test process; it is started on first use."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        output: BinaryIO,
        death_pipe_fd: int,
    ) -> ForkedProcess:
        """Start `python -m MODULE ARGUMENTS`, which keeps *death_pipe_fd* under its number."""
        order = Order(module, list(arguments), dict(environment), os.getcwd(), death_pipe_fd)
        reading, writing = os.pipe()
        with TemporaryFile() as text:
            text.write(json.dumps(asdict(order)).encode())
            text.flush()
            fds = [text.fileno(), output.fileno(), writing, death_pipe_fd]
            socket.send_fds(self._connected(), [ORDER], fds)
            os.close(writing)
            return ForkedProcess(os.fdopen(reading, "rb", buffering=0))

    def close(self) -> None:
        """Let the process that forks end; what it has started goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            # It ends with this process, and nobody waits for it.
            server.returncode = 0
            atexit.register(self.close)
        return self._socket


def plain_environment() -> dict[str, str]:
    """Return an environment that says nothing but where Python finds programs and modules."""
    return {name: os.environ[name] for name in ("PATH", *INHERITED) if name in os.environ}


Process = subprocess.Popen[bytes] | ForkedProcess

_FORKER = Forker()


def start(
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: BinaryIO,
    death_pipe_fd: int,
) -> Process:
    """Start `python -m MODULE ARGUMENTS` in a session of its own; it gets the pipe of its death."""
    if _can_fork(environment):
        return _FORKER.start(
            module, arguments, environment=environment, output=output, death_pipe_fd=death_pipe_fd
        )
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        pass_fds=[death_pipe_fd],
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a forked process is what a new one would be: here, and with this environment."""
    if NEVER_FORK in os.environ:
        return False
    return sys.platform == "linux" and all(
        environment.get(name) == os.environ.get(name) for name in INHERITED
    )


def _serve(control: int) -> Order:
    """Fork a process for each order, and tell how it ends; return the order in each of them."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    connection = socket.socket(fileno=control)
    #: The descriptor of each child, with its process id and where its end is to be told.
    children: dict[int, tuple[int, int]] = {}
    while True:
        for ready, _ in poll.poll():
            if ready != control:
                pid, status = children.pop(ready)
                poll.unregister(ready)
                os.close(ready)
                ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                # Whoever does not want to know has closed the other end.
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, b"%d\n" % ended)
                os.close(status)
                continue
            message, fds, _, _ = socket.recv_fds(connection, len(ORDER), 4)
            if not message:
                # Everybody who was started has a death pipe of its own.
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                connection.detach()
                return _become(fds)
            text, output, status, death_pipe = fds
            for fd in (text, output, death_pipe):
                os.close(fd)
            pidfd = os.pidfd_open(pid)
            children[pidfd] = (pid, status)
            poll.register(pidfd, select.POLLIN)


def _become(fds: Sequence[int]) -> Order:
    """Give this process what its order says, and nothing else."""
    text, output, status, death_pipe = (_moved(fd) for fd in fds)
    os.setsid()
    # Not before that: whoever knows it may send a signal to the whole session.
    os.write(status, b"%d\n" % os.getpid())
    with os.fdopen(text, "rb") as file:
        file.seek(0)
        order = Order(**json.load(file))
    for standard in (1, 2):
        os.dup2(output, standard)
    os.closerange(3, FIRST_SPARE_FD)
    os.dup2(death_pipe, order.death_pipe_fd)
    os.closerange(FIRST_SPARE_FD, FIRST_SPARE_FD + 2 * len(fds))
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    os.chdir(order.directory)
    sys.path[0] = order.directory
    return order


def _low(fd: int) -> int:
    """Give *fd* a number that `_become` closes, however many files the test process has."""
    duplicate = os.dup(fd)
    os.close(fd)
    return duplicate


def _moved(fd: int) -> int:
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_SPARE_FD)
    os.close(fd)
    return moved


def _main() -> None:
    control = int(sys.argv[1])
    order = _serve(_low(control))
    sys.argv = [order.module, *order.arguments]
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    configure_mappers()
    Settings()
    gc.collect()
    gc.freeze()
    _main()
