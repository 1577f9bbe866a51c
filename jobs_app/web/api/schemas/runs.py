"""Runs as they are sent and returned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from jobs_app.core.run_error import RunError
from jobs_app.core.states import CancelMode, RunState, Trigger
from jobs_app.core.text import did_you_mean
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.notifications.history import NotificationWithJob
from jobs_app.secrets import redaction
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import (
    CancelModeIn,
    ConcurrencyLimit,
    Instant,
    InstantIn,
    LimitSeconds,
    Note,
    Priority,
    Search,
    TriggerIn,
    seconds_between,
)
from jobs_app.web.api.schemas.job_input import (
    ConcurrencyKey,
    JobRunIn,
    Kwargs,
    QueueName,
    TaskName,
)
from jobs_app.web.api.schemas.notifications import NotificationOut, show_notification

#: States of a run that was never tried.
UNTRIED = (RunState.WAITING, RunState.SKIPPED, RunState.MISSED)

#: Notifications that are shown with their run.
MOST_NOTIFICATIONS = 100

#: The furthest place in a log that can be asked for.
MOST_BYTES = 1_000_000_000


class ErrorOut(BaseModel):
    """Why an attempt failed."""

    type: str
    message: str
    traceback: str | None


class LateOut(BaseModel):
    """What a worker brought after its attempt had been given up: it counts for nothing."""

    state: RunState
    exit_code: int | None
    error: ErrorOut | None
    at: Instant


class AttemptOut(BaseModel):
    """One try at a run; `late_result` is what came of it when it was too late."""

    attempt: int
    state: RunState
    started_at: Instant | None
    finished_at: Instant | None
    worker: str | None
    error: ErrorOut | None
    exit_code: int | None
    late_result: LateOut | None


class LogOut(BaseModel):
    """How much a run wrote; whether some was cut out in the middle, and whether it is gone."""

    bytes: int
    truncated: bool
    deleted: bool = Field(description="By retention: there is nothing left to read.")


class ProgressOut(BaseModel):
    """How far a run has come, as its task reported it last: `fraction` from 0 to 1."""

    fraction: float | None
    message: str | None
    meta: dict[str, Any] | None
    at: Instant


class RunOut(BaseModel):
    """The record of one fire or one manual start."""

    id: UUID
    job: str | None
    task: str
    state: RunState
    reason: str | None
    cancelled_by: str | None
    trigger: Trigger
    triggered_by: str | None
    note: str | None
    scheduled_for: Instant | None
    created_at: Instant
    queued_at: Instant | None
    started_at: Instant | None
    finished_at: Instant | None
    duration_seconds: float | None
    delay_seconds: float | None
    attempt: int
    max_attempts: int
    attempts: list[AttemptOut]
    worker: str | None
    queue: str
    priority: int
    concurrency_key: str | None
    concurrency_limit: int | None
    kwargs: dict[str, Any]
    result: Any
    error: ErrorOut | None
    exit_code: int | None
    progress: ProgressOut | None
    log: LogOut
    retry_of: UUID | None
    fires: int = Field(description="1, or how many missed fires this row stands for.")


class RunDetail(RunOut):
    """A run, and who was told of it."""

    notifications: list[NotificationOut] = Field(
        description=f"What it gave reason to, oldest first, the last {MOST_NOTIFICATIONS} at most."
    )


class RunPage(BaseModel):
    """Part of the list of runs; `next_cursor` is null at its end."""

    items: list[RunOut]
    next_cursor: str | None


def show_run(run: Run) -> dict[str, Any]:
    """Return *run* as it goes over the wire; it comes from `history`."""
    out = RunOut(
        id=run.id,
        job=None if run.job is None else run.job.name,
        task=run.task,
        state=run.state,
        reason=run.reason,
        cancelled_by=run.cancelled_by,
        trigger=run.trigger,
        triggered_by=run.triggered_by,
        note=run.note,
        scheduled_for=run.scheduled_for,
        created_at=run.created_at,
        queued_at=run.queued_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        duration_seconds=seconds_between(run.started_at, run.finished_at),
        delay_seconds=seconds_between(run.scheduled_for or run.created_at, run.started_at),
        attempt=run.attempt,
        max_attempts=run.max_attempts,
        attempts=_attempts(run),
        worker=_worker(run),
        queue=run.queue,
        priority=run.priority,
        concurrency_key=run.concurrency_key,
        concurrency_limit=run.concurrency_limit,
        kwargs=redaction.redacted(run.kwargs),
        result=run.result,
        error=_error(run.error),
        exit_code=run.exit_code,
        progress=None if run.progress is None else ProgressOut(**run.progress),
        log=LogOut(bytes=run.log_bytes, truncated=run.log_truncated, deleted=run.log_deleted),
        retry_of=run.retry_of,
        fires=run.fires,
    )
    return out.model_dump(mode="json")


def show_detail(run: Run, told: Sequence[NotificationWithJob]) -> dict[str, Any]:
    """Return *run* and what was *told* of it, newest first, as they go over the wire."""
    shown = [show_notification(each) for each in reversed(told)]
    return show_run(run) | {"notifications": shown}


def _attempts(run: Run) -> list[AttemptOut]:
    """Return the attempts that are over and the present one, if it was ever to be tried."""
    over = [_attempt(each) for each in run.attempts]
    is_listed = any(each.attempt == run.attempt for each in over)
    was_given_up_untried = run.finished_at is not None and run.started_at is None
    if is_listed or run.state in UNTRIED or was_given_up_untried:
        return over
    present = AttemptOut(
        attempt=run.attempt,
        state=run.state,
        started_at=run.started_at,
        finished_at=run.finished_at,
        worker=_worker(run),
        error=_error(run.error),
        exit_code=run.exit_code,
        late_result=None,
    )
    return [*over, present]


def _attempt(attempt: Attempt) -> AttemptOut:
    return AttemptOut(
        attempt=attempt.attempt,
        state=attempt.state,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        worker=attempt.worker,
        error=_error(attempt.error),
        exit_code=attempt.exit_code,
        late_result=_late(attempt.note),
    )


def _late(note: dict[str, Any] | None) -> LateOut | None:
    if note is None:
        return None
    return LateOut(
        state=note["state"],
        exit_code=note.get("exit_code"),
        error=_error(note.get("error")),
        at=datetime.fromisoformat(note["at"]),
    )


def _worker(run: Run) -> str | None:
    return None if run.worker is None else run.worker.name


def _error(document: dict[str, Any] | None) -> ErrorOut | None:
    error = RunError.from_json(document)
    return None if error is None else ErrorOut(**error.to_json())


class RunPath(Query):
    """Which run."""

    run_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]


def _states(given: list[str]) -> list[str]:
    """Return the states in *given*, each one or several with commas between them."""
    names = [name.strip() for each in given for name in each.split(",") if name.strip()]
    known = [str(state) for state in RunState]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
            said = f"must name states of runs; {name[:60]!r} is none.{hint}"
            raise PydanticCustomError("not_a_choice", "{said}", {"said": said})
    return list(dict.fromkeys(names))


class RunQuery(Query):
    """Which runs a list shows, newest first; `from` <= the instant of a run < `to`."""

    job: Search | None = None
    state: Annotated[
        list[str],
        AfterValidator(_states),
        Field(
            max_length=50,
            description="A state; several, repeated or with commas, mean any of them.",
            json_schema_extra={"example": ["failed", "lost"]},
        ),
    ] = []
    trigger: TriggerIn | None = None
    start: InstantIn | None = Field(None, alias="from")
    end: InstantIn | None = Field(None, alias="to")
    q: Search | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


class LogQuery(Query):
    """Which part of a log: of one attempt (default: the newest), of one stream (default: both).

    `offset` and `tail` count bytes of the text: what comes after the first `offset`,
    and of that the last `tail`.
    """

    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    stream: Literal["stdout", "stderr"] | None = None
    offset: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None
    tail: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None


class ChunkOut(BaseModel):
    """A piece of what a run wrote; a number missing in `seq` is where output was cut out."""

    seq: int
    attempt: int
    stream: Literal["stdout", "stderr"]
    at: Instant
    text: str


class LogPage(BaseModel):
    """What an attempt wrote, in order."""

    items: list[ChunkOut]


class StreamQuery(Query):
    """Where to go on, for a client that cannot send the header Last-Event-ID."""

    last_event_id: Annotated[str, Field(max_length=30)] | None = None


class StreamHeader(BaseModel):
    """Where to go on."""

    last_event_id: Annotated[
        str | None,
        Field(
            alias="Last-Event-ID",
            description="The id of the last event that arrived, as in 1-41: go on after it.",
        ),
    ] = None


class CancelIn(Input):
    """How a running run is ended (TERM and its grace, or KILL at once), and why."""

    mode: CancelModeIn = CancelMode.GRACEFUL
    reason: Note | None = Field(None, description="Shown as the run's reason.")


class AgainIn(JobRunIn):
    """A repetition of a run; `kwargs` replace those of the run with the same names."""


class TaskRunIn(Input):
    """A run of a task, once, without a job."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"task": "sleep", "kwargs": {"duration": 10}}]}
    )

    task: TaskName
    kwargs: Kwargs = {}
    queue: QueueName = "default"
    priority: Priority = 5
    concurrency_key: ConcurrencyKey | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    soft_time_limit_seconds: LimitSeconds | None = None
    time_limit_seconds: LimitSeconds | None = 3600
    kill_grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    note: Note | None = None
