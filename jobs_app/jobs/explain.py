"""Gathers the facts around an instant, to explain why a job ran then or not. Reads only."""

from dataclasses import dataclass, replace
from datetime import date, datetime, time
from itertools import islice
from uuid import UUID

from sqlalchemy.orm import Session

from jobs_app.core.states import FAILURES, JobState, Trigger
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.runs import Run
from jobs_app.jobs import explain_runs
from jobs_app.jobs.explain_context import ExplainedRun, FireContext, JobRules, Verdict
from jobs_app.jobs.explain_history import JobHistory, history_of, next_fire
from jobs_app.jobs.explain_text import explain_fire
from jobs_app.jobs.explain_when import (
    TICK,
    Day,
    DayTime,
    Moment,
    When,
    bounds,
    read,
    rough_instant,
)
from jobs_app.runs import last_line, pruning, status
from jobs_app.schedules import union as schedules
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.union import AnySchedule

#: Fires that an explanation counts to say whether `max_runs` is used up by then.
MAX_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for an instant; `run` is the run that it is about.

    `last_line` is the last line that this run wrote, if it failed, timed out or was lost.
    `previous` and `next` are the fires around it, by the schedule as it was then.
    """

    at: datetime
    verdict: Verdict
    sentence: str
    run: UUID | None
    last_line: str | None
    previous: Fire | None
    next: Fire | None


def explain(
    session: Session, name: str, when: When | DayTime | Day | None, *, at: datetime
) -> Explanation:
    """Explain, as of *at*, why the job called *name* did, did not or will not run then.

    Without *when*, explain the newest fire that is over, else the next one, and the newest run
    by hand if that is newer. A job without a schedule is explained by its newest run, and a
    deleted one by its deletion. A whole day is explained by its first fire, if it has any.
    This works for a deleted job too, as long as its history is kept. Raises NotFound.
    """
    if isinstance(when, DayTime):
        when = when.seen_at(at, _timezone_of(session, name, at))
    day, is_one_of_many = None, False
    if isinstance(when, Day):
        day = when.date_at(at, _timezone_of(session, name, at))
        when, is_one_of_many = _in_day(session, name, day)
    history = history_of(session, name, When(at) if when is None else when)
    row = None
    if when is None and history.job.deleted_at is None:
        row = _newest_without_instant(session, history, at=at)
    is_newest = when is None
    if when is None:
        when = When(history.newest_fire(at=at) if row is None else row.instant)
    guess = history.rules_at(rough_instant(when))
    # A local time is read in the zone that the job had then.
    rules = history.rules_at(read(when, guess.timezone).instant)
    moment = read(when, rules.timezone)
    context = _context(session, history, rules, moment, row, at=at)
    verdict, sentence = explain_fire(replace(context, day=day))
    if is_one_of_many:
        sentence += f" It is the first of several fires of {day}: name a time for another one."
    subject = context.run or (context.by_hand if context.fire is None else None)
    if is_newest and (run := _newer_by_hand(session, history, moment, subject, at=at)) is not None:
        by_hand = _context(session, history, rules, Moment(run.instant, TICK), run, at=at)
        sentence += f" Its newest run is not of the schedule. {explain_fire(by_hand)[1]}"
        subject = subject or by_hand.run
    return Explanation(
        at=moment.instant,
        verdict=verdict,
        sentence=sentence,
        run=None if subject is None else subject.id,
        last_line=_last_line(session, subject),
        previous=context.previous,
        next=context.next,
    )


def _last_line(session: Session, run: ExplainedRun | None) -> str | None:
    if run is None or run.state not in FAILURES:
        return None
    return last_line.of_attempt(session, run.id, run.attempt)


def _newest_without_instant(session: Session, history: JobHistory, *, at: datetime) -> Run | None:
    """Return the newest run of a job by hand, or of a start that is newer than all other fires."""
    schedule = history.rules_at(at).schedule
    if schedule is None:
        return explain_runs.newest(session, history.job)
    if not schedules.fires_on_start(schedule):
        return None
    row = explain_runs.newest_fired(session, history.job)
    last = schedules.previous_fire(schedule, before=at)
    is_newest = row is not None and (last is None or row.instant > last)
    return row if is_newest else None


def _newer_by_hand(
    session: Session,
    history: JobHistory,
    moment: Moment,
    subject: ExplainedRun | None,
    *,
    at: datetime,
) -> Run | None:
    """Return the newest run if it is by hand, and newer than the fire of *moment*."""
    run = explain_runs.newest(session, history.job)
    if run is None or run.trigger not in (Trigger.MANUAL, Trigger.RETRY_OF):
        return None
    if subject is not None and subject.id == run.id:
        return None
    return run if moment.instant < run.instant or moment.instant >= at else None


def _timezone_of(session: Session, name: str, at: datetime) -> str:
    """Return the time zone of the job at *at*; raises NotFound."""
    return history_of(session, name, When(at)).rules_at(at).timezone


def _in_day(session: Session, name: str, day: date) -> tuple[When, bool]:
    """Return the first fire of *day*, and whether there are more; the whole day if it has none."""
    midnight = When(datetime.combine(day, time()))
    history = history_of(session, name, midnight)
    begin, end = bounds(day, history.rules_at(rough_instant(midnight)).timezone)
    if fires := history.first_fires(begin, end, 2):
        return When(fires[0]), len(fires) > 1
    if begin <= history.job.created_at < end:
        # It existed for a part of the day.
        begin = history.job.created_at + TICK
    return When(begin, end - begin), False


def _context(
    session: Session,
    history: JobHistory,
    rules: JobRules,
    moment: Moment,
    row: Run | None,
    *,
    at: datetime,
) -> FireContext:
    """Return the facts around *moment*; *row* is the run in question, if that is known."""
    job, schedule = history.job, rules.schedule
    fire = _fire_in(schedule, moment, job.created_at)
    row = row or _run_of(session, job, schedule, fire, moment)
    can_fire = fire is not None and fire.at > job.created_at
    by_hand = None if can_fire else _started_by_hand(session, job, moment)
    if row is None and moment.instant <= job.created_at:
        # The job was created within the span: a run of it is the better answer.
        row = by_hand
    around = moment.instant if fire is None else fire.at
    watched = history.watched_since(around)
    return FireContext(
        at=at,
        instant=moment.instant,
        rules=rules,
        created_at=job.created_at,
        asked=moment.asked,
        fire=fire,
        previous=_previous(schedule, around),
        next=next_fire(schedule, around - TICK if fire is None else around),
        run=None if row is None else explain_runs.explained(row),
        other=None if row is None else explain_runs.other_run(session, row),
        by_hand=None if by_hand is None or fire is not None else explain_runs.explained(by_hand),
        has_runs=schedule is not None or explain_runs.newest(session, job) is not None,
        queue_workers=explain_runs.queue_workers(session, row),
        created_by=history.actor("create"),
        deleted_at=job.deleted_at,
        deleted_by=history.actor("delete"),
        pause=history.pause_at(around),
        pause_now=history.pause_now(),
        watched_since=None if watched is None else watched.at,
        watched_by=None if watched is None else watched.actor,
        max_runs=job.max_runs,
        is_over=job.state is JobState.ENDED if fire is None else _is_over(job, fire.at, at=at),
        ticked_at=status.last_tick(session),
        pruned_until=pruning.pruned_until(session, job.id),
    )


def _fire_in(schedule: AnySchedule | None, moment: Moment, created_at: datetime) -> Fire | None:
    """Return the first fire in the span after *created_at*, else the first one in the span."""
    asked = moment.asked
    if schedule is None:
        return None
    # A fire at the end of a gap belongs to 02:30 only if the schedule names 02:30.
    if moment.is_skipped and asked and not schedules.names_local_time(schedule, asked):
        return None
    if moment.instant <= created_at < moment.end:
        fire = next_fire(schedule, created_at)
        if fire is not None and fire.at < moment.end:
            return fire
    fire = next_fire(schedule, moment.instant - TICK)
    return fire if fire is not None and fire.at < moment.end else None


def _previous(schedule: AnySchedule | None, before: datetime) -> Fire | None:
    if schedule is None:
        return None
    fire = schedules.previous_fire(schedule, before=before)
    return None if fire is None else next_fire(schedule, fire - TICK)


def _run_of(
    session: Session, job: Job, schedule: AnySchedule | None, fire: Fire | None, moment: Moment
) -> Run | None:
    """Return the run of the fire, or the one that it was folded into."""
    if fire is not None:
        run = explain_runs.first_fired(session, job, fire.at, fire.at + TICK)
        if run is None and schedule is not None:
            run = explain_runs.folded_into(session, job, schedule, fire.at)
        return run
    if moment.is_skipped:
        return None
    return explain_runs.first_fired(session, job, moment.instant, moment.end)


def _started_by_hand(session: Session, job: Job, moment: Moment) -> Run | None:
    if moment.is_skipped:
        return None
    return explain_runs.started_by_hand(session, job, moment.instant, moment.end)


def _is_over(job: Job, fire: datetime, *, at: datetime) -> bool | None:
    """Tell whether the job ends before *fire*; None if too many fires come before it to count."""
    if job.state is JobState.ENDED:
        return True
    schedule = schedule_of(job)
    if job.max_runs is None or schedule is None or fire <= at:
        return False
    left = max(job.max_runs - job.runs_started, 0)
    fires = schedules.fires(schedule, after=at, until=fire)
    count = sum(1 for _ in islice(fires, min(left, MAX_COUNTED) + 1))
    return None if MAX_COUNTED < count <= left else count > left
