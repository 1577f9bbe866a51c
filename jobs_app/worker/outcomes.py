"""What becomes of an error, or of a result: the outcome of a run, in a form that can be stored."""

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
from jobs_app.worker.output.secret_masking import NOTHING, Mask

#: Most of a traceback that is kept, characters; the end of it, where the error is.
TRACEBACK_CHARS = 32_768


def failed(error: BaseException, text: str | None) -> Outcome:
    """Return the outcome that *error* means."""
    told = RunError(
        type="Cancelled" if isinstance(error, Cancelled) else type(error).__name__,
        message=message_of(error),
        # How our own tasks look inside helps nobody to mend a command.
        traceback=None if isinstance(error, TaskOutcome) else plain(text),
    )
    exit_code = error.exit_code if isinstance(error, TaskOutcome) else None
    match error:
        case Cancelled():
            return Outcome(RunState.CANCELLED, error=told, exit_code=exit_code)
        case Fenced():
            return Outcome(RunState.LOST, error=told, reason="fenced")
        case TimedOut() | SoftTimeLimitExceeded():
            return Outcome(RunState.TIMED_OUT, error=told, exit_code=exit_code)
        case _:
            return Outcome(RunState.FAILED, error=told, exit_code=exit_code)


def retried(
    retry: Retry, info: Any, as_json: Callable[[dict[str, Any]], dict[str, Any]]
) -> Outcome:
    """Return the outcome of a task that asked, by `self.retry()`, to be tried again.

    *as_json* makes of the arguments that it wants what can be stored.
    """
    cause = retry.exc or retry
    told = RunError(
        type=type(cause).__name__,
        message=message_of(cause),
        traceback=plain(getattr(info, "traceback", None)),
    )
    when = retry.when
    if isinstance(when, datetime):
        # Celery takes an instant without a zone as one of its own, which is UTC here.
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        seconds = (when - clock.now()).total_seconds()
    else:
        seconds = float(when or 0)
    wanted = getattr(retry, "sig", None)
    return Outcome(
        RunState.FAILED,
        error=told,
        retry_after_seconds=max(seconds, 0.0),
        retry_kwargs=None if wanted is None else as_json(dict(wanted.kwargs)),
    )


def ignored(told: Sequence[str | None]) -> Outcome:
    """Return the outcome of a task that raised Ignore, after it had told of these states."""
    if told and told[-1] in {states.FAILURE, states.REVOKED}:
        # How tutorials fail a task by hand: `self.update_state(state="FAILURE")`, then Ignore.
        said = f"The task set its state to {told[-1]} and raised Ignore."
        return Outcome(RunState.FAILED, error=RunError("Ignore", said))
    return Outcome(RunState.SUCCEEDED, reason="The task raised Ignore: it has no result.")


def stopped() -> Outcome:
    """Return the outcome of a run that ended with its worker: by policy, another attempt."""
    said = "The worker was stopped."
    return Outcome(RunState.LOST, error=RunError("WorkerStopped", said), reason=said)


def unstorable(outcome: Outcome, kind: str) -> Outcome:
    """Return what is written in place of an outcome that the database does not take."""
    message = f"The run ended as {outcome.state}, but how could not be stored ({kind})."
    return Outcome(RunState.FAILED, error=RunError(kind, message))


def cut(outcome: Outcome) -> Outcome:
    """Return *outcome* with its error shortened; a secret cut in two could not be masked."""
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


def storable(value: Any, limit_bytes: int, mask: Mask = NOTHING) -> Any:
    """Return *value* as JSON can hold it, without the secrets that *mask* knows.

    What JSON does not know is stored as its text; what is larger than
    *limit_bytes* as `{"truncated": true, "bytes": …, "head": …}`.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except Exception:  # noqa: BLE001  # what is in it may have methods of its own
        try:
            text = json.dumps(value, default=str, allow_nan=False, skipkeys=True)
        except Exception:  # noqa: BLE001
            text = json.dumps(message_of(value))
    if mask:
        text = json.dumps(mask.json(json.loads(text)))
    if len(text) > limit_bytes:
        return {"truncated": True, "bytes": len(text), "head": text[:1024]}
    if "\\u0000" in text or "\\ud" in text:
        return json.loads(_plain_json(text))
    return json.loads(text)


def _plain_json(text: str) -> str:
    """Return JSON *text* whose strings every database stores."""
    return json.dumps(_plain_value(json.loads(text)))


def _plain_value(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case list():
            return [_plain_value(item) for item in value]
        case dict():
            return {plain(key): _plain_value(item) for key, item in value.items()}
        case _:
            return value
