"""Imports the user's modules as a worker does; runs in a process of its own (`up --reload`)."""

from jobs_app.celery_app import make_celery
from jobs_app.core.process_log import configure_log
from jobs_app.core.settings import Settings
from jobs_app.tasks import user_apps


def main() -> int:
    """Import the modules of JOBS_IMPORTS; return 1 if one is broken, after logging why."""
    settings = Settings()
    configure_log(settings, process="reload", text_format="%(levelname)s %(message)s")
    app = make_celery(settings)
    app.finalize()
    broken = user_apps.load_modules(app, settings.import_modules, notes=settings.data_dir)
    return 1 if broken else 0
