"""Starts a scheduler: the process of `jobs-app scheduler`."""

import logging

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings


def main(settings: Settings) -> int:
    """Run a scheduler until it gets a signal to stop; return its exit code.

    Any number may run: one is active, the others stand by.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    app = make_celery(settings)
    app.Beat(loglevel=settings.log_level, quiet=True).run()
    return 0
