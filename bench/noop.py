"""What a worker of ours is given to do in a benchmark: nothing, and to say when (JOBS_IMPORTS)."""

import time

from celery import shared_task


@shared_task(name="bench.noop")
def noop() -> None:
    """Do nothing."""


@shared_task(name="bench.instant")
def instant() -> float:
    """Return when this began, Unix time."""
    return time.time()
