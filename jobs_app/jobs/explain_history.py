"""The schedules, pauses and fires that a job had, from its row and the audit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.core.errors import NotFound
from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import CatchupPolicy, JobState, OverlapPolicy
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.definition import definition_of, described
from jobs_app.jobs.explain_context import JobRules, Pause
from jobs_app.jobs.explain_when import TICK, When, rough_instant
from jobs_app.schedules import schedule_json
from jobs_app.schedules import union as schedules
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.union import AnySchedule

#: Older versions of a job's schedule than this many are not searched for its newest fire.
_MOST_VERSIONS = 50

#: The actions that replace a definition.
_CHANGES = frozenset({"change", "restore"})


@dataclass(frozen=True, slots=True)
class JobHistory:
    """A job and its audit events, oldest first."""

    job: Job
    events: list[AuditEvent]

    def rules_at(self, instant: datetime) -> JobRules:
        """Return the job's rules at *instant*; a change applies to the fires after it."""
        present = described(definition_of(self.job))
        definition = present
        changes = [event for event in self.events if event.action in {"create", *_CHANGES}]
        earlier = [event for event in changes if event.at < instant]
        later = [event for event in changes if event.at >= instant]
        if earlier:
            definition = earlier[-1].detail.get("after", present)
        elif later:
            # Before the first definition: that one applies.
            definition = later[0].detail.get("before") or later[0].detail.get("after", present)
        fields = ("schedule", "schedules")
        is_present = all(definition.get(name) == present.get(name) for name in fields)
        return _rules(definition, is_present=is_present)

    def newest_fire(self, *, at: datetime) -> datetime:
        """Return the last fire due by *at*, by the schedule of its time, else the next one.

        It is *at* itself for a deleted job, and for one without any fire.
        """
        schedule = self.rules_at(at).schedule
        if schedule is None or self.job.deleted_at is not None:
            return at
        changes = [event.at for event in self.events if event.action in _CHANGES and event.at < at]
        until = at
        for begin in [*reversed(changes), self.job.created_at][:_MOST_VERSIONS]:
            fire = _last_due(self.rules_at(until).schedule, until)
            if fire is not None and fire > begin:
                return fire
            until = begin
        ahead = next_fire(schedule, at)
        return at if ahead is None else ahead.at

    def first_fires(self, begin: datetime, end: datetime, count: int) -> list[datetime]:
        """Return the first *count* fires from *begin* until before *end*, as schedules were then.

        Times before the creation of the job have no fires.
        """
        changes = [event.at for event in self.events if event.action in _CHANGES]
        after = max(begin - TICK, self.job.created_at)
        edges = [after, *(edge for edge in changes if after < edge < end - TICK), end - TICK]
        fires: list[datetime] = []
        for edge, until in pairwise(edges):
            schedule = self.rules_at(until).schedule
            if schedule is not None and edge < until:
                fires += islice(schedules.fires(schedule, after=edge, until=until), count)
        return fires[:count]

    def count_fires(self, begin: datetime, until: datetime) -> int:
        """Count the fires in (begin, until], as schedules were then, without those of pauses."""
        changes = [event.at for event in self.events if event.action in _CHANGES]
        bounds = [bound for pause in self.pauses() for bound in (pause.since, pause.until)]
        within = {edge for edge in (*changes, *bounds) if edge is not None and begin < edge < until}
        count = 0
        for edge, end in pairwise(sorted({begin, until, *within})):
            schedule = self.rules_at(end).schedule
            if schedule is not None and self.pause_at(end) is None:
                count += schedules.count_fires(schedule, after=edge, until=end)
        return count

    def watched_since(self, instant: datetime) -> AuditEvent | None:
        """Return the change with which the job began to watch only, if it did so at *instant*."""
        began = None
        for event in self.events:
            if event.action in {"create", *_CHANGES} and event.at < instant:
                observes = event.detail.get("after", {}).get("observe", False)
                began = (began or event) if observes else None
        return began

    def pause_at(self, instant: datetime) -> Pause | None:
        """Return the pause that covers *instant*."""
        return next((pause for pause in self.pauses() if _is_within(instant, pause)), None)

    def pause_now(self) -> Pause | None:
        """Return the pause that has not ended."""
        job = self.job
        if job.state is not JobState.PAUSED or job.paused_at is None:
            return None
        return Pause(job.paused_at, job.paused_by, job.paused_reason, planned_end=job.paused_until)

    def pauses(self) -> Iterable[Pause]:
        """Yield the recorded pauses, then the one that has not ended."""
        begin: AuditEvent | None = None
        for event in self.events:
            if event.action == "pause" and begin is None:
                begin = event
            elif event.action == "resume" and begin is not None:
                reason = begin.detail.get("reason")
                yield Pause(begin.at, begin.actor, reason, _end_of(event), event.actor)
                begin = None
        if (lasting := self.pause_now()) is not None:
            yield lasting

    def actor(self, action: str) -> str | None:
        """Return who did *action* last."""
        newest_first = reversed(self.events)
        return next((event.actor for event in newest_first if event.action == action), None)


def _is_within(instant: datetime, pause: Pause) -> bool:
    end = pause.until or pause.planned_end
    return pause.since < instant and (end is None or instant <= end)


def _end_of(resume: AuditEvent) -> datetime:
    """Return when a pause ended: a job is resumed as of the planned end, if it had one."""
    planned_end = resume.detail.get("until")
    return resume.at if planned_end is None else datetime.fromisoformat(planned_end)


def history_of(session: Session, name: str, when: When) -> JobHistory:
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
    kinds = ("create", *_CHANGES, "pause", "resume", "delete")
    return JobHistory(job, list(session.scalars(events.where(AuditEvent.action.in_(kinds)))))


def _rules(definition: dict[str, Any], *, is_present: bool) -> JobRules:
    """Return the rules in a definition that the audit recorded."""
    schedule = schedule_json.from_documents(definition, seed=definition["name"])
    policy = {name: definition[name] for name in FirePolicy.__slots__} | {
        "overlap_policy": OverlapPolicy(definition["overlap_policy"]),
        "catchup_policy": CatchupPolicy(definition["catchup_policy"]),
    }
    # The audit of an older version has no `observe`.
    observes = definition.get("observe", False)
    return JobRules(schedule, FirePolicy(**policy), is_present, observes)


def _last_due(schedule: AnySchedule | None, by: datetime) -> datetime | None:
    """Return the last fire whose run was due by *by*; None if there is none."""
    if schedule is None:
        return None
    fire = schedules.previous_fire(schedule, before=by + TICK)
    while fire is not None and schedules.due_at(schedule, fire) > by:
        fire = schedules.previous_fire(schedule, before=fire)
    return fire


def next_fire(schedule: AnySchedule | None, after: datetime) -> Fire | None:
    if schedule is None:
        return None
    return next(iter(schedules.preview(schedule, after=after, count=1)), None)
