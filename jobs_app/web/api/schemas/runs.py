"""Requests and answers about runs."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from jobs_app.core.json_storage import UNREADABLE
from jobs_app.core.run_error import RunError
from jobs_app.core.states import CancelMode, RunState, Trigger, Wait
from jobs_app.db.models.runs import Attempt, Run
from jobs_app.jobs.start import TaskStart
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.derive import input_fields
from jobs_app.web.api.schemas.dump import dumped, shown_kwargs, shown_result
from jobs_app.web.api.schemas.fields import (
    AnyOf,
    CancelModeIn,
    IdPrefixIn,
    Instant,
    InstantIn,
    Note,
    Search,
    seconds_between,
)
from jobs_app.web.api.schemas.job_input import JobRunIn

#: States of a run that was never tried.
UNTRIED = (RunState.WAITING, RunState.SKIPPED, RunState.MISSED, RunState.OBSERVED)

#: The highest byte offset in a log that a request may name.
MOST_BYTES = 1_000_000_000


class ErrorOut(BaseModel):
    """Why an attempt failed."""

    type: str
    message: str
    traceback: str | None


class LateOut(BaseModel):
    """A result that came after its attempt had been given up; it does not count."""

    state: RunState
    exit_code: int | None
    error: ErrorOut | None
    at: Instant


class AttemptOut(BaseModel):
    """One try at a run; `late_result` is a result that came too late."""

    attempt: int
    state: RunState
    started_at: Instant | None
    finished_at: Instant | None
    worker: str | None
    error: ErrorOut | None
    exit_code: int | None
    late_result: LateOut | None


class LogOut(BaseModel):
    """The size of a run's output; whether part of it was cut out, and whether it was deleted."""

    bytes: int
    truncated: bool
    deleted: bool = Field(description="Retention has deleted the log.")


class ProgressOut(BaseModel):
    """The progress of a run, as its task reported it last: `fraction` is from 0 to 1."""

    fraction: float | None
    message: str | None
    meta: dict[str, Any] | None
    at: Instant


class RunOut(BaseModel):
    """The record of one fire or one manual start.

    `started_at` is the start of its first attempt, and `delay_seconds` how late that was.
    `duration_seconds` is the time from then to its end, with the pauses between attempts.
    `cancelled_by` asked for its end. A task may go on all the same: `state` and `reason` say so.
    """

    id: UUID
    job: str | None
    task: str
    state: RunState
    reason: str | None
    waits_for: Wait | None = Field(
        description="What a run waits for that has not started: another run of its job (`run`),"
        " its next attempt (`retry`), a slot of its concurrency key (`key`), a free slot of a"
        " worker (`slot`), or a worker for its queue (`worker`)."
    )
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
    time_limit_seconds: int | None = Field(
        description="How long an attempt may take; null: as long as it needs."
    )
    kwargs: dict[str, Any]
    result: Any
    error: ErrorOut | None
    exit_code: int | None
    progress: ProgressOut | None
    log: LogOut
    retry_of: UUID | None
    fires: int = Field(description="1, or the number of missed fires that this row stands for.")


class RunPage(BaseModel):
    """Part of the list of runs; `next_cursor` is null at its end."""

    items: list[RunOut]
    next_cursor: str | None


#: The fields of an answer that are the columns of a run, as they are.
_COLUMNS = RunOut.model_fields.keys() - {
    *("job", "worker", "started_at", "duration_seconds", "delay_seconds", "waits_for"),
    *("attempts", "kwargs", "result", "error", "progress", "log"),
}


def show_run(run: Run, waits_for: Wait | None) -> dict[str, Any]:
    """Return *run* as JSON; `history` must have loaded it."""
    out = RunOut(
        **{name: getattr(run, name) for name in _COLUMNS},
        job=None if run.job is None else run.job.name,
        waits_for=waits_for,
        started_at=run.first_started_at,
        duration_seconds=seconds_between(run.first_started_at, run.finished_at),
        delay_seconds=seconds_between(run.instant, run.first_started_at),
        attempts=attempts_of(run),
        worker=_worker_name(run),
        kwargs=shown_kwargs(run.kwargs),
        result=shown_result(run.result),
        error=_error(run.error),
        progress=_progress(run),
        log=LogOut(bytes=run.log_bytes, truncated=run.log_truncated, deleted=run.log_deleted),
    )
    return dumped(out)


def _progress(run: Run) -> ProgressOut | None:
    if run.progress is None or "at" in run.progress:
        return None if run.progress is None else ProgressOut(**run.progress)
    return ProgressOut(fraction=None, message=UNREADABLE, meta=None, at=run.created_at)


def attempts_of(run: Run) -> list[AttemptOut]:
    """Return the earlier attempts and the current one, unless the run was never tried."""
    earlier = [
        _attempt(attempt, attempt.worker, _late_result(attempt.note)) for attempt in run.attempts
    ]
    is_listed = any(attempt.attempt == run.attempt for attempt in earlier)
    ended_untried = run.finished_at is not None and run.started_at is None
    if is_listed or run.state in UNTRIED or ended_untried:
        return earlier
    return [*earlier, _attempt(run, _worker_name(run), None)]


def _attempt(row: Run | Attempt, worker: str | None, late_result: LateOut | None) -> AttemptOut:
    return AttemptOut(
        attempt=row.attempt,
        state=row.state,
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker=worker,
        error=_error(row.error),
        exit_code=row.exit_code,
        late_result=late_result,
    )


def _late_result(note: dict[str, Any] | None) -> LateOut | None:
    if note is None:
        return None
    return LateOut(
        state=note["state"],
        exit_code=note.get("exit_code"),
        error=_error(note.get("error")),
        at=datetime.fromisoformat(note["at"]),
    )


def _worker_name(run: Run) -> str | None:
    return None if run.worker is None else run.worker.name


def _error(document: dict[str, Any] | None) -> ErrorOut | None:
    error = RunError.from_json(document)
    return None if error is None else ErrorOut(**error.to_json())


class RunPath(Query):
    """The id of the run."""

    run_id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]


class RunQuery(Query):
    """The runs to list, newest first; `from` <= the instant of a run < `to`."""

    job: Search | None = None
    tag: Annotated[Search | None, Field(description="Only runs of jobs with this tag.")] = None
    state: Annotated[
        tuple[RunState, ...],
        AnyOf(RunState, "states of runs", "The state of the run.", ("failed", "lost")),
    ] = ()
    trigger: Annotated[
        tuple[Trigger, ...],
        AnyOf(Trigger, "triggers", "Why the run exists.", ("manual", "retry_of")),
    ] = ()
    by: Annotated[
        Search | None, Field(description="Who started it: the whole name in `triggered_by`.")
    ] = None
    start: InstantIn | None = Field(None, alias="from")
    end: InstantIn | None = Field(None, alias="to")
    q: Search | None = None
    id_prefix: IdPrefixIn | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


class LogQuery(Query):
    """The part of a log: one attempt (default: the newest), one stream (default: both).

    `offset` and `tail` count bytes of the text: skip the first `offset`, then keep only
    the last `tail`.
    """

    attempt: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    stream: Literal["stdout", "stderr"] | None = None
    offset: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None
    tail: Annotated[int, Field(ge=0, le=MOST_BYTES)] | None = None


class ChunkOut(BaseModel):
    """A piece of a run's output; a gap in `seq` marks where output was cut out.

    Pieces of the two streams that were written close together may share a `seq`.
    """

    seq: int
    attempt: int
    stream: Literal["stdout", "stderr"]
    at: Instant
    text: str


class LogPage(BaseModel):
    """The output of an attempt, in order."""

    items: list[ChunkOut]


class StreamQuery(Query):
    """The position to continue from, for a client that cannot send the header Last-Event-ID."""

    last_event_id: Annotated[str, Field(max_length=30)] | None = None


class StreamHeader(BaseModel):
    """The position to continue from."""

    last_event_id: Annotated[
        str | None,
        Field(
            alias="Last-Event-ID",
            description="The id of the last event received, as in 1-41: continue after it.",
        ),
    ] = None


class CancelIn(Input):
    """How to end a running run (TERM and the grace, or KILL at once), and why."""

    mode: CancelModeIn = CancelMode.GRACEFUL
    reason: Note | None = Field(None, description="Shown as the run's reason.")


class RunRetryIn(JobRunIn):
    """A repetition of a run; `kwargs` replace the run's kwargs of the same names."""


@input_fields(TaskStart)
class TaskRunIn(Input):
    """A run of a task, once, without a job."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"task": "sleep", "kwargs": {"duration": 10}}]}
    )
