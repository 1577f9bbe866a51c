"""A bare Celery application whose task does nothing, for `celery -A noops worker`.

BENCH_BACKEND is its result backend; without one, results are ignored. BENCH_PREFETCH
says that it may take messages ahead, as Celery does when nobody forbids it.
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

#: The list to which `mark` adds instants.
MARKS = "bench-marks"


@app.task(name="noops.noop")
def noop() -> None:
    """Do nothing."""


@app.task(name="noops.instant")
def instant() -> float:
    """Return when this began, Unix time."""
    return time.time()


@app.task(name="noops.mark", ignore_result=True)
def mark() -> None:
    """Note when this message's turn came: the only two tasks of thousands that do anything."""
    with Redis.from_url(url) as client:
        client.rpush(MARKS, repr(time.time()))
