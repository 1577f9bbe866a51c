"""The id of the installation, which its database holds."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.db.models.processes import Installation


def installation_id(session: Session) -> UUID | None:
    """Return what tells this database from those of other installations.

    None if somebody has restored its jobs without it.
    """
    return session.scalars(select(Installation.id)).one_or_none()
