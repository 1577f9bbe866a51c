"""The progress that a running attempt reports."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from jobs_app.runs.transitions import move, owned


def report_progress(session: Session, run_id: UUID, attempt: int, progress: dict[str, Any]) -> bool:
    """Store the progress of a running attempt; False if it is no longer the one that counts."""
    moved = move(session, owned(run_id, attempt), progress=progress)
    session.commit()
    return moved
