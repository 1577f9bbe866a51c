"""The id of the installation, stored in its database."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.processes import Installation


def installation_id(session: Session) -> UUID | None:
    """Return the id of the installation that this database belongs to.

    None if the jobs were restored from a backup without this table.
    """
    return session.scalars(select(Installation.id)).one_or_none()
