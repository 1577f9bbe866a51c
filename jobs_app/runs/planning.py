"""Plans which overdue fires become runs, and which are only recorded: pure, no IO.

`plan` makes every decision of a tick. It gets the facts of one job and the instant of
the tick, and returns the rows to insert and the job's next fire.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import CancelMode, CatchupPolicy, OverlapPolicy, RunState, Trigger
from jobs_app.schedules import union as schedules
from jobs_app.schedules.union import AnySchedule

#: Rows that one outage may leave for a job; the older fires are folded into one row.
MAX_ROWS = 100

#: The largest number that the column of a row's `fires` holds.
MAX_FIRES = 2**31 - 1

#: The first and the last sign of life of each scheduler.
Spans: TypeAlias = tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class PlanInput:
    """The facts of a job that `plan` needs.

    `next_fire_at` is the stored one. `has_active` tells whether a run of the job is
    active, and `waiting` counts the runs that wait behind it. `runs_left` is None
    without `max_runs`. With `scheduler_spans` None, a scheduler was always running. Before
    a change of the job, `catches_up` is False: no late fire runs. With `observes` no fire
    runs: what would run is `observed`, whatever overlaps it.
    """

    schedule: AnySchedule
    next_fire_at: datetime
    policy: FirePolicy = field(default_factory=FirePolicy)
    has_active: bool = False
    waiting: int = 0
    runs_left: int | None = None
    scheduler_spans: Spans | None = None
    catches_up: bool = True
    observes: bool = False


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A row to insert: its fire, its first state and the reason.

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
        """Whether the run will be executed, now or after another run."""
        return self.state in (RunState.QUEUED, RunState.WAITING)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tick does for one job.

    `next_fire_at` is None when the schedule is over. `cancel` tells how to stop the
    job's running run, and `drop_waiting` whether to cancel the runs that wait behind it.
    """

    runs: tuple[PlannedRun, ...]
    next_fire_at: datetime | None
    cancel: CancelMode | None = None
    drop_waiting: bool = False


@dataclass(slots=True)
class _Progress:
    """The state of the job while its fires are decided one by one."""

    has_active: bool
    waiting: int
    has_start: bool = False
    cancel: CancelMode | None = None
    drop_waiting: bool = False
    rows: list[PlannedRun] = field(default_factory=list)


def plan(facts: PlanInput, *, at: datetime) -> Plan:
    """Decide every fire of a job that is due at *at*, oldest first.

    A job that is not due gets an empty plan with its `next_fire_at` unchanged.
    """
    folded, newest, following = _overdue(facts, at=at)
    progress = _Progress(facts.has_active, facts.waiting)
    runs_left = facts.runs_left
    if folded is not None:
        progress.rows.append(folded)
    for fire, reason, trigger in _reasons(facts, newest, at=at):
        if runs_left == 0:
            break
        row = _decide(facts, progress, fire, reason, trigger)
        progress.rows.append(row)
        if runs_left is not None and row.is_start:
            runs_left -= 1
    if runs_left == 0:
        following = None
    return Plan(tuple(progress.rows), following, progress.cancel, progress.drop_waiting)


def _overdue(
    facts: PlanInput, *, at: datetime
) -> tuple[PlannedRun | None, Sequence[datetime], datetime | None]:
    """Return the folded row of a long outage, the fires to decide, and the next fire."""
    schedule, first = facts.schedule, facts.next_fire_at
    most = max(MAX_ROWS, facts.policy.catchup_max_runs)
    due: list[datetime] = []
    following: datetime | None = first
    while following is not None and schedules.due_at(schedule, following) <= at:
        due.append(following)
        following = schedules.next_fire(schedule, after=following)
        if len(due) > most:
            newest, following = _newest_due(schedule, first, most - 1, at=at)
            # Counted, not listed: an outage of years may have millions of fires.
            until = newest[0] - timedelta(microseconds=1)
            old = 1 + schedules.count_fires(schedule, after=first, until=until)
            return _missed(first, "outage_folded", fires=min(old, MAX_FIRES)), newest, following
    return None, due, following


def _newest_due(
    schedule: AnySchedule, first: datetime, number: int, *, at: datetime
) -> tuple[Sequence[datetime], datetime | None]:
    """Return the newest *number* of the fires after *first* that are due, and the next fire.

    More than *number* must be due. The next fire is the first one that is not due.
    """
    newest: deque[datetime] = deque(maxlen=number)
    # All fires until here are due, whatever their jitter is.
    surely_due_at = at - timedelta(seconds=schedule.jitter_seconds)
    fire = schedules.previous_fire(schedule, before=surely_due_at + timedelta(microseconds=1))
    while fire is not None and fire > first and len(newest) < number:
        newest.appendleft(fire)
        fire = schedules.previous_fire(schedule, before=fire)
    following = schedules.next_fire(schedule, after=newest[-1] if newest else first)
    while following is not None and schedules.due_at(schedule, following) <= at:
        newest.append(following)
        following = schedules.next_fire(schedule, after=following)
    return newest, following


def _reasons(
    facts: PlanInput, due: Sequence[datetime], *, at: datetime
) -> list[tuple[datetime, str | None, Trigger]]:
    """Return each fire with its trigger, and the reason why it does not run; None if it runs."""
    policy = facts.policy
    deadline = timedelta(seconds=policy.starting_deadline_seconds)
    window = timedelta(seconds=policy.catchup_window_seconds)
    on_time = [at - schedules.due_at(facts.schedule, fire) <= deadline for fire in due]
    late = [fire for fire, is_on_time in zip(due, on_time, strict=True) if not is_on_time]
    # With catch-up `none` the reason says why the scheduler was late. With the other
    # policies it names the setting that dropped the fire.
    reasons = {fire: _why_late(facts, fire) for fire in late}
    if facts.catches_up and policy.catchup_policy is not CatchupPolicy.NONE:
        in_window = [fire for fire in late if at - fire <= window]
        reasons = dict.fromkeys(late, "catchup_window")
        is_all = policy.catchup_policy is CatchupPolicy.ALL
        keep = policy.catchup_max_runs if is_all else 1
        # `last` means the last fire of all: if one is on time, no late fire runs.
        if policy.catchup_policy is CatchupPolicy.LAST and any(on_time):
            keep = 0
        dropped = in_window[: len(in_window) - keep] if keep else in_window
        reasons |= dict.fromkeys(dropped, "catchup_limit" if is_all else "catchup_last")
        for fire in in_window[len(dropped) :]:
            del reasons[fire]
    return [
        (fire, reasons.get(fire), Trigger.SCHEDULE if is_on_time else Trigger.CATCHUP)
        for fire, is_on_time in zip(due, on_time, strict=True)
    ]


def _why_late(facts: PlanInput, fire: datetime) -> str:
    """Tell whether a scheduler was running between a fire's due instant and its deadline."""
    due_at = schedules.due_at(facts.schedule, fire)
    deadline_at = due_at + timedelta(seconds=max(facts.policy.starting_deadline_seconds, 0))
    was_running = facts.scheduler_spans is None or any(
        first <= deadline_at and last >= due_at for first, last in facts.scheduler_spans
    )
    return "deadline" if was_running else "scheduler_down"


def _decide(
    facts: PlanInput,
    progress: _Progress,
    fire: datetime,
    reason: str | None,
    trigger: Trigger,
) -> PlannedRun:
    """Return the row of one fire, with the overlap policy applied."""
    if reason is not None:
        return _missed(fire, reason)
    if facts.observes:
        return PlannedRun(fire, RunState.OBSERVED, trigger)
    policy = facts.policy.overlap_policy
    if policy is not OverlapPolicy.ALLOW_ALL and _is_caught_up(facts, progress, trigger):
        policy = OverlapPolicy.BUFFER_ALL
    decision = overlap(policy, progress.has_active, progress.waiting)
    if decision.state is RunState.SKIPPED:
        return PlannedRun(fire, RunState.SKIPPED, trigger, "overlap")
    if decision.drops_waiting:
        _drop_waiting(progress)
    if decision.cancel is not None:
        progress.cancel = decision.cancel
    if decision.state is RunState.WAITING:
        progress.waiting += 1
    elif policy is not OverlapPolicy.ALLOW_ALL:
        progress.has_active = True
    progress.has_start = True
    return PlannedRun(fire, decision.state, trigger)


def _is_caught_up(facts: PlanInput, progress: _Progress, trigger: Trigger) -> bool:
    """Tell whether catch-up `all` makes a fire wait for its turn, whatever overlaps.

    Fires that are recorded together must not skip or stop each other: all are to run.
    """
    is_all = facts.policy.catchup_policy is CatchupPolicy.ALL
    return is_all and (trigger is Trigger.CATCHUP or progress.has_start)


def _drop_waiting(progress: _Progress) -> None:
    """Supersede the waiting runs, recorded or planned, by a newer fire."""
    progress.drop_waiting = True
    progress.waiting = 0
    progress.rows = [
        PlannedRun(row.scheduled_for, RunState.SKIPPED, row.trigger, "superseded")
        if row.state is RunState.WAITING
        else row
        for row in progress.rows
    ]


def _missed(fire: datetime, reason: str, *, fires: int = 1) -> PlannedRun:
    return PlannedRun(fire, RunState.MISSED, Trigger.SCHEDULE, reason, fires)


@dataclass(frozen=True, slots=True)
class Overlap:
    """The decision of an overlap policy: the new run's state, and what happens to the others."""

    state: RunState
    cancel: CancelMode | None = None
    drops_waiting: bool = False


def overlap(policy: OverlapPolicy, has_active: bool, waiting: int) -> Overlap:
    """Decide what happens to a new run while other runs of its job are unfinished.

    `buffer_one` keeps the first waiting run. With `cancel_other` and `terminate_other`
    the newest run waits until the run that it stops has finished.
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
