"""A plain Celery application that knows nothing of jobs-app: it cannot even import it."""

import os
import sys
import time
from pathlib import Path

from celery import Celery
from celery.backends.rpc import RPCBackend

sys.modules["jobs_app"] = None  # type: ignore[assignment]  # an import of it raises

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app.conf.worker_hijack_root_logger = False
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(x: int, y: int = 0) -> int:
    """Return a sum."""
    return x + y


@app.task(ignore_result=True)
def forgetful() -> str:
    """Return what nobody keeps, unless somebody asks for it."""
    return "kept"


@app.task
def fail(text: str) -> None:
    """Raise an error."""
    raise ValueError(text, 7)


@app.task(backend=RPCBackend(app))
def add_by_rpc(x: int, y: int = 0) -> int:
    """Send a sum to the queue that the caller named."""
    return x + y


@app.task(backend=RPCBackend(app), bind=True)
def fail_by_rpc(self: object) -> None:
    """Set a state, and then raise an error."""
    self.update_state(state="PROGRESS", meta={"fraction": 0.5})  # type: ignore[attr-defined]  # of a task
    raise KeyError("gone")


@app.task(bind=True)
def request_of(self: object) -> dict[str, object]:
    """Return what the worker knows about the call."""
    request = self.request  # type: ignore[attr-defined]  # of a task
    names = ("id", "root_id", "retries", "timelimit", "argsrepr", "kwargsrepr", "expires")
    return {
        **{name: getattr(request, name) for name in names},
        "queue": request.delivery_info["routing_key"],
        "priority": request.delivery_info["priority"],
        "jobs_app": "jobs_app" in sys.modules and sys.modules["jobs_app"] is not None,
    }


@app.task(bind=True)
def in_steps(self: object, directory: str) -> str:
    """Set a state of its own, and work on."""
    self.update_state(  # type: ignore[attr-defined]  # of a task
        state="PROGRESS", meta={"current": 1, "total": 4, "status": "counting"}
    )
    return work(directory)


@app.task(backend=RPCBackend(app))
def work_by_rpc(directory: str) -> str:
    """Do the same, and send the result to the queue that the caller named."""
    return work(directory)


@app.task
def work(directory: str) -> str:
    """Write that it has begun, and, when the file `gate` is there, that it has ended."""
    folder = Path(directory)
    (folder / "begun").touch()
    while not (folder / "gate").exists():
        time.sleep(0.02)
    (folder / "ended").touch()
    return "worked"
