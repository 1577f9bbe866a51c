"""How a job has done: counts that never fall, how long its runs take, how late they start."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text, union_all
from sqlalchemy.orm import Session

from jobs_app.core.states import FAILURES, RunState
from jobs_app.db import run_indexes
from jobs_app.db.bulk_sql import in_values
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import IS_OVER, Attempt, PrunedRuns, Run
from jobs_app.runs import pruning

#: The outcomes that a success rate is made of: what was cancelled or never tried says nothing.
TRIED = (RunState.SUCCEEDED, *FAILURES)


@dataclass(frozen=True, slots=True)
class Spread:
    """Where seconds lie: half of them up to `p50`, 95 of 100 up to `p95`."""

    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest runs that were tried to their end.

    `duration_seconds` is from the start of the first attempt to the end, `delay_seconds` from
    the due instant to that start. They are None where nothing is known of any.
    """

    runs: int
    success_rate: float | None
    duration_seconds: Spread | None
    delay_seconds: Spread | None


@dataclass(frozen=True, slots=True)
class Stats:
    """What is known of all runs of a job, those that are no longer kept among them in `counts`."""

    counts: dict[RunState, int]
    kept: int
    recent: Recent
    last_success: Run | None
    last_failure: Run | None
    oldest_at: datetime | None

    @property
    def success_rate(self) -> float | None:
        """The share of those tried to their end that succeeded; None before the first."""
        return _rate(self.counts)


def of_job(session: Session, job: Job, *, last: int) -> Stats:
    """Return the stats of *job*; those of `recent` are about its newest *last* runs."""
    live = _live_counts(session, job.id)
    gone = select(PrunedRuns.state, PrunedRuns.count).where(PrunedRuns.job_id == job.id)
    counts = live + Counter(dict(session.execute(gone).all()))
    newest = {
        state: session.scalars(_newest(job.id, state, Run, count=1)).first() for state in TRIED
    }
    failures = [run for state, run in newest.items() if run and state in FAILURES]
    return Stats(
        counts={state: counts[state] for state in RunState if counts[state]},
        kept=live.total(),
        recent=_recent(session, job.id, last=last),
        last_success=newest[RunState.SUCCEEDED],
        last_failure=max(failures, key=lambda run: (run.instant, run.id), default=None),
        oldest_at=pruning.nth_oldest(session, job.id, 0),
    )


def _live_counts(session: Session, job_id: int) -> Counter[RunState]:
    counts: Counter[RunState] = Counter()
    for condition in (text(f"runs.{IS_OVER}"), *run_indexes.UNFINISHED_OF_JOB):
        statement = (
            select(Run.state, func.count())
            .where(Run.job_id == job_id, condition)
            .group_by(Run.state)
        )
        counts.update(dict(session.execute(statement).all()))
    return counts


def _newest(job_id: int, state: RunState, *columns: Any, count: int) -> Select[Any]:
    """Return *columns* of the newest runs of a job that ended in *state*."""
    return (
        select(*columns)
        .where(Run.job_id == job_id, Run.state == state, text(f"runs.{IS_OVER}"))
        .order_by(Run.instant.desc(), Run.id.desc())
        .limit(count)
    )


def _recent(session: Session, job_id: int, *, last: int) -> Recent:
    instant = Run.instant.label("instant")
    columns = (Run.id, Run.state, Run.attempt, Run.started_at, Run.finished_at, instant)
    branches = [_newest(job_id, state, *columns, count=last).subquery() for state in TRIED]
    merged = union_all(*(select(branch) for branch in branches)).subquery()
    newest = select(merged).order_by(merged.c.instant.desc(), merged.c.id.desc()).limit(last)
    rows = session.execute(newest).all()
    # A later attempt has overwritten the start of the first.
    first = _first_starts(session, [row.id for row in rows if row.attempt > 1])
    starts = [row.started_at if row.attempt == 1 else first.get(row.id) for row in rows]
    started = [(row, start) for row, start in zip(rows, starts, strict=True) if start is not None]
    return Recent(
        runs=len(rows),
        success_rate=_rate(Counter(row.state for row in rows)),
        duration_seconds=spread(
            (row.finished_at - start).total_seconds()
            for row, start in started
            if row.finished_at is not None
        ),
        delay_seconds=spread(
            max((start - row.instant).total_seconds(), 0.0) for row, start in started
        ),
    )


def _first_starts(session: Session, run_ids: Sequence[UUID]) -> dict[UUID, datetime | None]:
    """Return when the first attempt of each of *run_ids* started, where that is known."""
    statement = (
        select(Attempt.run_id, func.min(Attempt.started_at))
        .where(in_values(session, Attempt.run_id, run_ids), Attempt.started_at.is_not(None))
        .group_by(Attempt.run_id)
    )
    return dict(session.execute(statement).all()) if run_ids else {}


def _rate(counts: Mapping[RunState, int]) -> float | None:
    tried = sum(counts.get(state, 0) for state in TRIED)
    return round(counts.get(RunState.SUCCEEDED, 0) / tried, 6) if tried else None


def spread(seconds: Iterable[float]) -> Spread | None:
    """Return where *seconds* lie, None if there are none."""
    durations = sorted(round(duration, 6) for duration in seconds)
    if not durations:
        return None
    return Spread(p50=_share(durations, 0.5), p95=_share(durations, 0.95), max=durations[-1])


def _share(durations: Sequence[float], share: float) -> float:
    """Return the least value that so large a *share* of them does not exceed (nearest rank)."""
    return durations[max(math.ceil(len(durations) * share) - 1, 0)]
