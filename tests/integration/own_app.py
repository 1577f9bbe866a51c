"""A user's own Celery application, with tasks of every kind."""

import threading
import time
from datetime import date, datetime
from enum import Enum
from typing import Any

from celery import Celery, Task
from pydantic import BaseModel

import jobs_app


class Mode(Enum):
    """An enum that is no text."""

    FAST = "fast"


class Window(BaseModel):
    """A model."""

    start: datetime


class WithContext(Task[Any, Any]):
    """A task class as Flask's documentation recommends it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run within a context of the application."""
        print("in context")
        return self.run(*args, **kwargs)


# No test may reach these addresses.
app = Celery(
    "theirs",
    task_cls=WithContext,
    broker="redis://broker.invalid/0",
    backend="redis://backend.invalid/0",
)


@app.task(bind=True, max_retries=1, default_retry_delay=0)
def typed(
    self: Task[Any, Any], at: datetime, on: list[date], mode: Mode, pair: tuple[int, int] = (0, 0)
) -> list[str]:
    """Say what came, at the second try."""
    if self.request.retries == 0:
        raise self.retry(kwargs={"at": at, "on": [date(2026, 1, 1)], "mode": Mode.FAST})
    return [repr(at), repr(on), repr(mode), repr(pair)]


@app.task(pydantic=True)
def with_model(window: Window) -> str:
    """Be given a model by Celery."""
    return repr(window.start)


class ByClass(Task[Any, Any]):
    """A task that is a class."""

    name = "theirs.by-class"

    def run(self, steps: int) -> dict[str, Any]:
        """Report progress in both ways, and tell which run this is."""
        for step in range(steps):
            self.update_state(state="PROGRESS", meta={"current": step, "total": steps})
            time.sleep(0.3)
        run = jobs_app.current_run()
        assert run is not None
        thread = threading.Thread(target=lambda: run.progress(0.99, "from a thread"))
        thread.start()
        thread.join()
        return {
            "id": str(run.id),
            "job": run.job,
            "scheduled_for": None if run.scheduled_for is None else run.scheduled_for.isoformat(),
            "attempt": run.attempt,
        }


app.register_task(ByClass())
