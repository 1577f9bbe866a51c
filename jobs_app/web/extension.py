"""What a web process has besides its database: settings, Celery and the errands to Redis."""

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from celery import Celery
from flask import Flask, Response, after_this_request, current_app
from redis.exceptions import ResponseError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.celery_app import TASK_MODULES, make_celery
from jobs_app.core.errors import BrokerUnavailable, ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db import installation
from jobs_app.db.engine import READ_ONLY
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs.messages import Message, publish
from jobs_app.tasks import user_apps
from jobs_app.web.redis_notifier import Courier
from jobs_app.web.session import database

log = logging.getLogger(__name__)

#: How long one command to Redis may take, seconds.
REDIS_SECONDS = 0.25

#: Where Celery is pointed while no Redis is configured: a name that never resolves (RFC 2606).
NO_REDIS = "redis://no-redis.invalid:6379/0"

EXTENSION = "jobs_app"


@dataclass(slots=True)
class Parts:
    """The parts of one web process; `broken_imports` names the modules of JOBS_IMPORTS
    that could not be imported, each with the reason."""

    settings: Settings
    celery: Celery
    courier: Courier = field(default_factory=Courier)
    broken_imports: dict[str, str] = field(default_factory=dict)
    #: Which installation this is; None until the database has told.
    installation_id: UUID | None = None
    _projection: Projection | None = None

    def projection(self) -> Projection:
        """Return the projection; raises BrokerUnavailable while no Redis is configured."""
        if self._projection is None:
            try:
                self._projection = Projection(self.settings, timeout_seconds=REDIS_SECONDS)
            except ConfigurationError as error:
                raise BrokerUnavailable(error.detail) from error
        return self._projection

    def tell_redis(self, jobs: Sequence[Job], messages: Sequence[Message]) -> bool:
        """Project *jobs* and send *messages*; False if Redis did not take them in time.

        False costs nothing but time: the rows are on record, and the janitor does the rest.
        """
        return self.courier.run(lambda: self._tell(jobs, messages))

    def redis_status(self) -> str:
        """Return `ok` if Redis takes what is written within its quarter of a second.

        Else `unreachable`, or `refuses writes`: it is full, or was made a replica; or `shared`
        with another installation, under the same prefix.
        """
        refused: list[BrokerUnavailable] = []

        def probe() -> None:
            try:
                self.projection().probe()
                self._look_at_prefix()
            except BrokerUnavailable as error:
                if isinstance(error.__cause__, ResponseError):
                    refused.append(error)
                raise

        if self.courier.run(probe):
            return "shared" if self.projection().is_foreign else "ok"
        return "refuses writes" if refused else "unreachable"

    def _tell(self, jobs: Sequence[Job], messages: Sequence[Message]) -> None:
        projection = self.projection()
        if jobs:
            self._look_at_prefix()
            projection.write(jobs)
        if messages:
            publish(self.celery, messages)

    def ask_who_we_are(self) -> None:
        """Learn which installation this is, once; in a request, before Redis is asked."""
        if self.installation_id is not None:
            return
        # Not the session of the request: what it has loaded is still to be shown.
        engine = database.engine.execution_options(**{READ_ONLY: True})
        try:
            with Session(engine) as reading:
                self.installation_id = installation.installation_id(reading)
        except SQLAlchemyError as error:
            # Not reached, or not migrated yet: readyz says so, and the next request asks again.
            log.debug("installation_unknown error=%s", error)

    def _look_at_prefix(self) -> None:
        if self.installation_id is not None:
            self.projection().look_at_prefix(self.installation_id)


def make(settings: Settings) -> Parts:
    """Return the parts for *settings*; Redis need not be there, nor even configured."""
    try:
        celery = make_celery(settings)
    except ConfigurationError as error:
        log.warning("redis_not_configured detail=%s", error.detail)
        celery = make_celery(settings.model_copy(update={"redis_url": NO_REDIS}))
    parts = Parts(settings, celery)
    # Not the worker's own module: a web process claims nothing.
    for module in TASK_MODULES:
        importlib.import_module(module)
    # Now: what the user's modules bring can no longer take the place of a task of ours.
    celery.finalize(auto=True)
    for module in settings.import_modules:
        _import(parts, module)
    user_apps.adopt(celery, settings.import_modules)
    return parts


def _import(parts: Parts, module: str) -> None:
    try:
        user_apps.load(module)
    except Exception as error:  # the user's code: the web server starts all the same
        log.exception("import_failed module=%s", module)
        parts.broken_imports[module] = type(error).__name__


def init_app(app: Flask, parts: Parts) -> None:
    """Give *app* its parts."""
    app.extensions[EXTENSION] = parts


def current() -> Parts:
    """Return the parts of the application that answers this request."""
    found: Parts = current_app.extensions[EXTENSION]
    return found


def tell_redis_afterwards(
    jobs: Sequence[Job] = (), messages: Sequence[Message | None] = ()
) -> None:
    """Once the answer is made and the database let go of, tell Redis what was committed."""
    parts = current()
    to_send = [message for message in messages if message is not None]
    parts.ask_who_we_are()

    @after_this_request
    def tell(response: Response) -> Any:
        # Nothing may be held while Redis takes its time (invariant 9).
        database.session.remove()
        parts.tell_redis(jobs, to_send)
        return response
