"""The known revisions of the database, and the one that it is at."""

import logging
from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.orm import Session

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


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config("sqlite://"))


@cache
def newest_revision() -> str | None:
    """Return the revision that this version of jobs-app needs."""
    return _scripts().get_current_head()


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())


def is_newer(revision: str | None) -> bool:
    """Return whether *revision* is of a newer version of jobs-app."""
    return revision is not None and revision not in _known_revisions()


def current_revision(session: Session) -> str | None:
    """Return the revision of the database; None if it was never migrated."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def is_below(target: str, current: str | None) -> bool:
    """Return whether *target* is older than *current*; raises CommandError if it is unknown."""
    if not target:
        raise CommandError("it has no name")
    if target == "base" or target.startswith("-"):
        return True
    if target.startswith("+") or current is None or is_newer(current):
        return False
    scripts = _scripts()
    script = scripts.get_revision(target)
    older = {script.revision for script in scripts.iterate_revisions(current, "base")}
    return script.revision in older - {current}
