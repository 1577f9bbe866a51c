"""A bare Celery application whose task does nothing, for `celery -A noops worker`.

BENCH_BACKEND is its result backend; without one, results are ignored. BENCH_PREFETCH
allows Celery's default prefetching.
"""

import os
import time

from celery import Celery
from redis import Redis

url = os.environ.get("BENCH_REDIS_URL", "redis://")
backend = os.environ.get("BENCH_BACKEND") or None
app = Celery("noops", broker=url, backend=backend)
app.conf.task_ignore_result = backend is None
app.conf.task_acks_late = False
if not os.environ.get("BENCH_PREFETCH"):
    app.conf.worker_prefetch_multiplier = 1
    app.conf.worker_disable_prefetch = True

#: The Redis list to which `mark` adds its start time.
MARKS = "bench-marks"


@app.task(name="noops.noop")
def noop() -> None:
    """Do nothing."""


@app.task(name="noops.instant")
def instant() -> float:
    """Return the time of the start, in Unix seconds."""
    return time.time()


@app.task(name="noops.mark", ignore_result=True)
def mark() -> None:
    """Record the start time; only two of the thousands of messages run this task."""
    with Redis.from_url(url) as client:
        client.rpush(MARKS, repr(time.time()))
