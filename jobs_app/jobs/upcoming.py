"""The next fires of all jobs, in one bounded statement, and those that a clock moves."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, case, func, literal, or_, select
from sqlalchemy.orm import Session

from jobs_app.core.states import JobState
from jobs_app.db.models.jobs import SCHEDULE_COLUMNS, Job, schedule_in
from jobs_app.schedules import schedule_json
from jobs_app.schedules.clock_changes import ClockChange, moved_fire
from jobs_app.schedules.union import AnySchedule, count_fires, parts_of

#: Jobs that are read.
MOST_JOBS = 100

#: Schedules with local times, which a change of the clock may move; one of several may be one.
_FOLLOWS_CLOCK = or_(Job.cron.is_not(None), Job.every.is_not(None))
_MAY_FOLLOW_CLOCK = or_(_FOLLOWS_CLOCK, Job.more_schedules.is_not(None))

#: The columns of the schedules of a job, but for the jitter, which changes no fire.
_COLUMNS = tuple(name for name in SCHEDULE_COLUMNS if name != "jitter_seconds")


@dataclass(frozen=True, slots=True)
class NextFires:
    """The jobs that fire at the same instant; `has_more` if there may be others."""

    at: datetime
    jobs: tuple[str, ...]
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Upcoming:
    """The next instants at which jobs fire, and the zones whose clock those jobs follow."""

    fires: list[NextFires]
    timezones: frozenset[str]


def upcoming(session: Session, *, limit: int) -> Upcoming:
    """Return the next *limit* instants at which jobs fire, each with its jobs by name."""
    statement = (
        select(Job.next_fire_at, Job.name, Job.timezone, Job.more_schedules)
        .add_columns(_FOLLOWS_CLOCK.label("follows_clock"))
        .where(Job.next_due_at.is_not(None))
        .order_by(Job.next_fire_at, Job.name)
        .limit(MOST_JOBS)
    )
    rows: Sequence[Any] = session.execute(statement).all()
    zones = {row.timezone for row in rows if row.follows_clock}
    texts = {row.more_schedules for row in rows} - {None}
    more = (one for text in texts for one in schedule_json.schedules_in(text, ""))
    zones |= {one.timezone for one in more if one.cron is not None or one.every is not None}
    return Upcoming([*_grouped(rows)][:limit], frozenset(zones))


def moved_jobs(session: Session, changes: Sequence[ClockChange], *, after: datetime) -> list[int]:
    """Return for each of *changes* how many jobs fire for a time that it moves, in one statement.

    A job does not count if its pause lasts longer, or if its `max_runs` end before.
    """
    moved = [0] * len(changes)
    if not changes:
        return moved
    for row in session.execute(_schedules({change.timezone for change in changes})):
        schedule = schedule_in(row, seed=row.seed)
        begin = max(after, row.paused_until or after)
        for index, change in enumerate(changes):
            if change.at <= begin:
                continue
            parts = [one for one in parts_of(schedule) if one.timezone == change.timezone]
            fires = [fire for one in parts if (fire := moved_fire(one, change)) is not None]
            if any(_comes(schedule, fire, begin, row.runs_left) for fire in fires):
                moved[index] += row.jobs
    return moved


def _comes(schedule: AnySchedule, fire: datetime, begin: datetime, runs_left: int | None) -> bool:
    if fire <= begin:
        return False
    return runs_left is None or count_fires(schedule, after=begin, until=fire) <= runs_left


def _schedules(timezones: Collection[str]) -> Select[Any]:
    """Return the statement for the schedules of *timezones*, each with the number of its jobs."""
    # Only `H` makes the fires of a schedule depend on the name of its job.
    uses_name = or_(Job.cron.contains("H"), Job.more_schedules.contains(schedule_json.NAMED))
    seed = case((uses_name, Job.name), else_="").label("seed")
    left = (Job.max_runs - Job.runs_started).label("runs_left")
    jitter = literal(0).label("jitter_seconds")
    columns = [*(getattr(Job, name) for name in _COLUMNS), seed, left, Job.paused_until]
    has_fires = or_(Job.state == JobState.ACTIVE, Job.paused_until.is_not(None))
    return (
        select(*columns, jitter, func.count().label("jobs"))
        .where(Job.deleted_at.is_(None), has_fires, _MAY_FOLLOW_CLOCK)
        .where(or_(Job.timezone.in_(timezones), Job.more_schedules.is_not(None)))
        .group_by(*columns)
    )


def _grouped(rows: Sequence[Any]) -> Iterator[NextFires]:
    is_cut = len(rows) == MOST_JOBS
    for at, group in groupby(rows, key=itemgetter(0)):
        jobs = tuple(row[1] for row in group)
        yield NextFires(at, jobs, has_more=is_cut and rows[-1][0] == at)
