"""The tasks of the jobs-app worker in a benchmark (JOBS_IMPORTS): no work, or the start time."""

import time

from celery import shared_task


@shared_task(name="bench.noop")
def noop() -> None:
    """Do nothing."""


@shared_task(name="bench.instant")
def instant() -> float:
    """Return the time of the start, in Unix seconds."""
    return time.time()
