"""The effect of a form before it is saved: fires, warnings, what saving does, who is notified."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy.orm import Session

from jobs_app.core import clock
from jobs_app.core.errors import FieldError, Forbidden, JobsError, refuse
from jobs_app.core.states import JobState
from jobs_app.core.text import counted
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.document import Definition
from jobs_app.jobs.dry_run import DryRun
from jobs_app.jobs.schedule_input import schedule_errors, with_anchors
from jobs_app.notifications import rules, subscriptions
from jobs_app.schedules import union as schedules
from jobs_app.schedules import warnings
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.union import AnySchedule
from jobs_app.web import extension, job_commands
from jobs_app.web.api.schemas.base import raise_invalid
from jobs_app.web.api.schemas.job_input import PreviewIn
from jobs_app.web.api.schemas.job_output import described
from jobs_app.web.pages import job_editor, zones
from jobs_app.web.session import reading

#: Fires that the page lists, and later ones among which it looks for a change of the clock.
MOST_FIRES, SEARCHED_FIRES = 10, 400

#: How far ahead it looks for one: each zone that changes its clock does so within this time.
SEARCHED_TIME = timedelta(days=400)

#: Later fires that the page lists because the clock changes at them.
MOST_CHANGES = 2

#: The words for a change of the clock at a fire.
CLOCKS = {
    "gap": "the clock skips its time: this is the first moment after it",
    "repeat": "the clock shows this time twice",
}


@dataclass(frozen=True, slots=True)
class FireLine:
    """A fire in the zone of the job, and in that of the page where it differs."""

    at: datetime
    local: str
    here: str | None
    dst: Literal["gap", "repeat"] | None

    @property
    def clock(self) -> str:
        """The change of the clock in words; "" if there is none."""
        return CLOCKS[self.dst] if self.dst else ""


@dataclass(slots=True)
class Preview:
    """What a template shows; `errors` are those of the document.

    The last `later` ones of the fires are not the next ones: the clock changes at them.
    """

    sentence: str = ""
    zone: str = ""
    here: str = ""
    fires: list[FireLine] = field(default_factory=list)
    later: int = 0
    warnings: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    notified: list[str] = field(default_factory=list)
    errors: list[FieldError] = field(default_factory=list)


def preview(document: Mapping[str, Any], job: Job | None) -> Preview:
    """Return the effect of saving *document*, over *job* if there is one; store nothing."""
    shown = Preview(here=zones.current().key)
    now = clock.now()
    try:
        schedule = _schedule(document, now=now)
    except JobsError as error:
        shown.errors += error.errors or [FieldError("/schedule", error.code, error.detail)]
    else:
        _add_schedule(shown, schedule, now=now)
    try:
        definition = job_editor.definition_from(document)
        effect = job_commands.effect(definition, job=job)
        with reading() as reader:
            shown.notified = notified(reader, definition)
    except Forbidden as error:
        shown.errors = [FieldError("", error.code, error.detail)]
    except JobsError as error:
        # A missing name must not hide a wrong schedule: that is what somebody types just now.
        found = error.errors or (FieldError("", error.code, error.detail),)
        shown.errors += [one for one in found if one not in shown.errors]
    else:
        shown.warnings = [*effect.schedule_warnings, *effect.job_warnings]
        shown.effects = list(effects(effect, is_new=job is None, zone=zones.current()))
    return shown


def _schedule(document: Mapping[str, Any], *, now: datetime) -> AnySchedule | None:
    """Return the schedule of *document* as `/schedules/preview` has it; None: by hand only."""
    sent = {name: document[name] for name in ("schedule", "schedules") if name in document}
    name = document.get("name")
    try:
        body = PreviewIn.model_validate(sent | ({"name": name} if isinstance(name, str) else {}))
    except ValidationError as error:
        raise_invalid(error)
    schedule = body.union(extension.current().settings)
    refuse(list(schedule_errors(schedule, None, now=now)))
    return None if schedule is None else with_anchors(schedule, None, at=now)


def _add_schedule(shown: Preview, schedule: AnySchedule | None, *, now: datetime) -> None:
    shown.sentence = described(schedule)
    if schedule is None:
        return
    shown.zone = schedule.timezone
    shown.warnings = warnings.warnings(schedule, now=now)
    here = zones.current()
    is_same = here.key == schedule.timezone
    shown.fires = [
        FireLine(
            fire.at,
            f"{fire.local:%a %-d %b %Y %H:%M:%S}".removesuffix(":00"),
            None if is_same else zones.exact(fire.at, here),
            fire.dst,
        )
        for fire in _listed(schedule, now=now)
    ]
    shown.later = max(len(shown.fires) - MOST_FIRES, 0)


def _listed(schedule: AnySchedule, *, now: datetime) -> list[Fire]:
    """Return the next fires, and the first later ones at which the clock changes."""
    fires = schedules.preview(schedule, after=now, count=MOST_FIRES)
    if len(fires) < MOST_FIRES:
        return fires
    later = schedules.preview(
        schedule, after=fires[-1].at, count=SEARCHED_FIRES, until=now + SEARCHED_TIME
    )
    return [*fires, *[fire for fire in later if fire.dst][:MOST_CHANGES]]


def effects(effect: DryRun, *, is_new: bool, zone: ZoneInfo) -> Iterator[str]:
    """Yield what saving does, in sentences; instants are in *zone*."""
    if effect.would_run_now:
        caught = effect.catchup_runs
        yield "Saving starts a run at once" + (f", {caught} caught up." if caught else ".")
    else:
        yield "Saving runs nothing now."
        if effect.catchup_runs:
            yield f"{effect.catchup_runs} would be caught up, after the run that has not ended."
    yield _moves(effect, is_new=is_new, zone=zone)
    if effect.recorded_runs:
        states = ", ".join(f"{count} {state}" for state, count in effect.recorded_runs.items())
        yield f"Fires that are due are recorded first: {states}."
    if effect.cancelled_runs:
        yield f"{counted(effect.cancelled_runs, 'unfinished run')} will be cancelled for them."


def _moves(effect: DryRun, *, is_new: bool, zone: ZoneInfo) -> str:
    """Return what becomes of the next fire."""
    if effect.job.state is JobState.PAUSED:
        return "The job is paused, and stays so."
    before = effect.fires_before[0].at if effect.fires_before else None
    after = effect.fires_after[0].at if effect.fires_after else None
    if after is None:
        if schedules.fires_on_start(effect.definition.schedule):
            return "It fires when jobs-app starts the next time."
        if effect.definition.schedule is None:
            return "It will run only when somebody starts it."
        return "It will not fire by itself any more."
    text = zones.exact(after, zone)
    if is_new or before is None:
        return f"The {'first' if is_new else 'next'} fire is {text}."
    if before == after:
        return f"The next fire stays {text}."
    return f"The next fire moves from {zones.exact(before, zone)} to {text}."


def notified(session: Session, definition: Definition) -> list[str]:
    """Return who is notified of the job, and of what: a sentence for each channel."""
    channels = subscriptions.subscribers(session)
    return [_notified(one) for one in rules.subscriptions(definition.notify, channels) if one.on]


def _notified(one: rules.Subscription) -> str:
    events = [event.value for event in rules.SUBSCRIBABLE_EVENTS if event in one.on]
    text = f"{one.channel.name}: {', '.join(events)}"
    if one.after_failures > 1:
        text += f", from {counted(one.after_failures, 'failure')} in a row"
    return text
