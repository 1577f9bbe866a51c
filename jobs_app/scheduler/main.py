"""Starts a scheduler: the process of `jobs-app scheduler`."""

import logging

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.tasks import user_apps

log = logging.getLogger(__name__)


def main(settings: Settings) -> int:
    """Run a scheduler until it gets a signal to stop; return its exit code.

    Any number may run: one is active, the others stand by.
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
        # The module is the user's. Its tasks fail in the worker, but all fires are recorded.
        log.exception("import_failed module=%s", module)
        return False
    return True
