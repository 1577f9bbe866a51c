"""States of runs and jobs, and the transitions between them: pure data, no IO.

    waiting ──► queued ──► running ──► succeeded | failed | timed_out | cancelled | lost
                  ▲           │
                  └ retrying ◄┘            skipped, missed, observed: inserted so, final

`waiting`, `queued` and `retrying` may also become `cancelled`.
"""

from enum import StrEnum


class RunState(StrEnum):
    """The state of a run; each comment names what moves it on."""

    WAITING = (
        "waiting"  # buffered behind another run of its job, which promotes it when it finishes
    )
    QUEUED = "queued"  # committed; any worker that has its message may claim it
    RUNNING = "running"  # claimed by one worker; its finish, or the janitor, moves it on
    RETRYING = "retrying"  # an attempt ended; the janitor queues the next one when it is due
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"  # its worker vanished
    SKIPPED = "skipped"  # a policy refused the fire; `reason` names it
    MISSED = "missed"  # no scheduler ran when the fire was due; `reason` says why
    OBSERVED = "observed"  # its job only watches: nothing runs


class JobState(StrEnum):
    """Whether the schedule of a job is followed."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"  # its schedule has no further fire


class Standing(StrEnum):
    """How a job stands; a job may stand in several ways."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    FAILING = "failing"  # as often in a row as its `after_failures` says
    LATE = "late"  # a run waits for a worker, or a fire for the scheduler
    OBSERVING = "observing"  # its fires are recorded, and nothing runs
    RUNNING = "running"
    NEVER_RUN = "never_run"
    NO_NEXT_FIRE = "no_next_fire"


class JobSort(StrEnum):
    """The order of a list; jobs that are equal in it come by name."""

    NAME = "name"
    ATTENTION = "attention"  # failing, late and running jobs first
    NEXT = "next"  # the job that fires next first, those without a next fire last
    LAST = "last"  # the job with the newest run first, those without a run last


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    CATCHUP = "catchup"
    MANUAL = "manual"
    RETRY_OF = "retry_of"
    BACKFILL = "backfill"


class Via(StrEnum):
    """The way by which a change came: `system` is what jobs-app does by itself."""

    API = "api"
    CLI = "cli"
    PAGE = "page"
    SYSTEM = "system"


class OverlapPolicy(StrEnum):
    """What happens to a fire while another run of the job is unfinished."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    BUFFER_ALL = "buffer_all"
    CANCEL_OTHER = "cancel_other"
    TERMINATE_OTHER = "terminate_other"
    ALLOW_ALL = "allow_all"


class CatchupPolicy(StrEnum):
    """Which of the fires that the scheduler was late for are run."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class CancelMode(StrEnum):
    """How a running run is ended: TERM and KILL after the grace, or KILL at once."""

    GRACEFUL = "graceful"
    KILL = "kill"


class Wait(StrEnum):
    """What a run waits for that has not started."""

    RUN = "run"  # the end of another run of its job
    RETRY = "retry"  # the instant of its next attempt
    KEY = "key"  # a slot of its concurrency key
    SLOT = "slot"  # a free slot of a worker of its queue
    WORKER = "worker"  # a worker: none serves its queue

    @property
    def words(self) -> str:
        """The same for people, after the state of the run."""
        return _WAITS[self]


_WAITS = {
    Wait.RUN: "waits for another run of it",
    Wait.RETRY: "waits for its next attempt",
    Wait.KEY: "waits for a slot of its concurrency key",
    Wait.SLOT: "waits for a free slot",
    Wait.WORKER: "no worker serves its queue",
}


class NotificationState(StrEnum):
    """The state of a notification."""

    PENDING = "pending"  # to be sent when it is due, and retried
    SENT = "sent"
    FAILED = "failed"  # given up after its last try
    GROUPED = "grouped"  # part of the message of another one
    SUPPRESSED = "suppressed"  # not sent: too old when its turn came, or its channel is gone


#: States in which a run is active: at most one run of a job unless `allow_all`.
ACTIVE = (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING)

#: States of a run that has not ended.
UNFINISHED = (RunState.WAITING, *ACTIVE)

#: States that a cancel may end at once, because no worker runs the task.
CANCELLABLE_AT_ONCE = (RunState.WAITING, RunState.QUEUED, RunState.RETRYING)

#: States of a run that has ended.
FINAL = tuple(state for state in RunState if state not in UNFINISHED)

#: Final states that count as failures.
FAILURES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)


class Event(StrEnum):
    """The event that a notification is about; each comment says when it happens.

    New events go to the end: rows store their positions, as `bit`.
    """

    FAILED = "failed"  # a run ended `failed` or `timed_out`, with no attempt left
    RECOVERED = "recovered"  # a run succeeded after one or more that had not
    LATE = "late"  # a run waits longer than its job allows, or is caught up with after an outage
    MISSED = "missed"  # fires were due, no scheduler was there in time, and they will not run
    LOST = "lost"  # the worker of a run vanished, and no attempt was left
    SUCCEEDED = "succeeded"  # a run succeeded
    PAUSED = "paused"  # a person, or failures in a row, paused the job
    TEST = "test"  # a person tested a channel
    OUTPUT = "output"  # a run ended, not cancelled, and had printed something
    OVERRUN = "overrun"  # a run takes three times as long as usual, and goes on

    @property
    def bit(self) -> int:
        """Return the event's bit in `jobs.hears`, the sum of the subscribed events."""
        return 1 << list(Event).index(self)
