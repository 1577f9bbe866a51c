"""Migrations: the known revisions, the revision of the database, and how to change it."""

import logging
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.setting_types import without_secrets
from jobs_app.core.settings import Settings

# Alembic logs at INFO each time it opens the database.
logging.getLogger("alembic").setLevel(logging.WARNING)

_PACKAGE = Path(__file__).parents[1]


def migrations_path() -> Path:
    """Return the folder of the migrations: in the wheel, or in the checkout."""
    packaged = _PACKAGE / "_migrations"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "migrations"


def alembic_config(url: str) -> Config:
    """Return Alembic's configuration for the database at *url*."""
    config = Config()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring the schema to *revision* ("head", "base" or a revision's id).

    Several processes may call this at once: one migrates, the others wait and find nothing
    to do. Raises ConfigurationError if the database cannot be opened, if a newer version has
    migrated it, or if its SQLite file has disappeared.
    """
    url = settings.effective_database_url
    if settings.database_url is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_if_removed(settings)
    try:
        if revision == "base" or revision.startswith("-"):
            command.downgrade(alembic_config(url), revision)
        else:
            command.upgrade(alembic_config(url), revision)
    except CommandError as error:
        raise ConfigurationError(
            f"The database cannot be brought to the revision {revision!r}: {error}. "
            "If a newer version of jobs-app has migrated it, that version is needed."
        ) from error
    except OperationalError as error:
        raise ConfigurationError(
            f"The database {without_secrets(url)} cannot be opened: {str(error.orig).strip()}"
        ) from error
    if settings.database_url is None and revision != "base":
        settings.database_marker_file.write_text(MARKER_TEXT)


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


@cache
def newest_revision() -> str | None:
    """Return the revision that this version of jobs-app needs."""
    return ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head()


@cache
def _known_revisions() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
    return frozenset(script.revision for script in scripts.walk_revisions())


def is_newer(revision: str | None) -> bool:
    """Return whether *revision* is of a newer version of jobs-app."""
    return revision is not None and revision not in _known_revisions()


def revision(session: Session) -> str | None:
    """Return the revision of the database; None if it was never migrated."""
    return MigrationContext.configure(session.connection()).get_current_revision()
