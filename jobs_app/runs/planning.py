"""Which overdue fires become runs, and which are only put on record: pure, no IO.

`plan` is all that a tick decides. It gets what the database says of one job and the
instant of the tick, and answers with the rows to insert and the job's next fire.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from jobs_app.core.states import (
    CancelMode,
    CatchupPolicy,
    OverlapPolicy,
    RunState,
    Trigger,
)
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules.schedule import Schedule

#: Rows that one outage may leave for a job; what is older is folded into one of them.
MOST_ROWS = 100

#: Fires that one plan counts when it folds; the next tick goes on from there.
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What `plan` must know of a job.

    `next_fire_at` is the stored one. `has_active` and `waiting` count unfinished
    runs that hold, or wait for, the job's one place. `runs_left` is None without
    `max_runs`. `watches` are the spans, first and last sign of life, of the schedulers
    that the database knows; None stands for one that never slept.
    """

    schedule: Schedule
    next_fire_at: datetime
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    starting_deadline_seconds: int = 60
    catchup_policy: CatchupPolicy = CatchupPolicy.LAST
    catchup_window_seconds: int = 86_400
    catchup_max_runs: int = 50
    has_active: bool = False
    waiting: int = 0
    runs_left: int | None = None
    watches: tuple[tuple[datetime, datetime], ...] | None = None


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A row to insert: its fire, its state at birth and why.

    `fires` is above 1 on a `missed` row that stands for that many fires, the first
    of them at `scheduled_for`.
    """

    scheduled_for: datetime
    state: RunState
    trigger: Trigger = Trigger.SCHEDULE
    reason: str | None = None
    fires: int = 1

    @property
    def is_start(self) -> bool:
        """Whether the row will be worked on, now or after another run."""
        return self.state in (RunState.QUEUED, RunState.WAITING)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick does for one job.

    `next_fire_at` is None when the schedule is over. `cancel` says how the job's
    running run is to be ended, and `drop_waiting` that those behind it give way.
    """

    runs: tuple[PlannedRun, ...]
    next_fire_at: datetime | None
    cancel: CancelMode | None = None
    drop_waiting: bool = False


@dataclass(slots=True)
class _Place:
    """The job's one place while the plan fills it."""

    has_active: bool
    waiting: int
    cancel: CancelMode | None = None
    drop_waiting: bool = False
    rows: list[PlannedRun] = field(default_factory=list)


def plan(facts: PlanInput, *, at: datetime) -> Plan:
    """Decide every fire of a job that is due at *at*, oldest first.

    A job that is not due gets an empty plan with its `next_fire_at` unchanged.
    """
    folded, newest, following = _overdue(facts, at=at)
    if folded is not None and not newest:
        return Plan((folded,), following)
    place = _Place(facts.has_active, facts.waiting)
    runs_left = facts.runs_left
    if folded is not None:
        place.rows.append(folded)
    for fire, reason, trigger in _judged(facts, newest, at=at):
        if runs_left == 0:
            break
        row = _decide(facts, place, fire, reason, trigger)
        place.rows.append(row)
        if runs_left is not None and row.is_start:
            runs_left -= 1
    if runs_left == 0:
        following = None
    return Plan(tuple(place.rows), following, place.cancel, place.drop_waiting)


def _overdue(
    facts: PlanInput, *, at: datetime
) -> tuple[PlannedRun | None, list[datetime], datetime | None]:
    """Return the folded row of a long outage, the fires to decide, and the next fire."""
    schedule, first = facts.schedule, facts.next_fire_at
    due: list[datetime] = []
    following: datetime | None = first
    most = max(MOST_ROWS, facts.catchup_max_runs)
    while following is not None and schedules.due_at(schedule, following) <= at:
        due.append(following)
        following = schedules.next_fire(schedule, after=following)
        if len(due) > 2 * most:
            return _fold(facts, most, at=at)
    if len(due) > most:
        old, due = due[: len(due) - most + 1], due[len(due) - most + 1 :]
        return _missed(old[0], "outage_folded", fires=len(old)), due, following
    return None, due, following


def _fold(
    facts: PlanInput, most: int, *, at: datetime
) -> tuple[PlannedRun | None, list[datetime], datetime | None]:
    """Fold all but the newest fires of an outage too long to look at each."""
    schedule, first = facts.schedule, facts.next_fire_at
    newest: list[datetime] = []
    # With jitter the last fires may not be due yet: look back from the last one that is.
    fire = schedules.previous_fire(schedule, before=at + timedelta(microseconds=1))
    while fire is not None and fire > first and len(newest) < most - 1:
        if schedules.due_at(schedule, fire) <= at:
            newest.append(fire)
        fire = schedules.previous_fire(schedule, before=fire)
    newest.reverse()
    until = newest[0] - timedelta(microseconds=1) if newest else at
    old = 1 + sum(
        1 for _ in islice(schedules.fires(schedule, after=first, until=until), MOST_COUNTED)
    )
    folded = _missed(first, "outage_folded", fires=old)
    if old > MOST_COUNTED:
        # More than one tick may look at: nothing is caught up before all are counted.
        *_, last = islice(schedules.fires(schedule, after=first, until=until), MOST_COUNTED)
        return folded, [], schedules.next_fire(schedule, after=last)
    return folded, newest, schedules.next_fire(schedule, after=newest[-1])


def _judged(
    facts: PlanInput, due: Sequence[datetime], *, at: datetime
) -> list[tuple[datetime, str | None, Trigger]]:
    """Say of each fire whether it runs (reason None) and on what grounds."""
    deadline = timedelta(seconds=facts.starting_deadline_seconds)
    window = timedelta(seconds=facts.catchup_window_seconds)
    on_time = [at - schedules.due_at(facts.schedule, fire) <= deadline for fire in due]
    late = [fire for fire, is_on_time in zip(due, on_time, strict=True) if not is_on_time]
    # Whose policy is `none` asks why nobody came in time. With the other policies the
    # setting that left a fire out is the reason: with another value it would have run.
    reasons = {fire: _why_late(facts, fire) for fire in late}
    if facts.catchup_policy is not CatchupPolicy.NONE:
        inside = [fire for fire in late if at - fire <= window]
        reasons = dict.fromkeys(late, "catchup_window")
        keep = facts.catchup_max_runs if facts.catchup_policy is CatchupPolicy.ALL else 1
        # `last` means the last fire of all: one that comes on time makes it needless.
        if facts.catchup_policy is CatchupPolicy.LAST and any(on_time):
            keep = 0
        dropped = inside[: len(inside) - keep] if keep else inside
        is_all = facts.catchup_policy is CatchupPolicy.ALL
        reasons |= dict.fromkeys(dropped, "catchup_limit" if is_all else "catchup_last")
        for fire in inside[len(dropped) :]:
            del reasons[fire]
    return [
        (fire, reasons.get(fire), Trigger.SCHEDULE if is_on_time else Trigger.CATCHUP)
        for fire, is_on_time in zip(due, on_time, strict=True)
    ]


def _why_late(facts: PlanInput, fire: datetime) -> str:
    """Say whether a scheduler looked between a fire's due instant and its deadline."""
    due_at = schedules.due_at(facts.schedule, fire)
    deadline_at = due_at + timedelta(seconds=max(facts.starting_deadline_seconds, 0))
    is_watched = facts.watches is None or any(
        first <= deadline_at and last >= due_at for first, last in facts.watches
    )
    return "deadline" if is_watched else "scheduler_down"


def _decide(
    facts: PlanInput, place: _Place, fire: datetime, reason: str | None, trigger: Trigger
) -> PlannedRun:
    """Return the row of one fire, with the overlap policy applied."""
    if reason is not None:
        return _missed(fire, reason)
    decision = overlap(facts.overlap_policy, place.has_active, place.waiting)
    if decision.state is RunState.SKIPPED:
        return PlannedRun(fire, RunState.SKIPPED, trigger, "overlap")
    if decision.drops_waiting:
        _drop_waiting(place)
    if decision.cancel is not None:
        place.cancel = decision.cancel
    if decision.state is RunState.WAITING:
        place.waiting += 1
    elif facts.overlap_policy is not OverlapPolicy.ALLOW_ALL:
        place.has_active = True
    return PlannedRun(fire, decision.state, trigger)


def _drop_waiting(place: _Place) -> None:
    """Skip what waits, on record or still in this plan: a newer fire takes its place."""
    place.drop_waiting = True
    place.waiting = 0
    place.rows = [
        PlannedRun(row.scheduled_for, RunState.SKIPPED, row.trigger, "superseded")
        if row.state is RunState.WAITING
        else row
        for row in place.rows
    ]


def _missed(fire: datetime, reason: str, *, fires: int = 1) -> PlannedRun:
    return PlannedRun(fire, RunState.MISSED, Trigger.SCHEDULE, reason, fires)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What an overlap policy says: the new run's state, and what happens to the others."""

    state: RunState
    cancel: CancelMode | None = None
    drops_waiting: bool = False


def overlap(policy: OverlapPolicy, has_active: bool, waiting: int) -> Overlap:
    """Say what becomes of a new run while others of its job are unfinished.

    `buffer_one` keeps the first that waits; `cancel_other` and `terminate_other`
    let the newest wait for the place of the one they end.
    """
    if policy is OverlapPolicy.ALLOW_ALL or not (has_active or waiting):
        return Overlap(RunState.QUEUED)
    match policy:
        case OverlapPolicy.BUFFER_ALL:
            return Overlap(RunState.WAITING)
        case OverlapPolicy.BUFFER_ONE if waiting == 0:
            return Overlap(RunState.WAITING)
        case OverlapPolicy.CANCEL_OTHER:
            return Overlap(RunState.WAITING, CancelMode.GRACEFUL, drops_waiting=True)
        case OverlapPolicy.TERMINATE_OTHER:
            return Overlap(RunState.WAITING, CancelMode.KILL, drops_waiting=True)
        case _:
            return Overlap(RunState.SKIPPED)
