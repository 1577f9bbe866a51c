"""The known revisions of the database, and the one that it is at.

Alembic is not needed for this: it takes 12 MB of memory, which only a migration needs.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session

_PACKAGE = Path(__file__).parents[1]


def migrations_path() -> Path:
    """Return the folder of the migrations: in the wheel, or in the checkout."""
    packaged = _PACKAGE / "_migrations"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "migrations"


@cache
def known_revisions() -> tuple[str, ...]:
    """Return the revisions of this version of jobs-app, the oldest first.

    The file of each is named by its number, and follows the one with the number before.
    """
    files = (migrations_path() / "versions").glob("[0-9][0-9][0-9][0-9]_*.py")
    return tuple(sorted(file.name[:4] for file in files))


def newest_revision() -> str:
    """Return the revision that this version of jobs-app needs."""
    return known_revisions()[-1]


def is_newer(revision: str | None) -> bool:
    """Return whether *revision* is of a newer version of jobs-app."""
    return revision is not None and revision not in known_revisions()


def current_revision(session: Session) -> str | None:
    """Return the revision of the database; None if it was never migrated."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return None
    revision: str | None = session.scalar(
        select(text("max(version_num)")).select_from(text("alembic_version"))
    )
    return revision
