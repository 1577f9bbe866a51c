"""The web process's own Flask extension: its settings, Celery and calls to Redis."""

import importlib
import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from celery import Celery
from flask import Flask, Response, after_this_request, current_app
from redis.exceptions import ResponseError
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.celery_app import TASK_MODULES, make_celery
from jobs_app.core import exposure
from jobs_app.core.errors import BrokerUnavailable, ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.text import did_you_mean
from jobs_app.db import installation
from jobs_app.db.models.jobs import Job
from jobs_app.db.write_check import WriteCheck
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import reported_tasks
from jobs_app.runs.messages import Message, publish
from jobs_app.tasks import registry, user_apps
from jobs_app.tasks.reported import set_reported
from jobs_app.web.redis_notifier import RedisNotifier
from jobs_app.web.session import database, reading

log = logging.getLogger(__name__)

#: How long one command to Redis may take, seconds.
REDIS_SECONDS = 0.25

#: How long the warnings about Redis hold, seconds.
WARNING_SECONDS = 60

#: How long what workers have reported of their tasks is not read again, seconds: a little longer
#: than the line about outages holds, with which a thread reads it for the pages.
REPORT_SECONDS = 6.0

#: Celery's broker while no Redis is configured: a name that never resolves (RFC 2606).
NO_REDIS = "redis://no-redis.invalid:6379/0"

NAME = "jobs_app"


@dataclass(slots=True)
class Extension:
    """The state of one web process besides its database.

    `broken_imports` names the modules of JOBS_IMPORTS that could not be imported,
    each with the class of the error.
    """

    settings: Settings
    #: Without the tasks that only workers have.
    app: Celery
    write_check: WriteCheck
    redis_notifier: RedisNotifier = field(default_factory=RedisNotifier)
    broken_imports: dict[str, str] = field(default_factory=dict)
    #: Which installation this is; None until it has been read from the database.
    installation_id: UUID | None = None
    #: What is not safe about Redis, in sentences; empty until Redis has answered.
    redis_warnings: list[str] = field(default_factory=list)
    _warnings_until: float = 0.0
    _reports_until: float = 0.0
    _projection: Projection | None = None

    @property
    def celery(self) -> Celery:
        """Our application, which knows its own tasks and those that workers have reported.

        Use it in a request. The reports are read again after REPORT_SECONDS.
        """
        if time.monotonic() >= self._reports_until:
            self.read_reports()
        return self.app

    def read_reports(self) -> None:
        """Read what workers have reported of their tasks; needs the context of the application."""
        self._reports_until = time.monotonic() + REPORT_SECONDS
        try:
            with reading() as session:
                infos = reported_tasks.reported(session)
        except SQLAlchemyError as error:
            # The request itself will say that the database is away.
            log.debug("reports_not_read error=%s", error)
        else:
            set_reported(self.app, infos)

    def projection(self) -> Projection:
        """Return the projection; raises BrokerUnavailable while no Redis is configured."""
        if self._projection is None:
            try:
                self._projection = Projection(self.settings, timeout_seconds=REDIS_SECONDS)
            except ConfigurationError as error:
                raise BrokerUnavailable(error.detail) from error
        return self._projection

    def notify_redis(self, jobs: Sequence[Job], messages: Sequence[Message]) -> bool:
        """Project *jobs* and send *messages*; False if Redis did not take them in time.

        False only costs time: the rows are on record, and the janitor does the rest.
        """
        return self.redis_notifier.run(lambda: self._project_and_send(jobs, messages))

    def redis_status(self, notifier: RedisNotifier | None = None) -> str:
        """Return `ok` if Redis takes a write within 0.25 s, else the reason.

        With a *notifier* of its own the question keeps no message of a request from being sent.

        `unreachable`; `refuses writes`: it is full, or a replica; `shared`: another
        installation uses the same prefix there.
        """
        refusals: list[BrokerUnavailable] = []

        def probe() -> None:
            try:
                self.projection().probe()
                self._check_prefix()
                self._note_warnings()
            except BrokerUnavailable as error:
                if isinstance(error.__cause__, ResponseError):
                    refusals.append(error)
                raise

        if (notifier or self.redis_notifier).run(probe):
            return "shared" if self.projection().is_foreign else "ok"
        return "refuses writes" if refusals else "unreachable"

    def _note_warnings(self) -> None:
        """Find out what is not safe about Redis, once a minute, and log what is new."""
        if time.monotonic() < self._warnings_until:
            return
        policy = self.projection().eviction_policy()
        warnings = exposure.redis_warnings(self.settings, eviction_policy=policy)
        for warning in warnings:
            if warning not in self.redis_warnings:
                log.warning("redis_is_not_safe %s", warning)
        self.redis_warnings = warnings
        self._warnings_until = time.monotonic() + WARNING_SECONDS

    def _project_and_send(self, jobs: Sequence[Job], messages: Sequence[Message]) -> None:
        projection = self.projection()
        if jobs:
            self._check_prefix()
            projection.write(jobs)
        if messages:
            publish(self.app, messages)

    def load_installation_id(self) -> None:
        """Read once which installation this is; call in a request, before Redis is called."""
        if self.installation_id is not None:
            return
        # A session of its own: the request's one still holds objects for the answer.
        try:
            with reading() as session:
                self.installation_id = installation.installation_id(session)
        except SQLAlchemyError as error:
            # Unreachable, or not migrated yet: readyz says so, and the next request tries again.
            log.debug("installation_unknown error=%s", error)

    def _check_prefix(self) -> None:
        if self.installation_id is not None:
            self.projection().look_at_prefix(self.installation_id)


def make(settings: Settings) -> Extension:
    """Return the extension for *settings*; Redis need not run, nor even be configured."""
    try:
        celery = make_celery(settings)
    except ConfigurationError as error:
        log.warning("redis_not_configured detail=%s", error.detail)
        celery = make_celery(settings.model_copy(update={"redis_url": NO_REDIS}))
    # It signs messages; a first start may make the key.
    celery.signer.load(makes_key=True)
    extension = Extension(settings, celery, WriteCheck(settings.effective_database_url))
    # Not the worker's own module: a web process claims no runs.
    for module in TASK_MODULES:
        importlib.import_module(module)
    # Finalize before the user's modules: they can then no longer replace a task of ours.
    celery.finalize(auto=True)
    # A module may make errors of warnings; no task runs here, and our own code must go on.
    with warnings.catch_warnings():
        broken = user_apps.load_modules(celery, settings.import_modules, notes=settings.data_dir)
        user_apps.register_user_tasks(celery, settings.import_modules, broken)
    for module, broken_module in broken.items():
        extension.broken_imports[module] = broken_module.error_name
    _warn_of_command_tasks(celery)
    return extension


def _warn_of_command_tasks(celery: Celery) -> None:
    """Log names in JOBS_COMMAND_TASKS that are no task: whoever set them counts on the limit."""
    for name in registry.unknown_command_tasks(celery):
        hint = did_you_mean(name, registry.names(celery))
        log.error(
            "command_task_unknown task=%r There is no such task for JOBS_COMMAND_TASKS.%s",
            name,
            hint,
        )


def init_app(app: Flask, extension: Extension) -> None:
    """Give *app* its extension."""
    app.extensions[NAME] = extension


def current() -> Extension:
    """Return the extension of the application that answers this request."""
    extension: Extension = current_app.extensions[NAME]
    return extension


def notify_redis_afterwards(
    jobs: Sequence[Job] = (), messages: Sequence[Message | None] = ()
) -> None:
    """Send what was committed to Redis, once the answer is made and the session is closed."""
    extension = current()
    to_send = [message for message in messages if message is not None]
    extension.load_installation_id()

    @after_this_request
    def notify(response: Response) -> Any:
        # Nothing may be held while Redis is called (invariant 9).
        database.session.remove()
        extension.notify_redis(jobs, to_send)
        return response
