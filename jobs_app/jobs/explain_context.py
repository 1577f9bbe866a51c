"""The facts around an instant of a job's schedule, which `explain_text` interprets."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from jobs_app.core.policies import FirePolicy
from jobs_app.core.states import RunState, Trigger
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.union import AnySchedule


class Verdict(StrEnum):
    """The outcome of an instant, past or to come."""

    RAN = "ran"  # a run was started, whatever its end
    SKIPPED = "skipped"  # a policy said no
    MISSED = "missed"  # nobody was there in time
    OBSERVED = "observed"  # the job only watches: nothing runs
    CANCELLED = "cancelled"  # a run was ended before it started
    WILL_RUN = "will_run"  # it lies ahead, or its run waits for its turn
    PAUSED = "paused"
    ENDED = "ended"  # the schedule was over, or max_runs used up
    NOT_A_FIRE = "not_a_fire"
    NOT_YET_CREATED = "not_yet_created"
    DELETED = "deleted"
    UNRECORDED = "unrecorded"  # it came due, and nothing is on record of it (yet)
    UNKNOWN = "unknown"  # it is so far ahead that max_runs may be used up by then
    FORGOTTEN = "forgotten"  # what was on record of it is no longer kept


@dataclass(frozen=True, slots=True)
class ExplainedRun:
    """A run as its row has it; `fires` is above 1 if it stands for that many fires."""

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
    """A stretch in which the schedule was not followed; `until` is None while it lasts.

    `planned_end` is when a lasting pause will end by itself, None if it will not.
    """

    since: datetime
    by: str | None
    reason: str | None
    until: datetime | None = None
    resumed_by: str | None = None
    planned_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobRules:
    """The part of a job that decides about fires, as it was at the instant in question."""

    schedule: AnySchedule | None
    policy: FirePolicy = field(default_factory=FirePolicy)
    is_present: bool = True
    """Whether the schedule is still the same today."""
    observes: bool = False

    @property
    def timezone(self) -> str:
        """The time zone in which people read its instants; UTC without a schedule."""
        return "UTC" if self.schedule is None else self.schedule.timezone


@dataclass(frozen=True, slots=True)
class QueueWorkers:
    """How many workers serve the queue of a queued run, with their slots and how many are busy.

    `same_key` counts the running runs with its concurrency key.
    """

    count: int
    slots: int
    busy: int
    same_key: int = 0


@dataclass(frozen=True, slots=True)
class FireContext:
    """All facts about a job around `instant`.

    `asked` is the local time of the question, None if it named an instant. `day` is the day
    that it named, None if it named a time. `fire` is the
    fire on that instant, by the schedule as it was then; None if there is none. `run` is
    the row of that fire, or the row that it was folded into. `other` is the run that
    blocked it or ran in its place. `by_hand` is a run that a person started just then.
    `has_runs` is false if no run of a job without a schedule is on record.
    `pause` covers the instant, `pause_now` lasts. `watched_since` is when the job began to watch
    only, if it did so then, and `watched_by` who said so. `is_over` says that the job ends before
    the fire, by `max_runs` if that is set; None says that this is too far ahead to count.
    `pruned_until` is the newest instant whose run
    retention has deleted.
    """

    at: datetime
    instant: datetime
    rules: JobRules
    created_at: datetime
    asked: datetime | None = None
    day: date | None = None
    fire: Fire | None = None
    previous: Fire | None = None
    next: Fire | None = None
    run: ExplainedRun | None = None
    other: ExplainedRun | None = None
    by_hand: ExplainedRun | None = None
    has_runs: bool = True
    queue_workers: QueueWorkers | None = None
    created_by: str | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    pause: Pause | None = None
    pause_now: Pause | None = None
    watched_since: datetime | None = None
    watched_by: str | None = None
    max_runs: int | None = None
    is_over: bool | None = False
    ticked_at: datetime | None = None
    pruned_until: datetime | None = None
