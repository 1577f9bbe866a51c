"""What a task knows about its run, and the errors with which a task can end."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode
from jobs_app.core.text import rfc3339

if TYPE_CHECKING:  # importing jobs_app for its version must not load pydantic
    from jobs_app.core.settings import Settings

Stream = Literal["stdout", "stderr"]


class LogSink(Protocol):
    """Where a run's output goes; never blocks for long and never raises."""

    def write(self, stream: Stream, data: bytes, /) -> None:
        """Take some output, in any encoding; it may be cut anywhere."""


class TaskOutcome(Exception):
    """Base class of the errors with which a built-in task ends.

    `exit_code` is the command's as a shell reports it (128 + n for signal n), else None.
    """

    def __init__(self, detail: str, *, exit_code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.exit_code = exit_code


class CommandFailed(TaskOutcome):
    """The command could not be started, or its exit code is not 0: failed."""


class HttpFailed(TaskOutcome):
    """The request got no answer, or an unexpected one: failed.

    `may_pass` says that the same request may succeed a moment later.
    """

    def __init__(self, detail: str, *, may_pass: bool = False) -> None:
        super().__init__(detail)
        self.may_pass = may_pass


class CeleryFailed(TaskOutcome):
    """The task of another Celery was not sent, or it failed: failed.

    `may_pass` says that the same call may succeed a moment later.
    """

    def __init__(self, detail: str, *, may_pass: bool = False) -> None:
        super().__init__(detail)
        self.may_pass = may_pass


class EmailFailed(TaskOutcome):
    """The mail server refused the mail, or some of its recipients: failed."""


class TimedOut(TaskOutcome):
    """The task was stopped at a time limit: timed_out."""


class Cancelled(TaskOutcome):
    """The task was stopped on request: cancelled."""


class Fenced(TaskOutcome):
    """The task was stopped because the lease of its worker ran out: write nothing."""


class ProgressSink(Protocol):
    """Where a run's progress goes; never blocks for long and never raises."""

    def report(
        self, fraction: float | None, message: str | None, meta: dict[str, Any] | None, /
    ) -> None:
        """Take the progress of the run; any thread may call it."""


class SentTask(Protocol):
    """The task that workers elsewhere run for this run; its row keeps what was sent."""

    def before(self) -> tuple[dict[str, Any] | None, bool]:
        """Return what the attempt before has sent, if it has, and whether it was lost since."""

    def keep(self, sent: dict[str, Any], /) -> None:
        """Keep what this attempt has sent, or waits for; never raises."""

    def is_handed_on(self) -> bool:
        """Return whether this attempt ends because its worker stops, and another one waits."""


@dataclass(frozen=True, slots=True)
class LastLog:
    """The log of the last finished run of a job; `is_cut` says that its beginning is missing."""

    run_id: UUID
    job: str
    state: str
    finished_at: datetime
    text: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that a task works for.

    `job` is None for a run without a job, `scheduled_for` is None for a manual run. The
    limits count from the start of the attempt; None means no limit. The task's thread calls
    `is_cancelled` and `lease_seconds_left` several times a second: they must not block.
    """

    run_id: UUID
    job: str | None
    scheduled_for: datetime | None
    attempt: int
    log: LogSink
    limits: RunLimits
    is_cancelled: Callable[[], CancelMode | None]
    """How the run must stop; None while nobody has cancelled it."""
    lease_seconds_left: Callable[[], float]
    """Seconds that the worker may still work without a heartbeat; 0 or less: stop at once."""
    mask: Callable[[Any], Any] = lambda value: value
    """Takes the run's secrets out of a JSON value before it is stored."""
    settings: "Settings | None" = None
    """The worker's settings; None: read them from the environment."""
    progress: ProgressSink | None = None
    is_aborted: Callable[[], bool] = lambda: False
    """Answers `self.is_aborted()` of an AbortableTask: whether it must end by itself."""
    sent_task: SentTask | None = None
    """Keeps what the task `celery` has sent; None for other tasks."""
    last_log: Callable[[str, int], LastLog | None] = lambda _job, _limit_bytes: None
    """Reads the last log of a job from the database: its name, and the most bytes of its end."""

    def stop_if_asked(self, *, elapsed_seconds: float) -> None:
        """Raise Fenced, Cancelled or TimedOut if a task of *elapsed_seconds* must end."""
        if self.lease_seconds_left() <= 0:
            raise Fenced("The worker could not renew its heartbeat and stopped its own runs.")
        if self.is_cancelled() is not None:
            raise Cancelled("The run was cancelled.")
        limit = self.limits.first_seconds
        if limit is not None and elapsed_seconds >= limit:
            raise TimedOut(f"The run was stopped at its time limit of {limit:g} s.")


current_run: ContextVar[RunContext] = ContextVar("current_run")
"""The run of this thread or asyncio task; `get()` raises LookupError outside a run."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that a Python task works for, as the task sees it.

    `job` is None for a run without a job, `scheduled_for` (UTC) is None for a manual run.
    The task may pass it to its other threads.
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
        """Report progress, as `jobs_app.progress` does, from any thread."""
        if self._sink is not None:
            self._sink.report(fraction, message, meta)


def current_run_info() -> RunInfo | None:
    """Return the run that this task works for; None outside a run, as in a test.

    Call it in the thread, or asyncio task, of the task; pass its result to other threads.
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
    """Report the progress of this run: `progress(0.4, "4,000 of 10,000 rows")`.

    *fraction* is limited to 0…1. The newest report counts; it is stored at most twice a
    second, so reporting is cheap. Outside a run it does nothing.
    """
    info = current_run_info()
    if info is not None:
        info.progress(fraction, message, meta=meta)


#: The variables of `environment`.
RUN_VARIABLES = ("JOBS_RUN_ID", "JOBS_ATTEMPT", "JOBS_JOB", "JOBS_SCHEDULED_FOR")


def environment(context: RunContext) -> dict[str, str]:
    """Return the environment variables with which a command knows its run.

    JOBS_JOB and JOBS_SCHEDULED_FOR (RFC 3339, UTC, `Z`) are empty without a job or a fire:
    a script with `set -u` can read them in each run.
    """
    fire = context.scheduled_for
    values = (
        str(context.run_id),
        str(context.attempt),
        context.job or "",
        "" if fire is None else rfc3339(fire),
    )
    return dict(zip(RUN_VARIABLES, values, strict=True))
