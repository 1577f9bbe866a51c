"""Tasks that do what no task should: each is one way in which a stranger's code surprises us."""

import asyncio
import ctypes
import datetime
import itertools
import locale
import logging
import math
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery import shared_task


class Mute:
    """Has no text: whoever asks for it gets an error."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


class MuteError(Exception):
    """An exception whose text raises an exception of the same kind."""

    def __str__(self) -> str:
        raise MuteError

    __repr__ = __str__


class UnpicklableError(Exception):
    """An exception that no process can be told of."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(lambda: left + right)


class OutrageousError(BaseException):
    """Nothing that `except Exception` would stop."""


def _circular() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


RESULTS: dict[str, Callable[[], object]] = {
    "100 MB": lambda: "x" * 100_000_000,
    "a set": lambda: {1, 2},
    "an instant": lambda: datetime.datetime(2026, 6, 15, tzinfo=datetime.UTC),
    "an object": object,
    "no number": lambda: {"share": math.nan, "most": math.inf},
    "bytes": lambda: b"\xff\x00",
    "a circle": _circular,
    "a mute object": lambda: {"who": Mute()},
    "a huge number": lambda: 10**400,
    "NUL and half a character": lambda: "a\x00b\ud800",
    "odd keys": lambda: {(1, 2): 3, None: 4},
}

ERRORS: dict[str, Callable[[], BaseException]] = {
    "unpicklable": lambda: UnpicklableError(1, 2),
    "mute": MuteError,
    "100 MB": lambda: ValueError("y" * 100_000_000),
    "Ctrl-C": KeyboardInterrupt,
    "a generator's end": GeneratorExit,
    "asyncio's cancel": asyncio.CancelledError,
    "outrageous": OutrageousError,
    "out of memory": MemoryError,
    "too deep": RecursionError,
    "NUL": lambda: ValueError("a\x00b\ud800"),
}


@shared_task
def returns(what: str) -> Any:
    """Return something that a database does not take."""
    return RESULTS[what]()


@shared_task
def raises(what: str) -> None:
    """Raise something that is hard to tell of."""
    raise ERRORS[what]()


@shared_task
def fine() -> str:
    """Do what a task should, and say which process did it."""
    print("all is well")
    return str(os.getpid())


@shared_task
def exits(code: int) -> None:
    """End the process of the run, past everything that Python would do."""
    os._exit(code)


@shared_task
def aborts() -> None:
    """End as a crash of C code does."""
    os.abort()


@shared_task
def kills_its_worker() -> None:
    """Take the whole worker along, as a job does that uses up the machine's memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    # Or it would end well, if it were quick enough.
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task
def eats_memory() -> None:
    """Ask for more than there may be, and touch it."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000, limits[1]))
    try:
        held = [bytearray(10_000_000) for _ in itertools.count()]
        print(len(held))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@shared_task
def goes_deaf() -> None:
    """Stop listening to every signal, and leave it at that."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


@shared_task
def naps(seconds: float) -> None:
    """Sleep where a signal wakes us."""
    time.sleep(seconds)


@shared_task
def defies_its_limit() -> None:
    """Take the soft limit for a remark."""
    while True:
        try:
            time.sleep(60)
        except SoftTimeLimitExceeded:
            print("so what")


@shared_task
def spins_in_c(pid_file: str) -> None:
    """Hold Python's lock for ever, where no signal is looked at."""
    Path(pid_file).write_text(f"{os.getpid()}\n")
    sum(itertools.repeat(1, 10**15))


@shared_task
def leaves_a_daemon(pid_file: str) -> None:
    """Fork a daemon that keeps everything open, and prints much later."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(pid_file).write_text(f"{os.getpid()}\n")
            for _ in range(200):
                os.write(1, b"the daemon of another run\n")
                time.sleep(0.1)
        os._exit(0)
    os.wait()
    print("left a daemon")


@shared_task
def comes_back_twice() -> str:
    """Fork, and let parent and child return alike."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "parent" if child else "child"


@shared_task
def closes_its_streams() -> None:
    """Close descriptors 0 to 2, as a daemon does."""
    print("before")
    for fd in (0, 1, 2):
        os.close(fd)


@shared_task
def moves_house(directory: str) -> None:
    """Change the directory, the umask and the locale of the process."""
    os.chdir(directory)
    os.umask(0o777)
    locale.setlocale(locale.LC_ALL, "C")


@shared_task
def says_where_it_is() -> list[str]:
    """Return the directory, the umask and the locale of the process."""
    umask = os.umask(0)
    os.umask(umask)
    return [os.getcwd(), oct(umask), locale.setlocale(locale.LC_ALL)]


@shared_task
def replaces_stdout() -> None:
    """Put something else in place of sys.stdout, for good."""
    # It is left open on purpose.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


@shared_task
def leaves_a_printing_thread() -> None:
    """Start a thread that says something now, and goes on long after we have returned."""

    def talk() -> None:
        for number in range(100):
            print("a thread of another run", number)
            logging.getLogger("mine").warning("the logger of another run")
            time.sleep(0.05)

    threading.Thread(target=talk, daemon=True).start()
    time.sleep(0.3)


@shared_task
def leaves_a_transaction(file: str) -> None:
    """Begin a transaction, and forget about it."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (1)")
    globals()["forgotten"] = connection


#: The ways in which `talks` writes a line, in every pool.
WAYS = ("print", "stderr", "logging", "warning", "buffer", "writelines")

#: Those that are caught where one run at a time has the process for itself.
DEEPER_WAYS = ("descriptor", "printf", "thread", "child", "childerr", "fork")


@shared_task
def talks(mark: str, lines: int = 30, deeper: bool = True) -> None:
    """Write *mark* in all the ways that there are."""
    libc = ctypes.CDLL(None)
    for number in range(lines):
        print(f"{mark} print {number}")
        print(f"{mark} stderr {number}", file=sys.stderr)
        logging.getLogger("mine").warning("%s logging %d", mark, number)
        warnings.warn(f"{mark} warning {number}", stacklevel=1)
        sys.stdout.buffer.write(f"{mark} buffer {number}\n".encode())
        sys.stdout.writelines([f"{mark} writelines {number}\n"])
        if deeper:
            os.write(1, f"{mark} descriptor {number}\n".encode())
            libc.printf(f"{mark} printf {number}\n".encode())
            thread = threading.Thread(target=print, args=[f"{mark} thread {number}"])
            thread.start()
            thread.join()
        time.sleep(0.01)
    if deeper:
        command = f"echo '{mark} child 0'; echo '{mark} childerr 0' >&2"
        subprocess.run(["/bin/sh", "-c", command], check=True)
        if os.fork() == 0:
            print(f"{mark} fork 0")
            os._exit(0)
        os.wait()


@shared_task
def keeps_files_open() -> None:
    """Open files until there are no descriptors left, and keep them."""
    held = globals().setdefault("held", [])
    while True:
        # It is left open on purpose.
        held.append(open(os.devnull))  # noqa: SIM115


@shared_task(bind=True)
def leaves_a_mark(self: Any, file: str) -> None:
    """Note, outside of everything, that this run was done."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, f"{self.request.id}\n".encode())
    os.close(fd)
