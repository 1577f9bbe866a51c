"""Keeps RedBeat's entries as the rows of the jobs say: repairs them, or writes all anew."""

import logging
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.redbeat_entries import Projection

log = logging.getLogger(__name__)

#: Entries that one pipeline writes, or that one step compares, which takes some milliseconds.
BATCH = 1000

#: From the beginning of one round through all jobs to that of the next one, seconds.
ROUND_SECONDS = 10.0


class RedBeatRepair:
    """Compares the entries in Redis with the jobs in the database; the rows are right."""

    def __init__(self, database: Database, projection: Projection) -> None:
        self._database = database
        self._projection = projection
        self._compared_until = 0
        self._next_round_at = -math.inf

    def rebuild(self) -> int:
        """Write every entry anew, and return how many."""
        count = 0
        for batch in self._active_jobs():
            self._projection.rebuild(batch)
            count += len(batch)
        log.info("projection_rebuilt jobs=%s", count)
        return count

    def compare_next(self, *, monotonic: float) -> int:
        """Repair the entries of the next jobs that differ from their rows.

        The next call goes on from there. All at once would delay the tick by seconds, with
        a hundred thousand jobs. A new round begins ROUND_SECONDS after the last one began.
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

    def compare(self) -> int:
        """Repair the entries that differ from their rows, and remove those without a row."""
        scores = self._projection.scores()
        wrong = last = 0
        while True:
            with self._database.reading() as session:
                rows = self._due_instants(session, after=last)
            differing = [
                job_id for job_id, due_at in rows if not _is_same(scores.pop(job_id, None), due_at)
            ]
            self._repair(differing)
            wrong += len(differing)
            if len(rows) < BATCH:
                break
            last = rows[-1][0]
        if scores:
            with self._database.reading() as session:
                # An entry made since we read the rows is no leftover.
                active = select(Job.id).where(Job.next_due_at.is_not(None), Job.id.in_(scores))
                leftovers = set(scores) - set(session.scalars(active))
            self._projection.write_scores(dict.fromkeys(leftovers))
            wrong += len(leftovers)
        if wrong:
            log.info("projection_mended entries=%s", wrong)
        return wrong

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

    def _active_jobs(self) -> Iterator[list[Job]]:
        """Yield the jobs with a next fire, in batches that are read one at a time."""
        last = 0
        while True:
            with self._database.reading() as session:
                batch = list(session.scalars(_next_jobs(Job, after=last)))
            # An empty batch too: it sets the mark that all entries are there.
            if batch or last == 0:
                yield batch
            if len(batch) < BATCH:
                return
            last = batch[-1].id


def _next_jobs(*columns: Any, after: int) -> Select[Any]:
    """Return the query for the next BATCH jobs by id that have a next fire."""
    has_fire = (Job.next_due_at.is_not(None), Job.id > after)
    return select(*columns).where(*has_fire).order_by(Job.id).limit(BATCH)


def _is_same(score: float | None, due_at: datetime) -> bool:
    """Tell whether an entry stands where its row says, to the millisecond."""
    return score is not None and abs(score - due_at.timestamp()) < 0.001
