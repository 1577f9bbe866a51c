"""Gathers the facts around an instant, to explain why a job ran then or not. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.errors import NotFound
from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.runs import Run
from jobs_app.jobs import explain_runs
from jobs_app.jobs.definition import definition_of, described
from jobs_app.jobs.explain_context import FireContext, JobRules, Pause, Verdict
from jobs_app.jobs.explain_text import explain_fire
from jobs_app.jobs.explain_when import TICK, DayTime, Moment, When, read, rough_instant
from jobs_app.runs import pruning, status
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Fire, Schedule

#: Fires that an explanation counts to say whether `max_runs` is used up by then.
MAX_COUNTED = 10_000

#: Older versions of a job's schedule than this many are not searched for its newest fire.
_MOST_VERSIONS = 50

_INSTANTS = ("anchor_at", "at", "start_at", "end_at")


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for an instant; `run` is the run that it is about.

    `previous` and `next` are the fires around it, by the schedule as it was then.
    """

    at: datetime
    verdict: Verdict
    sentence: str
    run: UUID | None
    previous: Fire | None
    next: Fire | None


def explain(
    session: Session, name: str, when: When | DayTime | None, *, at: datetime
) -> Explanation:
    """Explain, as of *at*, why the job called *name* did, did not or will not run then.

    Without *when*, explain the newest fire that is over, else the next one. A job without a
    schedule is explained by its newest run, and a deleted one by its deletion.
    This works for a deleted job too, as long as its history is kept. Raises NotFound.
    """
    if isinstance(when, DayTime):
        when = when.seen_at(at, _history_of(session, name, When(at)).rules_at(at).timezone)
    history = _history_of(session, name, When(at) if when is None else when)
    row = None
    is_manual = history.job.deleted_at is None and history.rules_at(at).schedule is None
    if when is None and is_manual:
        row = explain_runs.newest(session, history.job)
    if when is None:
        when = When(history.newest_fire(at=at) if row is None else row.instant)
    guess = history.rules_at(rough_instant(when))
    # A local time is read in the zone that the job had then.
    rules = history.rules_at(read(when, guess.timezone).instant)
    moment = read(when, rules.timezone)
    context = _context(session, history, rules, moment, row, at=at)
    verdict, sentence = explain_fire(context)
    subject = context.run or (context.by_hand if context.fire is None else None)
    return Explanation(
        at=moment.instant,
        verdict=verdict,
        sentence=sentence,
        run=None if subject is None else subject.id,
        previous=context.previous,
        next=context.next,
    )


@dataclass(frozen=True, slots=True)
class _JobHistory:
    """A job and its audit events, oldest first."""

    job: Job
    events: list[AuditEvent]

    def rules_at(self, instant: datetime) -> JobRules:
        """Return the job's rules at *instant*; a change applies to the fires after it."""
        present = described(definition_of(self.job))
        definition = present
        changes = [event for event in self.events if event.action in {"create", "change"}]
        earlier = [event for event in changes if event.at < instant]
        later = [event for event in changes if event.at >= instant]
        if earlier:
            definition = earlier[-1].detail.get("after", present)
        elif later:
            # Before the first definition: that one applies.
            definition = later[0].detail.get("before") or later[0].detail.get("after", present)
        return _rules(definition, is_present=definition.get("schedule") == present["schedule"])

    def newest_fire(self, *, at: datetime) -> datetime:
        """Return the last fire due by *at*, by the schedule of its time, else the next one.

        It is *at* itself for a deleted job, and for one without any fire.
        """
        schedule = self.rules_at(at).schedule
        if schedule is None or self.job.deleted_at is not None:
            return at
        changes = [event.at for event in self.events if event.action == "change" and event.at < at]
        until = at
        for begin in [*reversed(changes), self.job.created_at][:_MOST_VERSIONS]:
            fire = _last_due(self.rules_at(until).schedule, until)
            if fire is not None and fire > begin:
                return fire
            until = begin
        ahead = _next(schedule, at)
        return at if ahead is None else ahead.at

    def pause_at(self, instant: datetime) -> Pause | None:
        """Return the pause that covers *instant*."""
        return next((pause for pause in self.pauses() if _is_within(instant, pause)), None)

    def pause_now(self) -> Pause | None:
        """Return the pause that has not ended."""
        job = self.job
        if job.state is not JobState.PAUSED or job.paused_at is None:
            return None
        return Pause(job.paused_at, job.paused_by, job.paused_reason)

    def pauses(self) -> Iterable[Pause]:
        """Yield the recorded pauses, then the one that has not ended."""
        begin: AuditEvent | None = None
        for event in self.events:
            if event.action == "pause" and begin is None:
                begin = event
            elif event.action == "resume" and begin is not None:
                reason = begin.detail.get("reason")
                yield Pause(begin.at, begin.actor, reason, event.at, event.actor)
                begin = None
        if (lasting := self.pause_now()) is not None:
            yield lasting

    def actor(self, action: str) -> str | None:
        """Return who did *action* last."""
        newest_first = reversed(self.events)
        return next((event.actor for event in newest_first if event.action == action), None)


def _is_within(instant: datetime, pause: Pause) -> bool:
    return pause.since < instant and (pause.until is None or instant <= pause.until)


def _history_of(session: Session, name: str, when: When) -> _JobHistory:
    """Return the job that had the name then, else the newest one; raises NotFound."""
    jobs = list(session.scalars(select(Job).where(Job.name == name).order_by(Job.id.desc())))
    if not jobs:
        raise NotFound(f"There is no job {name!r}.", code="job_not_found")
    instant = rough_instant(when)
    job = next((job for job in jobs if job.created_at <= instant), jobs[-1])
    if job.deleted_at is not None and job.deleted_at < instant and job is not jobs[0]:
        # Between two jobs of that name: the later one answers that it did not exist yet.
        job = jobs[jobs.index(job) - 1]
    events = select(AuditEvent).where(AuditEvent.job_id == job.id).order_by(AuditEvent.id)
    kinds = ("create", "change", "pause", "resume", "delete")
    return _JobHistory(job, list(session.scalars(events.where(AuditEvent.action.in_(kinds)))))


def _rules(definition: dict[str, Any], *, is_present: bool) -> JobRules:
    """Return the rules in a definition that the audit recorded."""
    fields = definition.get("schedule")
    schedule = None
    if fields is not None:
        instants = {
            name: datetime.fromisoformat(fields[name]) for name in _INSTANTS if fields.get(name)
        }
        schedule = Schedule(**(fields | instants), seed=definition["name"])
    policy = {name: definition[name] for name in FirePolicy.__slots__} | {
        "overlap_policy": OverlapPolicy(definition["overlap_policy"]),
        "catchup_policy": CatchupPolicy(definition["catchup_policy"]),
    }
    return JobRules(schedule, FirePolicy(**policy), is_present)


def _context(
    session: Session,
    history: _JobHistory,
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
    return FireContext(
        at=at,
        instant=moment.instant,
        rules=rules,
        created_at=job.created_at,
        asked=moment.asked,
        fire=fire,
        previous=_previous(schedule, around),
        next=_next(schedule, around - TICK if fire is None else around),
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
        max_runs=job.max_runs,
        is_over=False if fire is None else _is_over(job, fire.at, at=at),
        ticked_at=status.last_tick(session),
        pruned_until=pruning.pruned_until(session, job.id),
    )


def _fire_in(schedule: Schedule | None, moment: Moment, created_at: datetime) -> Fire | None:
    """Return the first fire in the span after *created_at*, else the first one in the span."""
    asked = moment.asked
    if schedule is None:
        return None
    # A fire at the end of a gap belongs to 02:30 only if the schedule names 02:30.
    if moment.is_skipped and asked and not schedules.names_local_time(schedule, asked):
        return None
    if moment.instant <= created_at < moment.end:
        fire = _next(schedule, created_at)
        if fire is not None and fire.at < moment.end:
            return fire
    fire = _next(schedule, moment.instant - TICK)
    return fire if fire is not None and fire.at < moment.end else None


def _previous(schedule: Schedule | None, before: datetime) -> Fire | None:
    if schedule is None:
        return None
    fire = schedules.previous_fire(schedule, before=before)
    return None if fire is None else _next(schedule, fire - TICK)


def _last_due(schedule: Schedule | None, by: datetime) -> datetime | None:
    """Return the last fire whose run was due by *by*; None if there is none."""
    if schedule is None:
        return None
    fire = schedules.previous_fire(schedule, before=by + TICK)
    while fire is not None and schedules.due_at(schedule, fire) > by:
        fire = schedules.previous_fire(schedule, before=fire)
    return fire


def _next(schedule: Schedule | None, after: datetime) -> Fire | None:
    if schedule is None:
        return None
    return next(iter(schedules.preview(schedule, after=after, count=1)), None)


def _run_of(
    session: Session, job: Job, schedule: Schedule | None, fire: Fire | None, moment: Moment
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
