"""Gathers what is on record around an instant, to say why a job ran then or did not. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from jobs_app.core.errors import NotFound
from jobs_app.core.run_error import RunError
from jobs_app.core.states import (
    ACTIVE,
    CatchupPolicy,
    JobState,
    OverlapPolicy,
    RunState,
    Trigger,
)
from jobs_app.db import run_indexes
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.runs import IS_FOLDED, Run
from jobs_app.jobs.definition import definition_of, described
from jobs_app.jobs.explain_text import (
    Crew,
    Facts,
    Pause,
    Rules,
    RunFacts,
    Verdict,
    judge,
)
from jobs_app.runs import pruning, status
from jobs_app.runs.planning import MOST_COUNTED
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Fire, Schedule

_TICK = timedelta(microseconds=1)
_INSTANTS = ("anchor_at", "at", "start_at", "end_at")


@dataclass(frozen=True, slots=True)
class When:
    """What is asked about: a stretch of *length* from an instant on.

    `begin` is aware, or naive for a local time of the job's zone, which need not exist.
    """

    begin: datetime
    length: timedelta = _TICK


@dataclass(frozen=True, slots=True)
class _Moment:
    """A stretch of *length* from `instant` on, and the local time `asked` if one was given.

    One that comes twice is the first of the two, one that is skipped the end of the gap.
    """

    instant: datetime
    length: timedelta
    asked: datetime | None = None
    is_skipped: bool = False

    @property
    def end(self) -> datetime:
        """The end of the stretch, which is no part of it."""
        return self.instant + self.length


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became, or will become, of an instant; `run` is the run that it is about.

    `previous` and `next` are the fires around it, of the schedule as it was then.
    """

    at: datetime
    verdict: Verdict
    sentence: str
    run: UUID | None
    previous: Fire | None
    next: Fire | None


def explain(session: Session, name: str, when: When, *, at: datetime) -> Explanation:
    """Say why the job called *name* did, did not or will not run then, seen from *at*.

    A deleted job answers as long as its history is kept. Raises NotFound.
    """
    story = _story_of(session, name, when)
    guess = story.rules_at(_roughly(when))
    # The zone that was in force then is the one in which the person reads the clock.
    rules = story.rules_at(_read(when, guess.timezone).instant)
    moment = _read(when, rules.timezone)
    facts = _gather(session, story, rules, moment, at=at)
    verdict, sentence = judge(facts)
    subject = facts.run or (facts.by_hand if facts.fire is None else None)
    return Explanation(
        at=moment.instant,
        verdict=verdict,
        sentence=sentence,
        run=None if subject is None else subject.id,
        previous=facts.previous,
        next=facts.next,
    )


@dataclass(frozen=True, slots=True)
class _Story:
    """A job and what was done to it, oldest first."""

    job: Job
    events: list[AuditEvent]

    def rules_at(self, instant: datetime) -> Rules:
        """Return what was said of the job at *instant*; a change rules the fires after it."""
        present = described(definition_of(self.job))
        said = present
        changes = [event for event in self.events if event.action in {"create", "change"}]
        earlier = [event for event in changes if event.at < instant]
        later = [event for event in changes if event.at >= instant]
        if earlier:
            said = earlier[-1].detail.get("after", present)
        elif later:
            # Asked about a time before the first definition: that one answers.
            said = later[0].detail.get("before") or later[0].detail.get("after", present)
        return _rules(said, is_present=said.get("schedule") == present["schedule"])

    def pause_at(self, instant: datetime) -> Pause | None:
        """Return the pause that *instant* lies in."""
        return next((each for each in self.pauses() if _is_within(instant, each)), None)

    def pause_now(self) -> Pause | None:
        """Return the pause that lasts."""
        job = self.job
        if job.state is not JobState.PAUSED or job.paused_at is None:
            return None
        return Pause(job.paused_at, job.paused_by, job.paused_reason)

    def pauses(self) -> Iterable[Pause]:
        """Yield the pauses on record, and the one that lasts."""
        begun: AuditEvent | None = None
        for event in self.events:
            if event.action == "pause" and begun is None:
                begun = event
            elif event.action == "resume" and begun is not None:
                reason = begun.detail.get("reason")
                yield Pause(begun.at, begun.actor, reason, event.at, event.actor)
                begun = None
        if (lasting := self.pause_now()) is not None:
            yield lasting

    def actor(self, action: str) -> str | None:
        """Return who did *action* last."""
        return next((each.actor for each in reversed(self.events) if each.action == action), None)


def _is_within(instant: datetime, pause: Pause) -> bool:
    return pause.since < instant and (pause.until is None or instant <= pause.until)


def _story_of(session: Session, name: str, when: When) -> _Story:
    """Return the job of that name which lived then, else the newest one; raises NotFound."""
    named = list(session.scalars(select(Job).where(Job.name == name).order_by(Job.id.desc())))
    if not named:
        raise NotFound(f"There is no job {name!r}.", code="job_not_found")
    instant = _roughly(when)
    job = next((each for each in named if each.created_at <= instant), named[-1])
    if job.deleted_at is not None and job.deleted_at < instant and job is not named[0]:
        # Between two jobs of that name: the later one says that it did not exist yet.
        job = named[named.index(job) - 1]
    events = select(AuditEvent).where(AuditEvent.job_id == job.id).order_by(AuditEvent.id)
    kinds = ("create", "change", "pause", "resume", "delete")
    return _Story(job, list(session.scalars(events.where(AuditEvent.action.in_(kinds)))))


def _rules(said: dict[str, Any], *, is_present: bool) -> Rules:
    """Return a definition of the audit as what decides about fires."""
    given = said.get("schedule")
    schedule = None
    if given is not None:
        instants = {
            name: datetime.fromisoformat(given[name]) for name in _INSTANTS if given.get(name)
        }
        schedule = Schedule(**(given | instants), seed=said["name"])
    return Rules(
        schedule=schedule,
        timezone="UTC" if schedule is None else schedule.timezone,
        overlap_policy=OverlapPolicy(said["overlap_policy"]),
        starting_deadline_seconds=said["starting_deadline_seconds"],
        catchup_policy=CatchupPolicy(said["catchup_policy"]),
        catchup_window_seconds=said["catchup_window_seconds"],
        catchup_max_runs=said["catchup_max_runs"],
        is_present=is_present,
    )


def _roughly(when: When) -> datetime:
    """Return the instant, give or take the offset of a zone that is not known yet."""
    return when.begin if when.begin.tzinfo else when.begin.replace(tzinfo=UTC)


def _read(when: When, timezone: str) -> _Moment:
    if when.begin.tzinfo is not None:
        return _Moment(when.begin.astimezone(UTC), when.length)
    readings = schedules.readings(timezone, when.begin)
    if readings:
        return _Moment(readings[0], when.length, when.begin)
    _, end = schedules.after_gap(timezone, when.begin)
    return _Moment(end, when.length, when.begin, is_skipped=True)


def _gather(
    session: Session, story: _Story, rules: Rules, moment: _Moment, *, at: datetime
) -> Facts:
    job, schedule = story.job, rules.schedule
    fire = _fire_in(schedule, moment)
    row = _row_of(session, job, schedule, fire, moment)
    around = moment.instant if fire is None else fire.at
    return Facts(
        at=at,
        instant=moment.instant,
        rules=rules,
        created_at=job.created_at,
        asked=moment.asked,
        fire=fire,
        previous=_previous(schedule, around),
        next=_next(schedule, around - _TICK if fire is None else around),
        run=None if row is None else _told(row),
        other=None if row is None else _other(session, row),
        by_hand=None if fire is not None else _by_hand(session, job, moment),
        crew=_crew(session, row),
        created_by=story.actor("create"),
        deleted_at=job.deleted_at,
        deleted_by=story.actor("delete"),
        pause=story.pause_at(around),
        pause_now=story.pause_now(),
        max_runs=job.max_runs,
        is_over=fire is not None and _is_over(job, fire.at, at=at),
        ticked_at=status.last_tick(session),
        pruned_until=pruning.pruned_until(session, job.id),
    )


def _fire_in(schedule: Schedule | None, moment: _Moment) -> Fire | None:
    """Return the first fire of the stretch."""
    asked = moment.asked
    if schedule is None:
        return None
    # What fires at the end of a gap is the fire of 02:30 only if the schedule names 02:30.
    if moment.is_skipped and asked and not schedules.names_local_time(schedule, asked):
        return None
    found = _next(schedule, moment.instant - _TICK)
    return found if found is not None and found.at < moment.end else None


def _previous(schedule: Schedule | None, before: datetime) -> Fire | None:
    if schedule is None:
        return None
    fire = schedules.previous_fire(schedule, before=before)
    return None if fire is None else _next(schedule, fire - _TICK)


def _next(schedule: Schedule | None, after: datetime) -> Fire | None:
    if schedule is None:
        return None
    return next(iter(schedules.preview(schedule, after=after, count=1)), None)


def _row_of(
    session: Session, job: Job, schedule: Schedule | None, fire: Fire | None, moment: _Moment
) -> Run | None:
    """Return the row of the fire, or the one that it was folded into."""
    if fire is None and moment.is_skipped:
        return None
    begin, end = (moment.instant, moment.end) if fire is None else (fire.at, fire.at + _TICK)
    statement = select(Run).where(Run.job_id == job.id)
    row = session.scalars(
        statement.where(Run.scheduled_for >= begin, Run.scheduled_for < end)
        .order_by(Run.scheduled_for)
        .limit(1)
    ).first()
    if row is not None or fire is None or schedule is None:
        return row
    folded = session.scalars(
        statement.where(text(f"runs.{IS_FOLDED}"), Run.scheduled_for < fire.at)
        .order_by(Run.scheduled_for.desc())
        .limit(1)
    ).first()
    if folded is None or folded.scheduled_for is None or not 1 < folded.fires <= MOST_COUNTED + 1:
        return None
    later = schedules.fires(schedule, after=folded.scheduled_for, until=fire.at)
    return folded if len(list(islice(later, folded.fires))) < folded.fires else None


def _by_hand(session: Session, job: Job, moment: _Moment) -> RunFacts | None:
    _, line = run_indexes.of_job(job.id)
    started = (
        select(Run)
        .where(*line.guard, Run.trigger.in_((Trigger.MANUAL, Trigger.RETRY_OF)))
        .where(line.instant >= moment.instant, line.instant < moment.end)
        .order_by(*line.oldest_first)
        .limit(1)
    )
    row = None if moment.is_skipped else session.scalars(started).first()
    return None if row is None else _told(row)


def _other(session: Session, row: Run) -> RunFacts | None:
    """Return the run that stood in the way of *row*, or that was run in its place."""
    if row.state is RunState.MISSED and row.reason == "catchup_last":
        later = (
            select(Run)
            .where(Run.job_id == row.job_id, Run.scheduled_for > row.scheduled_for)
            .where(Run.state != RunState.MISSED)
            .order_by(Run.scheduled_for)
            .limit(1)
        )
        found = session.scalars(later).first()
        return None if found is None else _told(found)
    if row.state is RunState.WAITING:
        return _unfinished_then(session, row, Run.state.in_(ACTIVE))
    if row.state is RunState.SKIPPED:
        # The one that ran then; or, with buffer_one, the one that waited for it already.
        running = _unfinished_then(session, row, Run.started_at <= row.created_at)
        return running or _unfinished_then(session, row)
    return None


def _unfinished_then(session: Session, row: Run, *also: ColumnElement[bool]) -> RunFacts | None:
    """Return the newest other run of the job that had not ended when *row* was recorded."""
    found: list[Run] = []
    for line in run_indexes.of_job(row.job_id):
        statement = (
            select(Run)
            .where(*line.guard, Run.id != row.id, line.instant <= row.created_at, *also)
            .where(
                Run.created_at <= row.created_at,
                Run.state.not_in((RunState.SKIPPED, RunState.MISSED)),
                Run.finished_at.is_(None) | (Run.finished_at > row.created_at),
            )
            .order_by(*line.newest_first)
            .limit(1)
        )
        found += session.scalars(statement)
    return _told(max(found, key=lambda run: (run.instant, run.id))) if found else None


def _crew(session: Session, row: Run | None) -> Crew | None:
    """Return who serves the queue of a run that nobody has taken yet."""
    if row is None or row.state is not RunState.QUEUED:
        return None
    workers = [each for each in status.workers(session) if row.queue in each.queues]
    ids = [each.id for each in workers]
    running = select(func.count()).where(Run.state == RunState.RUNNING, Run.worker_id.in_(ids))
    places = sum(each.concurrency for each in workers)
    same_key = 0
    if row.concurrency_key is not None:
        mates = select(func.count()).where(Run.concurrency_key == row.concurrency_key)
        same_key = session.scalars(mates.where(Run.state == RunState.RUNNING)).one()
    busy = session.scalars(running).one() if ids else 0
    return Crew(len(workers), places, busy, same_key)


def _is_over(job: Job, fire: datetime, *, at: datetime) -> bool:
    """Say whether the job has ended before *fire*, or will have by then."""
    if job.state is JobState.ENDED:
        return True
    schedule = schedule_of(job)
    if job.max_runs is None or schedule is None or fire <= at:
        return False
    left = max(job.max_runs - job.runs_started, 0)
    coming = schedules.fires(schedule, after=at, until=fire)
    return len(list(islice(coming, left + 1))) > left


def _told(row: Run) -> RunFacts:
    error = RunError.from_json(row.error)
    return RunFacts(
        id=row.id,
        state=row.state,
        trigger=row.trigger,
        created_at=row.created_at,
        scheduled_for=row.scheduled_for,
        reason=row.reason,
        fires=row.fires,
        queue=row.queue,
        attempt=row.attempt,
        concurrency_key=row.concurrency_key,
        concurrency_limit=row.concurrency_limit,
        triggered_by=row.triggered_by,
        cancelled_by=row.cancelled_by,
        not_before=row.not_before,
        started_at=row.started_at,
        finished_at=row.finished_at,
        exit_code=row.exit_code,
        error=None if error is None else error.message or None,
    )
