"""Which of the janitor's rules have work: one statement for all, since most seconds have none."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BindParameter, bindparam, exists, select
from sqlalchemy.orm import Session

from jobs_app.db import run_indexes
from jobs_app.db.columns import Base
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.db.run_indexes import Condition
from jobs_app.jobs import pause_end
from jobs_app.runs import concurrency, due_retries, outbox, rescue


class Work(StrEnum):
    """Rows that a rule of the janitor changes, or looks at more closely."""

    DUE_RETRIES = "due_retries"
    UNSENT_MESSAGES = "unsent_messages"
    ORPHANS = "orphans"
    PARKED_RUNS = "parked_runs"
    WAITING_RUNS = "waiting_runs"
    ENDED_PAUSES = "ended_pauses"


_AT: BindParameter[datetime] = bindparam("at")

_CONDITIONS: dict[Work, tuple[type[Base], Sequence[Condition]]] = {
    Work.DUE_RETRIES: (Run, due_retries.is_due(_AT)),
    Work.UNSENT_MESSAGES: (Run, outbox.is_unsent(_AT)),
    Work.ORPHANS: (Run, rescue.IS_ORPHAN),
    Work.PARKED_RUNS: (Run, [concurrency.IS_PARKED]),
    Work.WAITING_RUNS: (Run, [run_indexes.IS_WAITING]),
    Work.ENDED_PAUSES: (Job, pause_end.has_ended(_AT)),
}

# Built once, which takes longer than the query. Each condition has a partial index, which is
# empty most of the time.
_STATEMENT = select(
    *(
        exists().select_from(model).where(*conditions).label(work)
        for work, (model, conditions) in _CONDITIONS.items()
    )
)


def pending_work(session: Session, *, at: datetime) -> frozenset[Work]:
    """Return the kinds of work that there is at *at*."""
    row = session.execute(_STATEMENT, {"at": at}).one()
    return frozenset(work for work, is_pending in zip(_CONDITIONS, row, strict=True) if is_pending)
