"""How the database is brought to another revision."""

import logging

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from jobs_app.core.errors import ConfigurationError, Unavailable
from jobs_app.core.setting_types import without_secrets
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database, is_refused
from jobs_app.db.revisions import current_revision, is_newer, migrations_path

#: The lock of PostgreSQL for migrations and restores: any number that no other program on the same
#: database would pick ("jobs" in ASCII).
ADVISORY_LOCK = 0x6A6F6273

# Alembic logs at INFO each time it opens the database.
logging.getLogger("alembic").setLevel(logging.WARNING)


def alembic_config(url: str) -> Config:
    """Return Alembic's configuration for the database at *url*."""
    config = Config()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade_in(connection: Connection, target: str) -> None:
    """Bring the schema to *target* in the transaction of *connection*, which the caller commits."""
    config = alembic_config("sqlite://")
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def is_below(target: str, current: str | None) -> bool:
    """Return whether *target* is older than *current*; raises CommandError if it is unknown."""
    if not target:
        raise CommandError("it has no name")
    if target == "base" or target.startswith("-"):
        return True
    if target.startswith("+") or current is None or is_newer(current):
        return False
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
    script = scripts.get_revision(target)
    older = {script.revision for script in scripts.iterate_revisions(current, "base")}
    return script.revision in older - {current}


def migrate(settings: Settings, target: str = "head") -> tuple[str | None, str | None]:
    """Bring the schema to *target*: "head", "base", a revision's id, or steps ("+1", "-1").

    It goes down to a revision that is older than the database's, with the data that only the
    newer ones hold. Returns the revisions before and after; None is an empty database.

    Several processes may call this at once: one migrates, the others wait and find nothing
    to do. Raises Unavailable if the database cannot be opened, and ConfigurationError if it
    refuses its user, if a newer version has migrated it, if no such revision exists, or if its
    SQLite file has disappeared.
    """
    url = settings.effective_database_url
    if settings.database_url is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_if_removed(settings)
    try:
        before = _revision_of(url)
        move = command.downgrade if is_below(target, before) else command.upgrade
        move(alembic_config(url), target)
        after = _revision_of(url)
    except CommandError as error:
        raise ConfigurationError(
            f"The database cannot be brought to the revision {target!r}: {error}. "
            "If a newer version of jobs-app has migrated it, that version is needed."
        ) from error
    except DBAPIError as error:
        if not isinstance(error, OperationalError) and not is_refused(error):
            raise
        refused = is_refused(error)
        what = "refuses its user" if refused else "cannot be opened"
        raise (ConfigurationError if refused else Unavailable)(
            f"The database {without_secrets(url)} {what}: {str(error.orig).strip()}"
        ) from error
    if settings.database_url is None and after is not None:
        settings.database_marker_file.write_text(MARKER_TEXT)
    return before, after


def _revision_of(url: str) -> str | None:
    database = Database(url)
    try:
        with database.reading() as session:
            return current_revision(session)
    finally:
        database.close()


#: The text of the marker file beside the database.
MARKER_TEXT = (
    "jobs-app has made the file jobs.db here. While this file is there, "
    "it does not begin anew with an empty database.\n"
)


def _refuse_if_removed(settings: Settings) -> None:
    """Raise ConfigurationError if the data directory had a database that is gone now."""
    file, marker = settings.data_dir / "jobs.db", settings.database_marker_file
    # SQLite creates an empty file if the database is opened after it was removed.
    is_there = file.exists() and file.stat().st_size > 0
    if marker.exists() and not is_there:
        raise ConfigurationError(
            f"The database {file} is gone, with all jobs and their history: put it back from a "
            f"backup. To begin anew without it, remove {marker} first."
        )
