"""Runs as the API shows them, with what those wait for that have not started."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from jobs_app.db.models.runs import Run
from jobs_app.runs.waits import served_queues, waits_for
from jobs_app.web.api.schemas.runs import show_run


def shown_runs(session: Session, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return *runs* as JSON; `history` must have loaded them."""
    served = served_queues(session, runs)
    return [show_run(run, waits_for(run, is_served=run.queue in served)) for run in runs]


def shown_run(session: Session, run: Run) -> dict[str, Any]:
    """Return *run* as JSON; `history` must have loaded it."""
    (shown,) = shown_runs(session, [run])
    return shown
