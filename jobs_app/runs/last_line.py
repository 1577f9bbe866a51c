"""The last line that a run wrote, which often says why it failed."""

from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, case, func, select
from sqlalchemy.orm import Session, aliased

from jobs_app.core.escape_sequences import plain
from jobs_app.db.models.runs import LogChunk

#: Characters at the end of a log in which the line is looked for.
SEARCHED_CHARS = 2000

#: Characters of the line that are shown.
MOST_CHARS = 200


def log_end(run_id: Any, attempt: Any) -> ScalarSelect[str]:
    """Return a subquery for the end of the output of an attempt; null if it wrote nothing.

    A line may begin in the chunk before the last one, and the last one may be blank.
    """
    before = aliased(LogChunk)
    is_before = (
        (before.run_id == LogChunk.run_id)
        & (before.attempt == LogChunk.attempt)
        & (before.seq == LogChunk.seq - 1)
    )
    is_short = func.length(LogChunk.text) < SEARCHED_CHARS
    output = case((is_short, func.coalesce(before.text, "")), else_="") + LogChunk.text
    length = func.length(output)
    begin = case((length > SEARCHED_CHARS, length - SEARCHED_CHARS + 1), else_=1)
    newest_first = (
        select(func.substr(output, begin))
        .select_from(LogChunk)
        .outerjoin(before, is_before)
        .where(LogChunk.run_id == run_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.seq.desc())
    )
    return newest_first.limit(1).scalar_subquery()


def last_line(end: str | None) -> str | None:
    """Return the last line of the *end* of a log that is not blank, at most MOST_CHARS of it.

    None if there is none. It has no control characters.
    """
    lines = plain(end or "").strip().splitlines()
    if not lines:
        return None
    line = lines[-1].strip()
    return line if len(line) <= MOST_CHARS else f"{line[:MOST_CHARS]}…"


def of_attempt(session: Session, run_id: UUID, attempt: int) -> str | None:
    """Return the last line that an attempt of a run wrote; None if it wrote none."""
    return last_line(session.scalar(select(log_end(run_id, attempt))))
