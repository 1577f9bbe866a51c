"""What a task can know about the run that it works for, and the ways in which it can end badly."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

Stream = Literal["stdout", "stderr"]
CancelMode = Literal["graceful", "kill"]


class LogSink(Protocol):
    """Where a run's output goes; never blocks for long and never raises."""

    def write(self, stream: Stream, data: bytes, /) -> None:
        """Take some output, in any encoding and cut anywhere."""


class TaskOutcome(Exception):
    """The base of the ways in which a built-in task ends other than well.

    `exit_code` is the command's, as a shell reports it (128 + n for signal n),
    None where there is none.
    """

    def __init__(self, detail: str, *, exit_code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.exit_code = exit_code


class CommandFailed(TaskOutcome):
    """The command could not be started, or ended with another code than 0: failed."""


class HttpFailed(TaskOutcome):
    """The request got no answer, or an answer that was not expected: failed."""


class TimedOut(TaskOutcome):
    """The task was stopped at a time limit: timed_out."""


class Cancelled(TaskOutcome):
    """The task was stopped because somebody asked for it: cancelled."""


class Fenced(TaskOutcome):
    """The task was stopped because its worker may no longer work: nothing is to be written."""


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that a task works for.

    `job` is None for a run without a job, `scheduled_for` for one started by
    hand. The limits count from the start of the attempt; None means no limit.
    `is_cancelled` and `lease_seconds_left` are asked several times a second,
    from the thread of the task, and must not block: they answer from memory.
    """

    run_id: UUID
    job: str | None
    scheduled_for: datetime | None
    attempt: int
    log: LogSink
    soft_time_limit_seconds: float | None
    time_limit_seconds: float | None
    kill_grace_seconds: float
    is_cancelled: Callable[[], CancelMode | None]
    """How the run is to be stopped; None while nobody asked for it."""
    lease_seconds_left: Callable[[], float]
    """How much longer the worker may work without a heartbeat; 0 or less: stop at once."""
    mask: Callable[[Any], Any] = _as_it_is
    """Takes the run's secrets out of a JSON value; for whatever is stored while it runs."""

    def stop_if_asked(self, *, elapsed_seconds: float) -> None:
        """Raise what ends a task of *elapsed_seconds*: Fenced, Cancelled or TimedOut."""
        if self.lease_seconds_left() <= 0:
            raise Fenced("The worker could not renew its heartbeat and stopped its own runs.")
        if self.is_cancelled() is not None:
            raise Cancelled("The run was cancelled.")
        limits = (self.soft_time_limit_seconds, self.time_limit_seconds)
        limit = min((limit for limit in limits if limit is not None), default=None)
        if limit is not None and elapsed_seconds >= limit:
            raise TimedOut(f"The run was stopped at its time limit of {limit:g} s.")


current_run: ContextVar[RunContext] = ContextVar("current_run")
"""The run of this thread or asyncio task; `get()` raises LookupError outside a run."""


def environment(context: RunContext) -> dict[str, str]:
    """Return the variables that tell a command which run it is.

    JOBS_JOB and JOBS_SCHEDULED_FOR (RFC 3339, UTC, `Z`) are left out where
    there is no job or no fire.
    """
    variables = {"JOBS_RUN_ID": str(context.run_id), "JOBS_ATTEMPT": str(context.attempt)}
    if context.job is not None:
        variables["JOBS_JOB"] = context.job
    if context.scheduled_for is not None:
        in_utc = context.scheduled_for.astimezone(UTC)
        variables["JOBS_SCHEDULED_FOR"] = in_utc.isoformat().replace("+00:00", "Z")
    return variables
