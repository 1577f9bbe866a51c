"""Why a job did, did not or will not run at an instant, as one sentence: pure, no IO.

`explain` gathers the facts; `judge` alone decides what they mean and says it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs_app.core.states import CatchupPolicy, OverlapPolicy, RunState, Trigger
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Fire, Schedule

#: A run that starts within this time of its due instant is on time.
ON_TIME = timedelta(seconds=2)

#: A fire that came due this short a time ago is being recorded just now.
JUST_NOW = timedelta(seconds=5)


class Verdict(StrEnum):
    """What became, or will become, of an instant."""

    RAN = "ran"  # a run was started, whatever its end
    SKIPPED = "skipped"  # a policy said no
    MISSED = "missed"  # nobody was there in time
    CANCELLED = "cancelled"  # a run was ended before it started
    WILL_RUN = "will_run"  # it lies ahead, or its run waits for its turn
    PAUSED = "paused"
    ENDED = "ended"  # the schedule was over, or max_runs used up
    NOT_A_FIRE = "not_a_fire"
    NOT_YET_CREATED = "not_yet_created"
    DELETED = "deleted"
    UNRECORDED = "unrecorded"  # it came due, and nothing is on record of it (yet)
    FORGOTTEN = "forgotten"  # what was on record of it is no longer kept


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run's row says; `fires` is above 1 if it stands for that many fires."""

    id: UUID
    state: RunState
    trigger: Trigger
    created_at: datetime
    scheduled_for: datetime | None = None
    reason: str | None = None
    fires: int = 1
    queue: str = "default"
    attempt: int = 1
    concurrency_key: str | None = None
    concurrency_limit: int | None = None
    triggered_by: str | None = None
    cancelled_by: str | None = None
    not_before: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch in which the schedule was not followed; `until` is None while it lasts."""

    since: datetime
    by: str | None
    reason: str | None
    until: datetime | None = None
    resumed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The job as it was at the instant in question, as far as it decides what runs."""

    schedule: Schedule | None
    timezone: str = "UTC"
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    starting_deadline_seconds: int = 60
    catchup_policy: CatchupPolicy = CatchupPolicy.LAST
    catchup_window_seconds: int = 86_400
    catchup_max_runs: int = 50
    is_present: bool = True
    """Whether the schedule is still the same today."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who serves the queue of a queued run: the places of its workers, and how many are taken.

    `same_key` counts the running runs with its concurrency key.
    """

    workers: int
    places: int
    busy: int
    same_key: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of a job around `instant`.

    `asked` is the local time as it was asked for, if it was; `fire` the fire of the
    schedule as it was then that falls on the instant, None if none does. `run` is the
    row of that fire or the one that it was folded into, `other` the run that stood in
    its way or was run in its place, `by_hand` one that a person started just then.
    `pause` lasted at the instant, `pause_now` lasts. `is_over` says that the job has
    ended before the fire, or will have, by `max_runs` where it is given. `pruned_until`
    is the newest instant of which retention has deleted a run.
    """

    at: datetime
    instant: datetime
    rules: Rules
    created_at: datetime
    asked: datetime | None = None
    fire: Fire | None = None
    previous: Fire | None = None
    next: Fire | None = None
    run: RunFacts | None = None
    other: RunFacts | None = None
    by_hand: RunFacts | None = None
    crew: Crew | None = None
    created_by: str | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    pause: Pause | None = None
    pause_now: Pause | None = None
    max_runs: int | None = None
    is_over: bool = False
    ticked_at: datetime | None = None
    pruned_until: datetime | None = None


def judge(facts: Facts) -> tuple[Verdict, str]:
    """Return what became of the instant, and the sentence that says why."""
    verdict, sentence = _judge(facts)
    note = _clock_note(facts)
    return verdict, f"{note} {sentence}" if note else sentence


def _judge(facts: Facts) -> tuple[Verdict, str]:
    if facts.run is not None:
        return _of_run(facts, facts.run)
    instant = facts.instant if facts.fire is None else facts.fire.at
    if instant <= facts.created_at:
        return Verdict.NOT_YET_CREATED, (
            f"The job did not exist yet: it was created at {_stamp(facts, facts.created_at)}"
            f"{_by(facts.created_by)}."
        )
    if facts.deleted_at is not None and facts.deleted_at < instant:
        return Verdict.DELETED, (
            f"The job was deleted at {_stamp(facts, facts.deleted_at)}{_by(facts.deleted_by)}."
        )
    if facts.rules.schedule is None:
        return Verdict.NOT_A_FIRE, "The job has no schedule: it runs only when it is started." + (
            _by_hand(facts)
        )
    if facts.fire is None:
        return Verdict.NOT_A_FIRE, _not_a_fire(facts, facts.rules.schedule)
    if facts.pause is not None:
        return Verdict.PAUSED, _paused(facts, facts.pause)
    return _without_row(facts, facts.fire.at, facts.rules.schedule)


def _without_row(facts: Facts, fire: datetime, schedule: Schedule) -> tuple[Verdict, str]:
    """Judge a fire of an active job that has no row: it is to come, or should have one."""
    if facts.pruned_until is not None and fire <= facts.pruned_until:
        until = _stamp(facts, facts.pruned_until)
        return Verdict.FORGOTTEN, (
            "It came due, and its record is no longer kept: retention has deleted runs of this"
            f" job up to that of {until}."
        )
    is_ahead = schedules.due_at(schedule, fire) > facts.at
    if is_ahead and facts.pause_now is not None:
        return Verdict.PAUSED, _paused(facts, facts.pause_now)
    if facts.is_over:
        why = "its schedule is over by then"
        if facts.max_runs is not None:
            runs = "1 run" if facts.max_runs == 1 else f"{facts.max_runs} runs"
            why = f"max_runs allows {runs}, and they come earlier"
        return Verdict.ENDED, f"The job {'will have' if is_ahead else 'had'} ended: {why}."
    if is_ahead:
        jitter = _jitter(facts, fire)
        return Verdict.WILL_RUN, f"It will run at {_stamp(facts, fire)}{jitter}."
    if facts.at - schedules.due_at(schedule, fire) <= JUST_NOW:
        return Verdict.UNRECORDED, "It is due just now: a scheduler is about to record it."
    ticked = facts.ticked_at
    if ticked is None:
        why = "no scheduler is on record"
    elif ticked < schedules.due_at(schedule, fire):
        why = f"no scheduler has looked since {_stamp(facts, ticked)}"
    else:
        why = "it is older than the history that is kept, or the job changed in that moment"
    return Verdict.UNRECORDED, f"It came due, and nothing is on record of it: {why}."


def _of_run(facts: Facts, run: RunFacts) -> tuple[Verdict, str]:
    match run.state:
        case RunState.SKIPPED:
            return Verdict.SKIPPED, _skipped(facts, run)
        case RunState.MISSED:
            return Verdict.MISSED, _missed(facts, run)
        case RunState.WAITING:
            behind = f"run {facts.other.id}" if facts.other else "another run"
            return Verdict.WILL_RUN, (
                f"It waits as run {run.id} behind {behind}, which has not ended"
                f" (overlap_policy is {facts.rules.overlap_policy})."
            )
        case RunState.QUEUED if run.attempt == 1:
            since = _stamp(facts, run.created_at)
            return Verdict.WILL_RUN, (
                f"It is queued as run {run.id} since {since} and has not started: {_crew(facts)}."
            )
        case RunState.CANCELLED if run.started_at is None:
            return Verdict.CANCELLED, _cancelled(facts, run)
    return Verdict.RAN, f"{_punctuality(facts, run)}: run {run.id} {_course(facts, run)}."


def _punctuality(facts: Facts, run: RunFacts) -> str:
    """Return "It ran on time", or how late and on what grounds."""
    if run.scheduled_for is None or run.started_at is None:
        return "It ran"
    due_at = run.scheduled_for
    if facts.rules.schedule is not None:
        due_at = schedules.due_at(facts.rules.schedule, due_at)
    late = run.started_at - due_at
    if run.trigger is Trigger.CATCHUP:
        return f"It was caught up with, {_span(late)} late"
    if run.trigger is Trigger.BACKFILL:
        return "It was filled in afterwards"
    if run.attempt > 1:
        # Its row tells the start of the newest attempt only.
        return "It ran"
    return "It ran on time" if late <= ON_TIME else f"It ran {_span(late)} late"


def _course(facts: Facts, run: RunFacts) -> str:
    """Return how a run that was started went: "started at 03:00:01 and succeeded after 2 s"."""
    started = (
        "was started" if run.started_at is None else f"started at {_stamp(facts, run.started_at)}"
    )
    attempts = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    after = ""
    if run.started_at is not None and run.finished_at is not None:
        after = f" after {_span(run.finished_at - run.started_at)}"
    ended = {
        RunState.QUEUED: f"failed before and is queued for attempt {run.attempt}",
        RunState.RUNNING: "is still running",
        RunState.SUCCEEDED: f"succeeded{after}",
        RunState.FAILED: f"failed{after}{_why_failed(run)}",
        RunState.TIMED_OUT: f"was stopped at its time limit{after}",
        RunState.CANCELLED: f"was cancelled{after}{_by(run.cancelled_by)}",
        RunState.LOST: f"was lost{after}: its worker vanished",
        RunState.RETRYING: f"failed in attempt {run.attempt}",
    }[run.state]
    if run.state is RunState.RETRYING and run.not_before is not None:
        ended += f"; the next one is due at {_stamp(facts, run.not_before)}"
    if run.state is RunState.QUEUED:
        return ended
    return f"{started}{attempts} and {ended}"


def _why_failed(run: RunFacts) -> str:
    if run.exit_code is not None:
        return f" with exit code {run.exit_code}"
    if run.error:
        first = run.error.partition("\n")[0].rstrip(".")
        return f": {first if len(first) <= 200 else first[:200] + '…'}"
    return ""


def _crew(facts: Facts) -> str:
    """Return why a queued run has not been taken by a worker."""
    crew, run = facts.crew, facts.run
    if crew is None or run is None:
        return "a worker is about to take it"
    if crew.workers == 0:
        return f"no worker serves the queue {run.queue!r}"
    limit = run.concurrency_limit
    if limit is not None and crew.same_key >= limit:
        return (
            f"{crew.same_key} of {limit} runs with the concurrency key"
            f" {run.concurrency_key!r} are running"
        )
    if crew.busy >= crew.places:
        return f"the workers of the queue {run.queue!r} are busy with {crew.busy} other runs"
    return "a worker is about to take it"


def _skipped(facts: Facts, run: RunFacts) -> str:
    if run.reason == "superseded":
        return "It was skipped: a newer fire took its place while it waited."
    policy = facts.rules.overlap_policy
    other = facts.other
    if other is None:
        return f"It was skipped: another run had not ended (overlap_policy is {policy})."
    if other.started_at is None:
        course = f"queued since {_stamp(facts, other.created_at)}"
    elif other.finished_at is None:
        course = f"running since {_stamp(facts, other.started_at)}"
    else:
        start, end = _stamp(facts, other.started_at), _stamp(facts, other.finished_at)
        course = f"it ran from {start} to {end}"
    return f"It was skipped: run {other.id} had not ended, {course} (overlap_policy is {policy})."


def _missed(facts: Facts, run: RunFacts) -> str:
    rules = facts.rules
    looked = f"a scheduler looked only at {_stamp(facts, run.created_at)}"
    if run.scheduled_for is not None:
        looked += f", {_span(run.created_at - run.scheduled_for)} after the fire"
    instead = ""
    if facts.other is not None and facts.other.scheduled_for is not None:
        instead = f", that of {_stamp(facts, facts.other.scheduled_for)} (run {facts.other.id})"
    match run.reason:
        case "scheduler_down":
            deadline = _span(timedelta(seconds=rules.starting_deadline_seconds))
            why = f"no scheduler was running within its deadline of {deadline}; {looked}"
        case "deadline":
            deadline = _span(timedelta(seconds=rules.starting_deadline_seconds))
            why = f"{looked}, later than the deadline of {deadline}, with nothing to be caught up"
        case "catchup_last":
            why = f"{looked}, and catchup_policy last runs only the newest fire{instead}"
        case "catchup_limit":
            most = rules.catchup_max_runs
            why = f"{looked}, and catchup_max_runs allows the newest {most} fires only"
        case "catchup_window":
            window = _span(timedelta(seconds=rules.catchup_window_seconds))
            why = f"{looked}, and catchup_window_seconds reaches back {window} only"
        case "outage_folded":
            why = (
                f"{looked}; run {run.id} stands for {run.fires:,} fires of that outage"
                if run.fires > 1
                else looked
            )
        case _:
            why = run.reason or looked
    return f"It was missed: {why}."


def _cancelled(facts: Facts, run: RunFacts) -> str:
    when = f" at {_stamp(facts, run.finished_at)}" if run.finished_at is not None else ""
    policy = facts.rules.overlap_policy
    why = {
        "superseded": f": a newer run took its place (overlap_policy is {policy})",
        "job_deleted": " when the job was deleted",
    }.get(run.reason or "", "")
    by = "" if run.reason == "superseded" else _by(run.cancelled_by)
    return f"Run {run.id} was cancelled{when}{by}{why}, before it started."


def _paused(facts: Facts, pause: Pause) -> str:
    who = _by(pause.by) + (f" ({pause.reason.rstrip('.')})" if pause.reason else "")
    since = _stamp(facts, pause.since)
    if pause.until is None:
        return f"The job is paused since {since}{who}: nothing fires until it is resumed."
    until = f"{_stamp(facts, pause.until)}{_by(pause.resumed_by)}"
    return f"The job was paused from {since}{who} until {until}."


def _not_a_fire(facts: Facts, schedule: Schedule) -> str:
    then = "" if facts.rules.is_present else ", as it was then"
    text = f"{_stamp(facts, facts.instant)} is not a fire of the schedule{then}:"
    text += f" {schedules.describe(schedule)}."
    around = []
    if facts.previous is not None:
        around.append(f"before it {_stamp(facts, facts.previous.at)}")
    if facts.next is not None:
        around.append(f"after it {_stamp(facts, facts.next.at)}")
    if around:
        text += f" The nearest fires are {' and '.join(around)}."
    return text + _by_hand(facts)


def _by_hand(facts: Facts) -> str:
    run = facts.by_hand
    if run is None:
        return ""
    when = _stamp(facts, run.created_at)
    return f" Run {run.id} was started by hand at {when}{_by(run.triggered_by)}."


def _clock_note(facts: Facts) -> str:
    """Return what the clock did to the local time that was asked for, "" if nothing."""
    schedule, zone = facts.rules.schedule, facts.rules.timezone
    local = facts.instant.astimezone(ZoneInfo(zone))
    if facts.asked is not None and not schedules.readings(zone, facts.asked):
        start, end = schedules.after_gap(zone, facts.asked)
        moved = f"{start:%H:%M} to {end.astimezone(ZoneInfo(zone)):%H:%M}"
        text = (
            f"{facts.asked:%H:%M} does not exist on {facts.asked:%Y-%m-%d} in {zone}:"
            f" the clock goes from {moved}"
        )
        return text + (f", and the fire comes at {local:%H:%M}." if facts.fire else ".")
    if not schedules.is_repeated(zone, facts.instant):
        is_moved = facts.fire is not None and facts.fire.dst == "gap"
        return "This fire stands for a time that the clock skips that day." if is_moved else ""
    text = f"{local:%H:%M} comes twice on {local:%Y-%m-%d} in {zone}"
    if schedule is not None and schedules.names_local_time(schedule, local.replace(tzinfo=None)):
        which = "this is the second" if local.fold else "this is the first"
        return f"{text}, and it fires the first time only; {which}."
    return f"{text}; this is the {'second' if local.fold else 'first'} time."


def _jitter(facts: Facts, fire: datetime) -> str:
    schedule = facts.rules.schedule
    if schedule is None or not schedule.jitter_seconds:
        return ""
    return f", put off by its jitter to {_stamp(facts, schedules.due_at(schedule, fire))}"


def _by(who: str | None) -> str:
    return f" by {who}" if who else ""


def _stamp(facts: Facts, instant: datetime) -> str:
    """Return *instant* as the clock of the job's zone shows it, with the zone's short name."""
    local = instant.astimezone(ZoneInfo(facts.rules.timezone))
    has_seconds = local.second or local.microsecond >= 500_000
    clock = "%Y-%m-%d %H:%M:%S %Z" if has_seconds else "%Y-%m-%d %H:%M %Z"
    return local.strftime(clock)


def _span(length: timedelta) -> str:
    """Return a duration in its two largest units: "0.4 s", "42 s", "2 min 5 s", "3 h"."""
    seconds = max(length / timedelta(seconds=1), 0.0)
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    rest = round(seconds)
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"
