"""Celery's pool of threads, whose runs can be ended when the worker is to stop at once."""

from typing import Any

from celery.concurrency.thread import TaskPool

from jobs_app.worker.process import this_process


class ThreadPool(TaskPool):
    """A pool of threads; Celery's own cannot end what it runs, and waits for it for ever."""

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """End all runs: Celery asks for each of them, but only when the worker stops."""
        this_process().watch.stop_all()
