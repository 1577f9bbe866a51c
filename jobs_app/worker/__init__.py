"""The worker: claims runs, works on them, and writes how they ended."""

import logging
import os
import warnings

from celery.exceptions import SecurityWarning

from jobs_app import startup
from jobs_app.celery_app import make_celery
from jobs_app.settings import Settings

log = logging.getLogger(__name__)

#: Pools that are not Celery's own, by their name in the settings.
POOLS = {
    "prefork": "jobs_app.worker.pools:ProcessPool",
    "threads": "jobs_app.worker.pools:ThreadPool",
}


def main(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code.

    SIGTERM lets running runs finish; SIGQUIT gives them ten seconds, and ends those that
    are left: by policy, they are tried again.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    if os.geteuid() == 0:
        log.warning("running_as_root jobs run as root too, unless they change that themselves")
        # Celery's own five lines say the same.
        warnings.filterwarnings("ignore", category=SecurityWarning)
    app = make_celery(settings)
    worker = app.Worker(
        hostname=settings.worker_name,
        queues=list(settings.queues),
        concurrency=settings.worker_concurrency,
        pool=POOLS.get(settings.worker_pool, settings.worker_pool),
        loglevel=settings.log_level,
        quiet=True,
    )
    startup.end()
    try:
        worker.start()
    finally:
        # Not at the top: whoever imports it listens to Celery's signals.
        from jobs_app.worker import lifecycle  # noqa: PLC0415

        lifecycle.sign_off()
    return int(worker.exitcode or 0)
