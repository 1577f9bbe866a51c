"""Writes a run's state: always by a conditional UPDATE whose row count is read."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, update
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.runs import Run


def owned(run_id: Any, attempt: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the guard of a worker's writes: this attempt of this run, and still running."""
    return (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.RUNNING)


def move(session: Session, guard: Sequence[ColumnElement[bool]], **values: Any) -> bool:
    """Change the runs that fit *guard*; tell whether there were any."""
    statement = update(Run).where(*guard).values(**values)
    result = session.execute(statement.execution_options(synchronize_session=False))
    return bool(rowcount(result))
