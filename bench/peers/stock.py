"""A Celery application as in RedBeat's documentation, for `celery -A stock beat`."""

import os

from celery import Celery

url = os.environ.get("BENCH_REDIS_URL", "redis://")
app = Celery("stock", broker=url)
app.conf.redbeat_redis_url = url
app.conf.task_ignore_result = True


@app.task(name="stock.noop")
def noop() -> None:
    """Do nothing; no worker runs this task."""
