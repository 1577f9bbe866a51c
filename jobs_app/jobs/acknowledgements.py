"""Acknowledgements: somebody takes care of a line of what needs attention, and all see it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, tag_limit
from jobs_app.core.errors import NotFound
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Acknowledgement as Row
from jobs_app.jobs.attention import Item
from jobs_app.jobs.attention_installation import Acknowledgement


def line(items: Iterable[Item], line_id: str) -> Item:
    """Return the line with the id *line_id*; raises NotFound if its state has changed."""
    for item in items:
        if item.id == line_id:
            return item
    sentence = "There is no such line, or its state has changed: look at the list again."
    raise NotFound(sentence, code="attention_not_found")


def acknowledge(
    session: Session,
    items: Iterable[Item],
    line_id: str,
    *,
    note: str | None,
    by: str,
    at: datetime,
) -> Item:
    """Record that *by* takes care of a line of *items*, in place of whoever did before.

    *items* were read at *at* or later. Raises NotFound.
    """
    items = list(items)
    item = line(items, line_id)
    # Whoever sees all lines removes the rows of those that are gone. Newer rows may be of lines
    # that came after *items* were read.
    if not tag_limit.is_limited(session):
        is_gone = (Row.line.not_in([known.id for known in items]), Row.at < at)
        session.execute(delete(Row).where(*is_gone))
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    values: dict[str, Any] = {"actor": by, "at": at, "note": note}
    row = dialect.insert(Row).values(line=line_id, **values)
    session.execute(row.on_conflict_do_update(index_elements=["line"], set_=values))
    _note(session, audit.ACKNOWLEDGE, item, by=by, at=at, note=note)
    session.commit()
    return replace(item, acknowledgement=Acknowledgement(by, at, note))


def take_back(
    session: Session, items: Iterable[Item], line_id: str, *, by: str, at: datetime
) -> Item:
    """Remove the acknowledgement of a line of *items*, whoever made it; raises NotFound."""
    item = line(items, line_id)
    removed = session.execute(delete(Row).where(Row.line == line_id))
    if isinstance(removed, CursorResult) and removed.rowcount:
        _note(session, audit.TAKE_BACK, item, by=by, at=at)
    session.commit()
    return replace(item, acknowledgement=None)


def _note(session: Session, action: str, item: Item, *, by: str, at: datetime, **more: Any) -> None:
    job_id = None
    if item.job is not None:
        named = select(Job.id).where(Job.name == item.job, Job.deleted_at.is_(None))
        job_id = session.scalar(named)
    about = {"queue": item.queue, "channel": item.channel, **more}
    shown = {key: value for key, value in about.items() if value is not None}
    audit.note(session, action, by=by, at=at, job_id=job_id, kind=str(item.kind), **shown)
