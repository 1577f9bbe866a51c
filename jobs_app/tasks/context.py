"""What a task can know about the run that it works for, and the ways in which it can end badly."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

if TYPE_CHECKING:  # whoever imports jobs_app for its version need not wait for pydantic
    from jobs_app.core.settings import Settings

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
    """The request got no answer, or an answer that was not expected: failed.

    `may_pass` says that the same request may do better a moment later.
    """

    def __init__(self, detail: str, *, may_pass: bool = False) -> None:
        super().__init__(detail)
        self.may_pass = may_pass


class EmailFailed(TaskOutcome):
    """The mail was not taken, or not for every recipient: failed."""


class TimedOut(TaskOutcome):
    """The task was stopped at a time limit: timed_out."""


class Cancelled(TaskOutcome):
    """The task was stopped because somebody asked for it: cancelled."""


class Fenced(TaskOutcome):
    """The task was stopped because its worker may no longer work: nothing is to be written."""


def _as_it_is(value: Any) -> Any:
    return value


class ProgressSink(Protocol):
    """Where a run's progress goes; never blocks for long and never raises."""

    def report(
        self, fraction: float | None, message: str | None, meta: dict[str, Any] | None, /
    ) -> None:
        """Take how far the run has come; called from any thread."""


@dataclass(frozen=True, slots=True)
class LastLog:
    """What the last run of a job that has ended wrote; `is_cut` says that it wrote more."""

    run_id: UUID
    job: str
    state: str
    finished_at: datetime
    text: str
    is_cut: bool


def _no_log(_job: str, _limit_bytes: int) -> LastLog | None:
    return None


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
    settings: "Settings | None" = None
    """Those of the worker; None for those of the environment."""
    progress: ProgressSink | None = None
    last_log: Callable[[str, int], LastLog | None] = _no_log
    """The last log of a job, by name, and at most so many bytes of its end; asks the database."""

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


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a Python task works for, for the task itself.

    `job` is None for a run without a job, `scheduled_for` (UTC) for one started by
    hand. It may be handed on to other threads of the task.
    """

    id: UUID
    job: str | None
    scheduled_for: datetime | None
    attempt: int
    _sink: ProgressSink | None = field(default=None, repr=False, compare=False)

    def progress(
        self,
        fraction: float | None = None,
        message: str | None = None,
        *,
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Show on the run how far it has come; as `jobs_app.progress`, from any thread."""
        if self._sink is not None:
            self._sink.report(fraction, message, meta)


def current_run_info() -> RunInfo | None:
    """Return the run that this task works for; None outside a run, as in a test.

    Known in the thread, or asyncio task, that the task was called in. Other threads
    are to be handed what it returns.
    """
    context = current_run.get(None)
    if context is None:
        return None
    return RunInfo(
        context.run_id, context.job, context.scheduled_for, context.attempt, context.progress
    )


def progress(
    fraction: float | None = None,
    message: str | None = None,
    *,
    meta: dict[str, Any] | None = None,
) -> None:
    """Show on the run how far it has come: `progress(0.4, "4,000 of 10,000 rows")`.

    *fraction* is taken as 0 where it is below and as 1 where it is above. The newest
    report counts; it is stored at most twice a second, so reporting is cheap. Outside
    a run it does nothing.
    """
    info = current_run_info()
    if info is not None:
        info.progress(fraction, message, meta=meta)


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
