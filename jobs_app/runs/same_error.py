"""How often the error of a run has come before, and since when."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.core.run_error import RunError
from jobs_app.core.states import FINAL
from jobs_app.core.text import ordinal
from jobs_app.db import run_indexes
from jobs_app.db.models.runs import Run
from jobs_app.notifications.record import error_key

#: Runs of the job that are compared, the newest ones up to the run itself.
MOST_RUNS = 100

#: Characters of a message that are compared.
MOST_CHARS = 1000


@dataclass(frozen=True, slots=True)
class SameError:
    """How many runs of a job have ended with the same error since `since`, the first of them.

    Of MOST_RUNS runs: before these, others may have ended with it.
    """

    count: int
    since: datetime

    @property
    def ordinal(self) -> str:
        """The count as in "the 12th time"."""
        return ordinal(self.count)


def same_error(session: Session, run: Run) -> SameError | None:
    """Return how often the job of *run* had its error, up to it; None if it is the only time.

    Errors are the same if a channel that hears of them puts them into one message. One statement
    on an index; its cost does not depend on the length of the history.
    """
    if run.job_id is None or run.error is None or run.state not in FINAL:
        return None
    (index_range,) = run_indexes.of_job_in(run.job_id, run.state)
    message = func.substr(Run.error["message"].as_string(), 1, MOST_CHARS)
    statement = (
        select(Run.id, Run.instant, Run.exit_code, Run.error["type"].as_string(), message)
        .where(*index_range.guard, Run.instant <= run.instant)
        .order_by(*index_range.newest_first)
        .limit(MOST_RUNS)
    )
    rows = session.execute(statement).all()
    keys = {row.id: _key(run, row) for row in rows}
    # A run of the same instant with a higher id is a later one.
    same = [row for row in rows if keys[row.id] == keys.get(run.id) and not _is_later(row, run)]
    if len(same) < 2:
        return None
    return SameError(len(same), same[-1].instant)


def _is_later(row: Any, run: Run) -> bool:
    return bool((row.instant, row.id) > (run.instant, run.id))


def _key(run: Run, row: Any) -> str:
    _, _, exit_code, kind, message = row
    return error_key(run.state, RunError(kind or "", message or ""), exit_code)
