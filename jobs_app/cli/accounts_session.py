"""The database of this machine, for the commands of accounts, which need no server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs_app.cli.commands.processes import settings_for_database

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from jobs_app.core.settings import Settings


@contextmanager
def accounts_session() -> Iterator[tuple["Session", "Settings"]]:
    """Yield a session of the database of this machine's settings."""
    with settings_for_database() as settings:
        from jobs_app.accounts import audit
        from jobs_app.db.engine import Database

        database = Database(settings.effective_database_url)
        try:
            with database.session() as session:
                audit.set_origin(session, audit.Origin(None, None, via="cli"))
                yield session, settings
        finally:
            database.close()
