"""Three jobs worth looking at, for `jobs-app up --demo`."""

import contextlib
from datetime import datetime
from typing import Any

from jobs_app.celery_app import make_celery
from jobs_app.core.errors import Conflict
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.jobs.definition import from_document

HELLO = 'echo "Hello, I am $JOBS_JOB, due at $JOBS_SCHEDULED_FOR, attempt $JOBS_ATTEMPT."; uptime'

JOBS: tuple[dict[str, Any], ...] = (
    {
        "name": "hello-every-minute",
        "description": "A shell command, as a crontab would have it.",
        "tags": ["demo"],
        "task": "shell",
        "kwargs": {"command": HELLO},
        "schedule": {"cron": "* * * * *"},
    },
    {
        "name": "nap-every-10-seconds",
        "description": "A Celery task at an interval; its runs take three of the ten seconds.",
        "tags": ["demo"],
        "task": "sleep",
        "kwargs": {"duration": 3},
        "schedule": {"interval_seconds": 10},
    },
    {
        "name": "disk-report-on-weekdays",
        "description": (
            "Half past two in Paris, an hour that one night in spring does not have: "
            "look at its next fires."
        ),
        "tags": ["demo"],
        "task": "shell",
        "kwargs": {"command": "df -h /"},
        "schedule": {"cron": "30 2 * * MON-FRI", "timezone": "Europe/Paris"},
    },
)


def add(settings: Settings, *, at: datetime) -> list[str]:
    """Add the demo jobs that do not exist, and return the names of all of them."""
    # Not the user's modules: these jobs need none, and one of them may be broken.
    app = make_celery(settings.model_copy(update={"imports": ""}))
    app.loader.import_default_modules()
    database = Database(settings.effective_database_url)
    try:
        for job in JOBS:
            definition = from_document(job, settings, name=job["name"])
            # A job that exists already stays as people have changed it.
            with database.session() as session, contextlib.suppress(Conflict):
                service.create(session, definition, app=app, by="demo", at=at)
    finally:
        database.close()
    return [job["name"] for job in JOBS]
