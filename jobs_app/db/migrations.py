"""Migrations: which there are, which the database has, and bringing it to one."""

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import make_url
from sqlalchemy.exc import (
    OperationalError,
)
from sqlalchemy.orm import Session

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic tells at INFO what it is about to look at, each time.
logging.getLogger("alembic").setLevel(logging.WARNING)

_PACKAGE = Path(__file__).parents[1]


def migrations_path() -> Path:
    """Return the folder of the migrations: in the wheel, or in the checkout."""
    packaged = _PACKAGE / "_migrations"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "migrations"


def alembic_config(url: str) -> "Config":
    """Return Alembic's configuration for the database at *url*."""
    from alembic.config import Config  # noqa: PLC0415 (half a second that no worker needs)

    config = Config()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(settings: Settings, revision: str = "head") -> None:
    """Bring the schema to *revision* ("head", "base" or a revision's id).

    Safe to run in several processes at once: one works, the others wait and find
    nothing to do. Raises ConfigurationError if the database cannot be opened, if a newer
    version has migrated it, or if the file of SQLite is gone that was there before.
    """
    from alembic import command  # noqa: PLC0415 (half a second that no worker needs)
    from alembic.util.exc import CommandError  # noqa: PLC0415

    url = settings.effective_database_url
    if settings.database_url is None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_to_begin_anew(settings)
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
            f"The database {make_url(url).render_as_string(hide_password=True)} "
            f"cannot be opened: {str(error.orig).strip()}"
        ) from error
    if settings.database_url is None and revision != "base":
        settings.database_marker_file.write_text(MARKER_TEXT)


#: What the marker beside the database says to whoever opens it.
MARKER_TEXT = (
    "jobs-app has made the file jobs.db here. While this file is there, "
    "it does not begin anew with an empty database.\n"
)


def _refuse_to_begin_anew(settings: Settings) -> None:
    """Raise ConfigurationError if there was a database in the data directory, and is none now."""
    file, marker = settings.data_dir / "jobs.db", settings.database_marker_file
    # SQLite makes an empty file for whoever connects to one that is gone.
    is_there = file.exists() and file.stat().st_size > 0
    if marker.exists() and not is_there:
        raise ConfigurationError(
            f"The database {file} is gone, with all jobs and their history: put it back from a "
            f"backup. To begin anew without it, remove {marker} first."
        )


@cache
def newest_revision() -> str | None:
    """Return the revision that this version of jobs-app wants."""
    return ScriptDirectory.from_config(alembic_config("sqlite://")).get_current_head()


@cache
def _known_revisions() -> frozenset[str]:
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
    return frozenset(each.revision for each in scripts.walk_revisions())


def is_newer(revision: str | None) -> bool:
    """Tell whether a newer version of jobs-app has brought the database to *revision*."""
    return revision is not None and revision not in _known_revisions()


def revision(session: Session) -> str | None:
    """Return the revision of the database; None if nothing was ever migrated."""
    return MigrationContext.configure(session.connection()).get_current_revision()
