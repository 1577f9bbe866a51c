"""The warning about periodic tasks that the user's code declares, and that nothing starts."""

import logging
import re
from collections.abc import Iterable, Sequence

from celery import Celery
from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core.text import listed
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.importers.command_names import name_of_key
from jobs_app.tasks import user_apps

log = logging.getLogger(__name__)

#: At most so many names are in the warning.
MOST_NAMES = 10
#: The origins of jobs that were periodic tasks begin so. The stores of the last two have those of
#: the code, too.
ORIGINS = ("beat ", "redbeat ", "django-celery-beat ")


def warn_of_ignored_schedules(app: Celery, modules: Sequence[str], database: Database) -> None:
    """Log one warning about the periodic tasks of *modules*, but not of those that are jobs."""
    ignored = user_apps.ignored_schedules(app, modules)
    if ignored is None:
        return
    jobs = _imported_jobs(database)
    names = [name for name in ignored.names if not _is_job(name, jobs)]
    if not names and (jobs or not ignored.waiting):
        return
    log.warning(
        "periodic_tasks_ignored count=%s names=%s waiting_functions=%s The code declares periodic "
        "tasks that are no jobs: nothing starts them. Make jobs of them: jobs-app import beat %s",
        len(names),
        listed(names, most=MOST_NAMES),
        ignored.waiting,
        " ".join(ignored.modules),
    )


def _is_job(key: str, jobs: Iterable[str]) -> bool:
    """Tell whether the entry *key* became one of *jobs*, which may begin with a prefix."""
    pattern = re.compile(rf".*{re.escape(name_of_key(key))}(?:-[0-9]+)?")
    return any(pattern.fullmatch(name) for name in jobs)


def _imported_jobs(database: Database) -> list[str]:
    """Return the names of the jobs that were periodic tasks; none if the database is down."""
    query = select(Job.name).where(or_(*(Job.origin.startswith(begin) for begin in ORIGINS)))
    try:
        with database.session() as session:
            return list(session.scalars(query))
    except SQLAlchemyError as error:
        log.info("imported_jobs_unknown error=%s", type(error).__name__)
        return []
