"""Three jobs worth looking at, for `jobs-app up --demo`."""

import contextlib
from datetime import datetime

from jobs_app.celery_app import make_celery
from jobs_app.core.errors import Conflict
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs import service
from jobs_app.jobs.definition import Definition
from jobs_app.schedules.schedule import Schedule

HELLO = 'echo "Hello, I am $JOBS_JOB, due at $JOBS_SCHEDULED_FOR, attempt $JOBS_ATTEMPT."; uptime'

DEFINITIONS = (
    Definition(
        name="hello-every-minute",
        description="A shell command, as a crontab would have it.",
        tags=("demo",),
        task="shell",
        kwargs={"command": HELLO},
        schedule=Schedule(cron="* * * * *"),
    ),
    Definition(
        name="nap-every-10-seconds",
        description="A Celery task at an interval; its runs take three of the ten seconds.",
        tags=("demo",),
        task="sleep",
        kwargs={"duration": 3},
        schedule=Schedule(interval_seconds=10),
    ),
    Definition(
        name="disk-report-on-weekdays",
        description=(
            "Half past two in Paris, an hour that one night in spring does not have: "
            "look at its next fires."
        ),
        tags=("demo",),
        task="shell",
        kwargs={"command": "df -h /"},
        schedule=Schedule(cron="30 2 * * MON-FRI", timezone="Europe/Paris"),
    ),
)


def add(settings: Settings, *, at: datetime) -> list[str]:
    """Add those of the jobs that are not there, and return the names of all of them."""
    app = make_celery(settings)
    app.loader.import_default_modules()
    database = Database(settings.effective_database_url)
    try:
        for definition in DEFINITIONS:
            # There already: it stays as people have changed it since.
            with database.session() as session, contextlib.suppress(Conflict):
                service.create(session, definition, app=app, by="demo", at=at)
    finally:
        database.close()
    return [definition.name for definition in DEFINITIONS]
