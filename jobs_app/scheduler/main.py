"""Starts a scheduler: the process of `jobs-app scheduler`."""

import logging

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.tasks import user_apps

log = logging.getLogger(__name__)


def main(settings: Settings) -> int:
    """Run a scheduler until it is told to stop; return its exit code.

    Start as many as you like: one is active, the others stand by.
    """
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    app = make_celery(settings)
    app.conf.imports = tuple(name for name in app.conf.imports if _is_importable(name))
    app.Beat(loglevel=settings.log_level, quiet=True).run()
    return 0


def _is_importable(module: str) -> bool:
    try:
        user_apps.load(module)
    except Exception:
        # The user's code. Its tasks fail in the worker; every job's fires are recorded.
        log.exception("import_failed module=%s", module)
        return False
    return True
