"""Scheduled jobs you can edit at run time and trust afterwards."""

import os
import sys

if sys.argv[:1] == ["-m"] and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
    # `python -m` puts the working directory before the standard library; `-P` is better still.
    del sys.path[0]

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery

    from jobs_app.tasks.context import RunInfo, progress
    from jobs_app.tasks.context import current_run_info as current_run

__all__ = ["RunInfo", "__version__", "current_run", "integrate", "progress"]

__version__ = "0.1.0"

#: What a task uses, by its name in jobs_app.tasks.context.
_FOR_TASKS = {"RunInfo": "RunInfo", "current_run": "current_run_info", "progress": "progress"}


def __getattr__(name: str) -> object:
    # Late, because the command line imports this module and needs none of them.
    if name not in _FOR_TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("jobs_app.tasks.context"), _FOR_TASKS[name])


def integrate(
    app: "Celery",
    *,
    queues: Sequence[str] | str | None = None,
    concurrency: int | None = None,
    imports: Sequence[str] | str | None = None,
) -> None:
    """Let the workers of your own Celery application run jobs whose tasks it has.

    A worker of *app* then starts a `jobs-app worker`, and stops it with itself. That process
    reads the settings JOBS_… of its environment. *queues* are the queues of jobs-app that it
    serves, in place of JOBS_WORKER_QUEUES; *concurrency* stands for JOBS_WORKER_CONCURRENCY.
    *imports* are modules that have *app*, by default the imported one that has it. Nothing
    happens in other processes. A second call replaces the first.
    """
    # By name: Celery takes a second to import, which the command line need not wait for.
    steps = import_module("jobs_app.up.celery_step")
    steps.add_step(app, queues=queues, concurrency=concurrency, imports=imports)
