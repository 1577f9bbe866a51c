"""Starts a scheduler: the process of `jobs-app scheduler`."""

import warnings

from jobs_app.celery_app import make_celery
from jobs_app.core.process_log import configure_log
from jobs_app.core.settings import Settings


def main(settings: Settings) -> int:
    """Run a scheduler until it gets a signal to stop; return its exit code.

    Any number may run: one is active, the others stand by.
    """
    configure_log(settings, process="scheduler")
    app = make_celery(settings)
    # A module may make errors of warnings; no task runs here, and our own code must go on.
    with warnings.catch_warnings():
        app.loader.init_worker()
    app.Beat(loglevel=settings.log_level, quiet=True).run()
    return 0
