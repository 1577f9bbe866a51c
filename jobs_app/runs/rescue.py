"""Rescues runs whose worker or process is gone: finishes them, or schedules a retry."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import Run
from jobs_app.runs.finish import finish
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.retry import RetryPolicy
from jobs_app.runs.sent_task import CELERY, lost, sent_by
from jobs_app.runs.transitions import owned

#: A running run whose worker is gone.
IS_ORPHAN = (
    Run.worker_id == Worker.id,
    run_indexes.is_in(RunState.RUNNING),
    run_indexes.IS_UNFINISHED,
    Worker.gone_at.is_not(None),
)


def orphans(session: Session, *, limit: int = 500) -> list[Row[Any]]:
    """Return the running runs whose worker is gone: those columns that `finish_lost` reads."""
    columns = (Run.id, Run.attempt, Run.job_id, Run.task, Run.retry, Run.worker_id, Run.result)
    return list(session.execute(select(*columns).where(*IS_ORPHAN).limit(limit)))


def finish_lost(
    session: Session,
    run: Run | Row[Any],
    attempt: int,
    *,
    reason: str,
    at: datetime,
    state: RunState = RunState.LOST,
) -> bool:
    """Finish an attempt of *run* whose process is gone, or schedule the next attempt.

    *run* may be one of `orphans`. A run that was asked to stop becomes cancelled, not lost. One
    whose task workers elsewhere have gets another attempt, which waits for it.
    False is normal: the process wrote its result before it died.
    """
    is_cancelled = select(Run.cancelled_by).where(
        *owned(run.id, attempt), Run.cancel_mode.is_not(None)
    )
    if session.scalars(is_cancelled).first() is not None:
        outcome = Outcome(RunState.CANCELLED)
    else:
        kind = "TimeLimitExceeded" if state is RunState.TIMED_OUT else "WorkerLost"
        outcome = Outcome(state, error=RunError(kind, reason), reason=reason)
        if run.task == CELERY:
            outcome = lost(outcome, attempt, sent_by(run.result, attempt))
    return finish(
        session,
        run.id,
        attempt,
        outcome,
        retry=RetryPolicy.from_json(run.retry),
        job_id=run.job_id,
        at=at,
        is_from_worker=False,
    )
