"""Results that come too late to count: kept as a note on the attempt, never as the run's result."""

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from jobs_app.core.states import FINAL, RunState
from jobs_app.db.bulk_sql import rowcount
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.runs.outcome import Outcome

log = logging.getLogger(__name__)


def keep_late_result(
    session: Session, run_id: UUID, attempt: int, outcome: Outcome, *, at: datetime
) -> None:
    """Keep what an attempt brought after it had lost its run, as a note on its row."""
    note = {
        "state": outcome.state,
        "exit_code": outcome.exit_code,
        "error": outcome.error_json,
        "at": at.isoformat(),
    }
    kept = session.execute(
        update(Attempt)
        # The same state means that our own commit succeeded and only its answer got lost.
        .where(Attempt.run_id == run_id, Attempt.attempt == attempt, Attempt.state != outcome.state)
        .values(note=note)
        .execution_options(synchronize_session=False)
    )
    is_kept = bool(rowcount(kept))
    if not is_kept and not _add_last_attempt(session, run_id, attempt, outcome.state, note=note):
        return
    log.warning("late_result run=%s attempt=%s state=%s", run_id, attempt, outcome.state)


def _add_last_attempt(
    session: Session, run_id: UUID, attempt: int, state: RunState, *, note: dict[str, Any]
) -> bool:
    """Add a row for the last attempt of a finished run, to keep *note* on; False if none is due.

    None is due if the run finished as *state*, or if the attempt has a row already.
    """
    has_row = exists().where(Attempt.run_id == run_id, Attempt.attempt == attempt)
    row = session.execute(
        select(Run, Worker.name)
        .outerjoin(Worker, Worker.id == Run.worker_id)
        .where(Run.id == run_id, Run.attempt == attempt, Run.state.in_(FINAL))
        .where(Run.state != state, ~has_row)
    ).one_or_none()
    if row is None:
        return False
    run, worker = row
    session.add(
        Attempt(
            run_id=run_id,
            attempt=attempt,
            state=run.state,
            started_at=run.started_at,
            finished_at=run.finished_at,
            worker=worker,
            error=run.error,
            exit_code=run.exit_code,
            note=note,
        )
    )
    return True
