"""Finishes one run and claims another in one transaction, as a busy worker does."""

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
    finished_id: UUID,
    finished_attempt: int,
    outcome: Outcome,
    *,
    finished_at: datetime,
    run_id: UUID,
    attempt: int,
    worker_id: UUID,
    at: datetime,
) -> tuple[bool | None, ClaimedRun | None]:
    """Do what `finish_plain` does for one run and `claim_plain` for the other.

    Return what these two return; either may fail alone. *outcome* must be plain.
    """
    has_log = outcome.log_bytes is not None
    finish = plain_finish_values(finished_id, finished_attempt, outcome, at=finished_at)
    claim = claim_values(run_id, attempt, worker_id=worker_id, at=at)
    if connection.dialect.name == "postgresql":
        row = connection.execute(_one_statement(has_log=has_log), finish | claim).one()
        has_waiting_run = row.has_waiting_run
        claimed = None if row.claimed_id is None else row
    else:
        has_waiting_run = connection.execute(
            plain_finish_statement(has_log=has_log), finish
        ).scalar_one_or_none()
        claimed = connection.execute(CLAIM, claim).one_or_none()
    connection.commit()
    if has_waiting_run is not None:
        log.info("run_succeeded run=%s attempt=%s", finished_id, finished_attempt)
        has_waiting_run = bool(has_waiting_run)
    if claimed is None:
        return has_waiting_run, None
    return has_waiting_run, claimed_of(run_id, attempt, claimed, worker_id=worker_id, at=at)


@cache
def _one_statement(*, has_log: bool) -> Select[Any]:
    """Return both statements as a single one, for which PostgreSQL needs no BEGIN or COMMIT."""
    finish, claim = plain_finish_statement(has_log=has_log).cte("finished"), CLAIM.cte("claimed")
    one = select(literal(1)).subquery("one")
    return select(finish.c.has_waiting_run, claim).select_from(
        one.outerjoin(finish, true()).outerjoin(claim, true())
    )
