"""Keeps RedBeat's entries as the rows of the jobs say: repairs them, or writes all anew."""

import logging
import math
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from jobs_app.db import bulk_sql
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.redbeat_entries import Projection

log = logging.getLogger(__name__)

#: Entries that one pipeline writes, or that one step compares, which takes some milliseconds.
BATCH = 1000

#: From the beginning of one round through all jobs to that of the next one, seconds.
ROUND_SECONDS = 10.0

#: The same for a round through all entries.
LEFTOVER_ROUND_SECONDS = 3600.0


class RedBeatRepair:
    """Compares the entries in Redis with the jobs in the database; the rows are right.

    Each step takes some milliseconds, however many jobs there are: all at once would delay
    the tick by minutes, with a million.
    """

    def __init__(self, database: Database, projection: Projection) -> None:
        self._database = database
        self._projection = projection
        self._rebuilt_until = 0
        self._compared_until = 0
        self._next_round_at = -math.inf
        self._leftover_cursor = 0
        self._next_leftover_round_at = -math.inf

    def start_over(self) -> None:
        """Let the next rebuild begin with the first job: another scheduler may have begun one."""
        self._rebuilt_until = 0

    @property
    def is_rebuilding(self) -> bool:
        """Whether a rebuild has begun and not ended."""
        return self._rebuilt_until != 0

    def rebuild_next(self) -> bool:
        """Write the entries of the next jobs anew; return whether all entries are there now.

        If Redis loses its data again meanwhile, the next call begins with the first job.
        """
        if not self.is_rebuilding:
            self._projection.begin_rebuild()
        with self._database.reading() as session:
            jobs = list(session.scalars(_next_jobs(Job, after=self._rebuilt_until)))
        self._projection.rebuild(jobs)
        if len(jobs) == BATCH:
            self._rebuilt_until = jobs[-1].id
            return False
        self._rebuilt_until = 0
        if not self._projection.end_rebuild():
            return False
        log.info("projection_rebuilt")
        return True

    def compare_next(self, *, monotonic: float) -> int:
        """Repair the entries of the next jobs that differ from their rows.

        The next call goes on from there. A new round begins ROUND_SECONDS after the last one
        began.
        """
        if self._compared_until == 0:
            if monotonic < self._next_round_at:
                return 0
            self._next_round_at = monotonic + ROUND_SECONDS
        with self._database.reading() as session:
            rows = self._due_instants(session, after=self._compared_until)
        scores = self._projection.scores_of([job_id for job_id, _ in rows])
        differing = [job_id for job_id, due_at in rows if not _is_same(scores.get(job_id), due_at)]
        self._repair(differing)
        self._compared_until = rows[-1][0] if len(rows) == BATCH else 0
        return len(differing)

    def remove_leftovers(self, *, monotonic: float) -> int:
        """Remove those of the next entries whose jobs have no next fire, or are gone.

        The next call goes on from there. A new round begins LEFTOVER_ROUND_SECONDS after the
        last one began.
        """
        if self._leftover_cursor == 0:
            if monotonic < self._next_leftover_round_at:
                return 0
            self._next_leftover_round_at = monotonic + LEFTOVER_ROUND_SECONDS
        # The entries first: the row of an entry that is made meanwhile is there.
        self._leftover_cursor, job_ids = self._projection.scan(self._leftover_cursor, count=BATCH)
        with self._database.reading() as session:
            of_these = bulk_sql.in_values(session, Job.id, job_ids)
            active = select(Job.id).where(Job.next_due_at.is_not(None), of_these)
            leftovers = set(job_ids).difference(session.scalars(active)) if job_ids else set()
        self._projection.write_scores(dict.fromkeys(leftovers))
        if leftovers:
            log.info("leftover_entries_removed jobs=%s", len(leftovers))
        return len(leftovers)

    def _due_instants(self, session: Session, *, after: int) -> list[tuple[int, datetime]]:
        """Return the next jobs by id that have a next fire, each with its due instant."""
        rows = session.execute(_next_jobs(Job.id, Job.next_due_at, after=after))
        return [(row.id, row.next_due_at) for row in rows]

    def _repair(self, job_ids: list[int]) -> None:
        """Write the entries of *job_ids* anew, as their rows are now."""
        if not job_ids:
            return
        with self._database.reading() as session:
            mine = select(Job).where(Job.id.in_(job_ids), Job.next_due_at.is_not(None))
            jobs = list(session.scalars(mine))
        # Not `rebuild`: after a FLUSHALL its mark would claim that all entries are there.
        self._projection.write(jobs)
        log.info("entries_mended jobs=%s", len(jobs))


def _next_jobs(*columns: Any, after: int) -> Select[Any]:
    """Return the query for the next BATCH jobs by id that have a next fire."""
    has_fire = (Job.next_due_at.is_not(None), Job.id > after)
    return select(*columns).where(*has_fire).order_by(Job.id).limit(BATCH)


def _is_same(score: float | None, due_at: datetime) -> bool:
    """Tell whether an entry stands where its row says, to the millisecond."""
    return score is not None and abs(score - due_at.timestamp()) < 0.001
