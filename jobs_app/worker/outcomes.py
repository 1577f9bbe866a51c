"""Turns an error or a result into the outcome of a run that can be stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import states
from celery.exceptions import Retry, SoftTimeLimitExceeded
from kombu.exceptions import OperationalError

from jobs_app.core import clock
from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState
from jobs_app.core.text import plain, text_of
from jobs_app.runs.outcome import Outcome
from jobs_app.tasks.context import Cancelled, Fenced, TaskOutcome, TimedOut
from jobs_app.worker.output.error_text import shortened
from jobs_app.worker.output.run_log import RunLog

#: At most this much of a traceback is kept, characters: its end, where the error is.
TRACEBACK_CHARS = 32_768


_BACKEND_HINT = (
    "The application of the task has no result backend, so a task cannot ask for its state or "
    "that of others: give your own application one (result_backend), or use a chain, "
    "self.replace() or a call as a function. self.is_aborted() of an AbortableTask knows a cancel."
)

#: Errors by which people meet what a task lacks here: the class, a part of the text, what helps.
_HINTS: tuple[tuple[type[Exception], str, str], ...] = (
    (AttributeError, "'DisabledBackend' object has no attribute", _BACKEND_HINT),
    (NotImplementedError, "result backend", _BACKEND_HINT),
    (
        OperationalError,
        "",
        "A task sends others to the broker of its own application (broker_url), which did not "
        "take the message.",
    ),
    (
        RuntimeError,
        "Never call result.get() within a task",
        "A task that waits for another one holds a slot that the other may need: use a chain, "
        "self.replace() or a call as a function.",
    ),
    (
        RuntimeError,
        "Working outside of application context",
        "If the task needs a Flask application, name the module that makes it, as in "
        "flask_app = create_app(), in JOBS_IMPORTS.",
    ),
)


def _with_hint(error: BaseException) -> str:
    """Return the text of *error*, with what helps if we know it."""
    message = text_of(error)
    for kind, part, hint in _HINTS:
        if isinstance(error, kind) and part in message:
            text = message.strip()
            return f"{text}{'' if text.endswith('.') else '.'} {hint}"
    return message


def failed(error: BaseException, text: str | None) -> Outcome:
    """Return the outcome of a run that ended with *error*."""
    details = RunError(
        type="Cancelled" if isinstance(error, Cancelled) else type(error).__name__,
        message=_with_hint(error),
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
    retry: Retry,
    info: Any,
    for_retry: Callable[[Sequence[Any], Mapping[str, Any]], dict[str, Any]],
) -> Outcome:
    """Return the outcome of a task that requested a retry by `self.retry()`.

    *for_retry* turns the arguments of its next call into the kwargs of a row, or raises
    ValueError: then the run fails and says why.
    """
    cause = retry.exc or retry
    details = RunError(
        type=type(cause).__name__,
        message=text_of(cause),
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
    try:
        kwargs = None if signature is None else for_retry(signature.args, signature.kwargs)
    except ValueError as error:
        message = f"The arguments of self.retry() could not be stored. {error}"
        return Outcome(RunState.FAILED, error=RunError("InvalidArguments", message))
    return Outcome(
        RunState.FAILED,
        error=details,
        retry_after_seconds=max(seconds, 0.0),
        retry_kwargs=kwargs,
    )


def ignored(task_states: Sequence[str | None]) -> Outcome:
    """Return the outcome of a task that set *task_states* and then raised Ignore."""
    if task_states and task_states[-1] in {states.FAILURE, states.REVOKED}:
        # Tutorials fail a task by hand so: `self.update_state(state="FAILURE")`, then Ignore.
        message = f"The task set its state to {task_states[-1]} and raised Ignore."
        return Outcome(RunState.FAILED, error=RunError("Ignore", message))
    return Outcome(RunState.SUCCEEDED, reason="The task raised Ignore: it has no result.")


def aborted(outcome: Outcome) -> Outcome:
    """Return the outcome of a cancelled run whose task ended itself; its result is kept."""
    message = "The run was cancelled, and its task ended by itself."
    return replace(outcome, state=RunState.CANCELLED, error=RunError("Cancelled", message))


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
