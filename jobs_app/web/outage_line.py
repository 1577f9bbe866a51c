"""The line across every page: what of the installation is down, and what helps."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from contextlib import suppress

from flask import Flask, current_app
from sqlalchemy import String, func, select, text, type_coerce
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.core import clock
from jobs_app.db import revisions
from jobs_app.db.errors import error_name
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs import attention
from jobs_app.tasks.user_apps import not_loaded
from jobs_app.web import extension
from jobs_app.web.permissions import is_page
from jobs_app.web.redis_notifier import RedisNotifier
from jobs_app.web.session import reading

log = logging.getLogger(__name__)

#: How long the line holds, and how long the request that has it made anew waits, seconds.
FRESH_SECONDS = 5.0
WAIT_SECONDS = 0.25

NAME = "jobs_app_outage_line"

#: What /readyz says of Redis, as sentences.
REDIS = {
    "unreachable": "Redis does not answer, so runs wait: start it, or correct JOBS_REDIS_URL.",
    "refuses writes": "Redis refuses writes, so runs wait: it is full, or a replica.",
    "shared": "Another installation uses the same JOBS_REDIS_PREFIX in Redis: set another one.",
}


class OutageLine:
    """The line of one web process; a thread of its own makes it, as Redis may hang."""

    def __init__(
        self, make: Callable[[], str], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outage-line")
        self._future: Future[None] | None = None
        self._until = 0.0
        self.text = ""

    def look(self) -> None:
        """Have the line made anew if it is too old, and wait for it a quarter of a second."""
        with self._lock:
            is_busy = self._future is not None and not self._future.done()
            if is_busy or self._monotonic() < self._until:
                return
            self._until = self._monotonic() + FRESH_SECONDS
            future = self._future = self._thread.submit(self.renew)
        with suppress(NotInTime):
            future.result(timeout=WAIT_SECONDS)

    def renew(self) -> None:
        """Make the line anew, at once."""
        self.text = self._make()


def init_app(app: Flask) -> None:
    """Look before each request for a page of *app*, while the request holds nothing."""

    own: extension.Extension = app.extensions[extension.NAME]
    # A thread of its own: the question keeps no message of a request from being sent.
    notifier = own.redis_notifier.beside()

    def make() -> str:
        with app.app_context():
            # So that no page has to read them.
            own.read_reports()
            return " ".join(outages(notifier))

    line = app.extensions[NAME] = OutageLine(make)

    @app.before_request
    def look() -> None:
        if is_page():
            line.look()


def current() -> str:
    """Return the line; empty if all is well."""
    line: OutageLine = current_app.extensions[NAME]
    return line.text


def outages(notifier: RedisNotifier | None = None) -> Iterator[str]:
    """Yield a sentence for each part that is down, with what helps."""
    # The database is left before Redis is called (invariant 9).
    yield from _of_database()
    redis = extension.current().redis_status(notifier)
    if redis in REDIS:
        yield REDIS[redis]
    # Its text may hold anything, and the line is on the page of the sign-in too.
    for module, error in extension.current().broken_imports.items():
        yield f"{not_loaded(module, error)}: see jobs-app task list."


def _of_database() -> list[str]:
    version = select(text("max(version_num)")).select_from(text("alembic_version"))
    revision = type_coerce(version.scalar_subquery(), String())
    try:
        with reading() as session:
            row = session.execute(select(revision, func.max(SchedulerProcess.ticked_at))).one()
    except SQLAlchemyError as error:
        # The page itself says that.
        log.debug("outages_unknown error=%s", error_name(error))
        return []
    sentences = []
    if revisions.is_newer(row[0]):
        sentences.append(attention.NEWER_SCHEMA)
    elif row[0] != revisions.newest_revision():
        sentences.append("The database is that of an older version: run jobs-app migrate.")
    if attention.is_silent(row[1], at=clock.now()):
        sentences.append(f"{attention.silence(row[1])} Start one: jobs-app scheduler.")
    return sentences
