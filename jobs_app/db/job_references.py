"""Jobs that name rows of another table, as secrets and channels: their search, and a lock."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, String, cast, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from jobs_app.db.models.jobs import Job


def jobs_with_text(
    text: str,
    column: InstrumentedAttribute[Any],
    *columns: InstrumentedAttribute[Any],
    job_ids: Select[int | None] | None = None,
) -> Select[Any]:
    """Return a statement for the living jobs with *text* in the JSON of *column*.

    It gives their names, that column, and *columns*. Another word may contain *text*: the
    caller compares. With *job_ids* only these jobs are searched.
    """
    has_text = cast(column, String).contains(text, autoescape=True)
    statement = select(Job.name, column, *columns).where(Job.deleted_at.is_(None), has_text)
    return statement if job_ids is None else statement.where(Job.id.in_(job_ids))


def hold_names(
    session: Session, column: InstrumentedAttribute[str], names: Collection[str]
) -> list[str]:
    """Keep the rows with these *names* in *column* from being deleted until the commit.

    Return the names that no row has, sorted; if there are any, the session is rolled back.
    """
    if not names:
        return []
    held = session.scalars(
        select(column)
        .where(column.in_(names))
        # All in one order, so that no two wait for each other.
        .order_by(column)
        .with_for_update(read=True, key_share=True)
    )
    if missing := sorted({*names} - {*held}):
        session.rollback()
    return missing
