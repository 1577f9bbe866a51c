"""A user's own Celery tasks, as they would be written for any Celery application."""

import hashlib
import logging
import os
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from threading import Thread

from celery import shared_task
from celery.utils.log import get_task_logger

import jobs_app
from jobs_app.broker.transport import Transport
from jobs_app.worker import execution
from jobs_app.worker.pool_process import this_process

logger = get_task_logger(__name__)


@shared_task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    print(f"adding {x} and {y}")
    logger.info("with Celery's logger")
    logging.getLogger("mine").warning("with my own")
    return x + y


@shared_task(bind=True)
def whoami(self: object) -> dict[str, object]:
    """Return what Celery says of the request."""
    # Celery binds the task as self.
    request = self.request  # type: ignore[attr-defined]
    return {
        "id": request.id,
        "retries": request.retries,
        "routing_key": request.delivery_info["routing_key"],
        "called_directly": request.called_directly,
    }


@shared_task
def fail(text: str = "boom") -> None:
    """Raise."""
    raise ValueError(text)


@shared_task(bind=True, max_retries=2, default_retry_delay=0)
def flaky(self: object) -> int:
    """Succeed at the third try."""
    # Celery binds the task as self.
    retries: int = self.request.retries  # type: ignore[attr-defined]
    if retries < 2:
        # Celery binds the task as self.
        raise self.retry(exc=RuntimeError(f"try {retries}"))  # type: ignore[attr-defined]
    return retries


@shared_task(autoretry_for=(OSError,), max_retries=1, retry_backoff=False, default_retry_delay=0)
def auto() -> None:
    """Fail every time."""
    raise OSError("no disk")


@shared_task
def vanish() -> None:
    """End the process that runs us, as the kernel does when memory is short."""
    os.kill(os.getpid(), 9)


@shared_task
def spin(seconds: float) -> str:
    """Compute for a while, deaf to everything."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


@shared_task
def doze(seconds: float, pid_file: str) -> None:
    """Say which process we are, and sleep where no exception reaches us."""
    Path(pid_file).write_text(f"{os.getpid()}\n")
    time.sleep(seconds)


@shared_task
def odd() -> object:
    """Return what JSON cannot hold."""
    return {"when": time.struct_time((2026, 1, 1, 0, 0, 0, 0, 1, 0)), "what": {1, 2}.__class__}


@shared_task
def tell(token: str, child: bool = False) -> dict[str, object]:
    """Leave a secret wherever a task can leave something, and return it."""
    threads = [
        Thread(target=print, args=("thread", token)),
        Thread(target=sys.stdout.buffer.write, args=(f"bytes {token}\n".encode(),)),
        Thread(target=logger.info, args=("thread %s", token)),
    ]
    for thread in threads:
        thread.start()
        thread.join()
    if child:
        subprocess.run(["/bin/sh", "-c", 'echo "child $T"'], env={"T": token}, check=True)
    jobs_app.progress(0.5, f"with {token}", meta={token: KeyError(token)})
    print("token", token, end="")
    print("", token.encode())
    logger.info("token %s", token)
    logging.getLogger("mine").warning("token %r", {"token": token})
    try:
        raise KeyError(token)
    except KeyError:
        logger.exception("with %s", token)
    return {"token": token, token: [token, {"basic": b64encode(f"me:{token}".encode()).decode()}]}


@shared_task
def fail_with(token: str) -> None:
    """Raise with a secret in the message, and in that of its cause."""
    try:
        raise LookupError(f"no {token}")
    except LookupError as error:
        raise ValueError(f"bad token {token!r}") from error


@shared_task(bind=True, max_retries=1, default_retry_delay=0)
def retry_with(self: object, token: str, note: str = "") -> str:
    """Ask once to be tried again, with a secret in an argument that was not there before."""
    # Celery binds the task as self.
    if self.request.retries == 0:  # type: ignore[attr-defined]
        error = RuntimeError(f"not with {token}")
        # Celery binds the task as self.
        raise self.retry(exc=error, kwargs={"token": token, "note": f"after {token}"})  # type: ignore[attr-defined]
    return hashlib.sha256(f"{token} {note}".encode()).hexdigest()


@shared_task
def process_holds_finish() -> bool:
    """Tell whether the pool of this process lets it hold the finish of a run."""
    return this_process().can_hold_finish


@shared_task
def hooks_in_use() -> list[str]:
    """Return what this worker has of jobs-app in place of Celery's and kombu's own parts."""
    parts = [Transport.Channel.QoS.__module__, execution.RunTask.Strategy]
    held = ["holds finishes"] if this_process().can_hold_finish else []
    return [part for part in parts if part.startswith("jobs_app.")] + held
