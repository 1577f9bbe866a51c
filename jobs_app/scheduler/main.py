"""Starts a scheduler: the process of `jobs-app scheduler`."""

from jobs_app.celery_app import make_celery
from jobs_app.core.process_log import configure_log
from jobs_app.core.settings import Settings


def main(settings: Settings) -> int:
    """Run a scheduler until it gets a signal to stop; return its exit code.

    Any number may run: one is active, the others stand by.
    """
    configure_log(settings.log_level, "%(asctime)s %(levelname)s %(name)s %(message)s")
    app = make_celery(settings)
    app.Beat(loglevel=settings.log_level, quiet=True).run()
    return 0
