"""Makes all checks: what cannot be looked at is skipped, with the reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from redis.exceptions import AuthenticationError, RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core import reported_settings
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.text import reason_of
from jobs_app.db import revisions
from jobs_app.db.installation import installation_id
from jobs_app.jobs.doctor import clocks, database, installation, machine, network, processes
from jobs_app.jobs.doctor import redis as redis_checks
from jobs_app.jobs.doctor.clocks import Reading
from jobs_app.jobs.doctor.findings import Finding, Level, Report, sort

Readers = Callable[[], AbstractContextManager[Session]]

#: The checks that need the database with the newest schema, and those that need Redis.
OF_TABLES = (
    *("scheduler", "scheduler_lock", "queues", "workers", "versions", "settings"),
    *("zone_data", "zone_changes", "secrets", "secret_key", "redis_prefix"),
)
OF_DATABASE = ("migrations", "database_writes", "database_connections")
OF_REDIS = ("redis_writes", "redis_eviction", "redis_prefix")


@dataclass(slots=True)
class _Examination:
    """What was found so far."""

    findings: list[Finding] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    installation_id: UUID | None = None

    def skip(self, checks: Iterable[str], reason: str) -> None:
        self.skipped |= dict.fromkeys(checks, reason)


def examine(
    settings: Settings,
    readers: Readers,
    *,
    process: str,
    broken_modules: Sequence[str] | None = None,
    at: datetime,
) -> Report:
    """Return what is wrong with an installation, as this process sees it.

    *readers* opens sessions of its database, and *process* is the name of this process in
    findings. *broken_modules* are sentences about modules of JOBS_IMPORTS; None if this process
    loads none. Nothing is changed, and no error of database or Redis is raised.
    """
    found = _Examination()
    if broken_modules is not None:
        found.skip(("port",), "the web server that answers has it")
    else:
        found.findings += network.port(settings)
        if settings.import_modules:
            found.skip(("imports",), "only the web server knows: jobs-app doctor --server")
    found.findings += installation.imports(broken_modules or ())
    found.findings += machine.check(settings)
    found.findings += network.open_port(settings)
    found.findings += network.mail_server(settings)
    if settings.mail_server is None:
        found.skip(("mail_server",), "JOBS_SMTP_URL names none")
    # The settings of a shell are not those of a process that `up` or a unit has started.
    own = None if broken_modules is None else reported_settings.of_web_server(settings)
    _examine_database(found, settings, readers, process=process, web_server=own, at=at)
    _examine_redis(found, settings)
    found.findings += clocks.check(found.readings)
    found_checks = {finding.check for finding in found.findings}
    skipped = {check: why for check, why in found.skipped.items() if check not in found_checks}
    return Report(sort(found.findings), skipped)


def _examine_database(
    found: _Examination,
    settings: Settings,
    readers: Readers,
    *,
    process: str,
    web_server: Mapping[str, Any] | None,
    at: datetime,
) -> None:
    file = machine.sqlite_file(settings)
    if file is not None and not file.exists():
        # SQLite would make an empty one.
        sentence = f"There is no file {file}."
        found.findings.append(Finding("database", Level.ERROR, sentence, database.START))
        found.skip((*OF_DATABASE, *OF_TABLES), "there is no database")
        return
    try:
        with readers() as session:
            if _examine_tables(found, session, settings, process=process, at=at):
                reported = processes.living(session, web_server=web_server, at=at)
                found.findings += processes.versions(reported)
                found.findings += processes.settings(reported)
    except SQLAlchemyError as error:
        found.findings.append(database.unreachable(error))
        found.skip((*OF_DATABASE, *OF_TABLES), "the database does not answer")


def _examine_tables(
    found: _Examination, session: Session, settings: Settings, *, process: str, at: datetime
) -> bool:
    """Make the checks of tables; return False if their schema is older than this version."""
    found.findings += installation.migrations(session)
    found.findings += database.connections(session)
    if (reading := clocks.database_clock(session)) is not None:
        found.readings.append(reading)
    revision = revisions.current_revision(session)
    if revision != revisions.newest_revision() and not revisions.is_newer(revision):
        found.skip(("database_writes", *OF_TABLES), "the database is not migrated")
        return False
    found.findings += database.writes(session, settings.effective_database_url)
    found.installation_id = installation_id(session)
    found.readings += installation.process_clocks(session, at=at)
    found.findings += installation.schedulers(session, settings, at=at)
    found.findings += installation.queues(session)
    found.findings += installation.workers(session)
    found.findings += installation.zone_data_versions(session, process, at=at)
    found.findings += installation.zone_changes(session, at=at)
    found.findings += installation.secrets(session)
    found.findings += installation.secret_key(session, settings)
    return True


def _examine_redis(found: _Examination, settings: Settings) -> None:
    try:
        redis: Any = redis_checks.connect(settings)
    except ConfigurationError as error:
        found.findings.append(redis_checks.not_configured(reason_of(error)))
        found.skip((*OF_REDIS, "redis_password"), "no Redis is configured")
        return
    try:
        if (reading := redis_checks.read_clock(redis)) is not None:
            found.readings.append(reading)
        found.findings += redis_checks.writes(redis, settings.redis_prefix)
        found.findings += redis_checks.eviction(redis)
        found.findings += redis_checks.prefix(redis, settings, found.installation_id)
        found.findings += redis_checks.password(settings)
    except (ResponseError, AuthenticationError) as error:
        found.findings.append(redis_checks.refused(error, settings))
        found.skip((*OF_REDIS, "redis_password"), "Redis refuses a command")
    except (RedisError, OSError) as error:
        found.findings.append(redis_checks.unreachable(reason_of(error)))
        found.skip(OF_REDIS, "Redis does not answer")
        found.findings += redis_checks.password(settings)
    finally:
        redis.close()
