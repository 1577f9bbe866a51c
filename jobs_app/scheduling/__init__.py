"""The scheduler process: RedBeat's scheduler with the rows behind it, and the janitor."""

import logging

from jobs_app.celery_app import make_celery
from jobs_app.settings import Settings


def main(settings: Settings) -> int:
    """Run a scheduler until it is told to stop; return its exit code.

    Start as many as you like: one is active, the others stand by.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    app = make_celery(settings)
    app.Beat(loglevel=settings.log_level, quiet=True).run()
    return 0
