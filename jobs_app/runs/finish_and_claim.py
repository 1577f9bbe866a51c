"""One run's end and another one's claim, in one transaction: what a busy worker does most."""

import logging
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, literal, select, true

from jobs_app.runs.claim import CLAIM, ClaimedRun, claim_values, claimed_of
from jobs_app.runs.finish import plain_finish_statement, plain_finish_values
from jobs_app.runs.outcome import Outcome

log = logging.getLogger(__name__)


def finish_and_claim(
    connection: Connection,
    ended_id: UUID,
    ended_attempt: int,
    outcome: Outcome,
    *,
    ended_at: datetime,
    run_id: UUID,
    attempt: int,
    worker_id: UUID,
    at: datetime,
) -> tuple[bool | None, ClaimedRun | None]:
    """Do what `finish_plain` does with the one run and `claim_plain` with the other.

    Returns what those two return; either may fail alone. *outcome* is a plain one.
    """
    has_log = outcome.log_bytes is not None
    end = plain_finish_values(ended_id, ended_attempt, outcome, at=ended_at)
    claim = claim_values(run_id, attempt, worker_id=worker_id, at=at)
    if connection.dialect.name == "postgresql":
        row = connection.execute(_together(has_log=has_log), end | claim).one()
        has_waiting_run, found = row.has_waiting_run, None if row.claimed_id is None else row
    else:
        has_waiting_run = connection.execute(
            plain_finish_statement(has_log=has_log), end
        ).scalar_one_or_none()
        found = connection.execute(CLAIM, claim).one_or_none()
    connection.commit()
    if has_waiting_run is not None:
        log.info("run_succeeded run=%s attempt=%s", ended_id, ended_attempt)
        has_waiting_run = bool(has_waiting_run)
    if found is None:
        return has_waiting_run, None
    return has_waiting_run, claimed_of(run_id, attempt, found, worker_id=worker_id, at=at)


@cache
def _together(*, has_log: bool) -> Select[Any]:
    """Return both statements as one, which PostgreSQL commits by itself."""
    end, claim = plain_finish_statement(has_log=has_log).cte("ended"), CLAIM.cte("claimed")
    one = select(literal(1)).subquery("one")
    return select(end.c.has_waiting_run, claim).select_from(
        one.outerjoin(end, true()).outerjoin(claim, true())
    )
