"""Tasks in Python that start programs, by all the ways that there are."""

import multiprocessing
import os
import signal
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from celery import shared_task

#: A program that notes its process id, and lasts longer than any test.
_LASTING = "echo $$ >> {file}; exec sleep 600"
_STUBBORN = "trap '' TERM; echo $$ >> {file}; while :; do sleep 1; done"


def _note(file: str) -> None:
    with open(file, "a") as stream:
        stream.write(f"{os.getpid()}\n")


def _last(file: str) -> None:
    _note(file)
    time.sleep(600)


def _daemon(file: str) -> None:
    """Fork twice, as daemons do, in a session and a group of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            subprocess.Popen(["/bin/sh", "-c", _LASTING.format(file=file)], env={})
        os._exit(0)
    os.wait()


def _stopped(file: str) -> None:
    program = subprocess.Popen(["/bin/sh", "-c", _LASTING.format(file=file)])
    _wait_for(file)
    program.send_signal(signal.SIGSTOP)


def _wait_for(file: str) -> None:
    while not Path(file).exists() or not Path(file).read_text().endswith("\n"):
        time.sleep(0.01)


STARTS: dict[str, Any] = {
    "a program": lambda file: subprocess.Popen(["/bin/sh", "-c", _LASTING.format(file=file)]),
    "a stubborn one": lambda file: subprocess.Popen(["/bin/sh", "-c", _STUBBORN.format(file=file)]),
    "a daemon": _daemon,
    "a stopped one": _stopped,
    "multiprocessing": lambda file: multiprocessing.Process(target=_last, args=[file]).start(),
    "a spawned one": lambda file: (
        multiprocessing.get_context("spawn").Process(target=_last, args=[file]).start()
    ),
}


@shared_task
def leaves(what: str, file: str) -> None:
    """Start something, and end without it."""
    STARTS[what](file)
    _wait_for(file)


@shared_task
def waits(what: str, file: str) -> None:
    """Start something, and wait for a program longer than any limit."""
    STARTS[what](file)
    subprocess.Popen(["/bin/sh", "-c", _LASTING.format(file=file)]).wait()


@shared_task
def dies(what: str, file: str) -> None:
    """Start something, and end like a crash."""
    STARTS[what](file)
    _wait_for(file)
    os.kill(os.getpid(), signal.SIGKILL)


def _square(number: int) -> int:
    return number * number


@shared_task
def divides(method: str) -> list[Any]:
    """Divide work among processes, as a script of its own may."""
    context: Any = multiprocessing.get_context(method)
    queue: Any = context.Queue()
    process = context.Process(target=queue.put, args=["hello"])
    process.start()
    heard = queue.get(timeout=20)
    process.join()
    with context.Pool(2) as pool:
        squares = pool.map(_square, range(4))
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        more = list(executor.map(_square, range(4)))
    with context.Manager() as manager:
        shared = manager.list([1, 2])
        shared.append(3)
        listed = list(shared)
    return [heard, squares, more, listed, os.getpid()]


def _by_processes(context: Any, files: list[str]) -> None:
    processes = [context.Process(target=_last, args=[file]) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _by_pool(context: Any, files: list[str]) -> None:
    with context.Pool(2) as pool:
        pool.map(_last, files)


def _by_lazy_pool(context: Any, files: list[str]) -> None:
    with context.Pool(2) as pool:
        list(pool.imap_unordered(_last, files))


def _by_executor(context: Any, files: list[str]) -> None:
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(_last, files))


HELPERS = {
    "processes": _by_processes,
    "a pool": _by_pool,
    "a lazy pool": _by_lazy_pool,
    "an executor": _by_executor,
}


@shared_task
def is_helped(by: str, method: str, file: str) -> None:
    """Divide work that takes all day among two processes, and wait for it."""
    try:
        HELPERS[by](multiprocessing.get_context(method), [file, file])
    finally:
        print("cleaned up")


@shared_task
def greets() -> str:
    """Say that all is well, with a program that is waited for."""
    subprocess.run(["/bin/echo", "all is well"], check=True)
    return str(os.getpid())


@shared_task
def has_rights() -> str:
    """Return what a program of the task may gain, and how large its core dumps may be."""
    command = "grep NoNewPrivs /proc/self/status; ulimit -Hc"
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True).stdout
