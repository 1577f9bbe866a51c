"""Turns an error or a result into the outcome of a run that can be stored."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.exceptions import Retry, SoftTimeLimitExceeded

from jobs_app.core import clock
from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.runs.outcome import Outcome
from jobs_app.tasks.context import Cancelled, Fenced, TaskOutcome, TimedOut
from jobs_app.worker.output.error_text import message_of, plain, shortened
from jobs_app.worker.output.run_log import RunLog
from jobs_app.worker.output.secret_masking import NO_SECRETS, Mask

#: At most this much of a traceback is kept, characters: its end, where the error is.
TRACEBACK_CHARS = 32_768


def failed(error: BaseException, text: str | None) -> Outcome:
    """Return the outcome of a run that ended with *error*."""
    details = RunError(
        type="Cancelled" if isinstance(error, Cancelled) else type(error).__name__,
        message=message_of(error),
        # A traceback through our own tasks does not help to repair a command.
        traceback=None if isinstance(error, TaskOutcome) else plain(text),
    )
    exit_code = error.exit_code if isinstance(error, TaskOutcome) else None
    match error:
        case Cancelled():
            return Outcome(RunState.CANCELLED, error=details, exit_code=exit_code)
        case Fenced():
            return Outcome(RunState.LOST, error=details, reason="fenced")
        case TimedOut() | SoftTimeLimitExceeded():
            return Outcome(RunState.TIMED_OUT, error=details, exit_code=exit_code)
        case _:
            return Outcome(RunState.FAILED, error=details, exit_code=exit_code)


def retried(
    retry: Retry, info: Any, as_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> Outcome:
    """Return the outcome of a task that requested a retry by `self.retry()`.

    *as_json* turns the arguments of the retry into JSON.
    """
    cause = retry.exc or retry
    details = RunError(
        type=type(cause).__name__,
        message=message_of(cause),
        traceback=plain(getattr(info, "traceback", None)),
    )
    when = retry.when
    if isinstance(when, datetime):
        # Celery takes an instant without a zone in its own zone, which is UTC here.
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - clock.now()).total_seconds()
    else:
        seconds = float(when or 0)
    signature = getattr(retry, "sig", None)
    return Outcome(
        RunState.FAILED,
        error=details,
        retry_after_seconds=max(seconds, 0.0),
        retry_kwargs=None if signature is None else as_json(dict(signature.kwargs)),
    )


def ignored(task_states: Sequence[str | None]) -> Outcome:
    """Return the outcome of a task that set *task_states* and then raised Ignore."""
    if task_states and task_states[-1] in {states.FAILURE, states.REVOKED}:
        # Tutorials fail a task by hand so: `self.update_state(state="FAILURE")`, then Ignore.
        message = f"The task set its state to {task_states[-1]} and raised Ignore."
        return Outcome(RunState.FAILED, error=RunError("Ignore", message))
    return Outcome(RunState.SUCCEEDED, reason="The task raised Ignore: it has no result.")


def stopped() -> Outcome:
    """Return the outcome of a run that its worker stopped; the retry policy decides the rest."""
    message = "The worker was stopped."
    return Outcome(RunState.LOST, error=RunError("WorkerStopped", message), reason=message)


def unstorable(outcome: Outcome, kind: str) -> Outcome:
    """Return the outcome to write in place of one that the database refuses."""
    message = f"The run ended as {outcome.state}, but how could not be stored ({kind})."
    return Outcome(RunState.FAILED, error=RunError(kind, message))


def cut(outcome: Outcome) -> Outcome:
    """Return *outcome* with its error shortened; mask it first, as half a secret is not found."""
    error = outcome.error
    if error is None:
        return outcome
    short = RunError(
        type=error.type,
        message=shortened(error.message),
        traceback=None if error.traceback is None else error.traceback[-TRACEBACK_CHARS:],
    )
    return replace(outcome, error=short)


def with_log(outcome: Outcome, run_log: RunLog) -> Outcome:
    if run_log.total_bytes == 0:
        return outcome
    return replace(outcome, log_bytes=run_log.total_bytes, log_truncated=run_log.cut_bytes > 0)


def storable(value: Any, limit_bytes: int, mask: Mask = NO_SECRETS) -> Any:
    """Return *value* as a JSON value, without the secrets that *mask* knows.

    An object that JSON does not know becomes its text. A value above *limit_bytes* becomes
    `{"truncated": true, "bytes": …, "head": …}`.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except Exception:  # noqa: BLE001  # user objects may raise anything
        try:
            text = json.dumps(value, default=str, allow_nan=False, skipkeys=True)
        except Exception:  # noqa: BLE001  # user objects may raise anything
            text = json.dumps(message_of(value))
    if mask:
        text = json.dumps(mask.json(json.loads(text)))
    if len(text) > limit_bytes:
        return {"truncated": True, "bytes": len(text), "head": text[:1024]}
    if "\\u0000" in text or "\\ud" in text:
        return _plain_value(json.loads(text))
    return json.loads(text)


def _plain_value(value: Any) -> Any:
    """Return a JSON value with strings that every database can store."""
    match value:
        case str():
            return plain(value)
        case list():
            return [_plain_value(item) for item in value]
        case dict():
            return {plain(key): _plain_value(item) for key, item in value.items()}
        case _:
            return value
