"""Celery's events about the end of a run, for Flower and exporters (JOBS_EVENTS).

The process of a run says how it ended, and its worker's main process sends the event. An event
has neither arguments, result nor traceback: whoever reads Redis reads events.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

from jobs_app.core.states import RunState
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome

#: An event has at most this much of the text of an error, characters.
ERROR_CHARS = 300

#: Celery hands on this much of a task's result in its stock way; a packed event is shorter.
PACKED_CHARS = 8192


class RunEvent(NamedTuple):
    """An event about a run: its type, as Celery names it, and its fields."""

    type: str
    fields: dict[str, Any]


def event_of(claimed: ClaimedRun, outcome: Outcome, *, seconds: float) -> RunEvent:
    """Return the event about the end of an attempt, which took *seconds*.

    Its types are Celery's: `task-revoked` is a cancelled run, `task-failed` one that timed
    out or was lost too.
    """
    is_retried = outcome.retry_after_seconds is not None or claimed.retry.allows(
        outcome.state, attempt=claimed.attempt
    )
    if is_retried:
        return RunEvent("task-retried", {"exception": _exception(outcome), "traceback": ""})
    match outcome.state:
        case RunState.SUCCEEDED:
            return RunEvent("task-succeeded", {"result": "", "runtime": seconds})
        case RunState.CANCELLED:
            return REVOKED
        case _:
            return RunEvent("task-failed", {"exception": _exception(outcome), "traceback": ""})


#: The event about a cancelled run, which Celery would call a terminated task.
REVOKED = RunEvent("task-revoked", {"terminated": True, "signum": "SIGTERM", "expired": False})


def _exception(outcome: Outcome) -> str:
    """Return the error as Celery has it: exporters read the class before the bracket."""
    if outcome.error is None:
        return f"{outcome.state.capitalize()}()"
    return f"{outcome.error.type}({outcome.error.message[:ERROR_CHARS]!r})"


def packed(event: RunEvent) -> str:
    """Return *event* as a text that is the same in quotes: Celery hands on texts of results."""
    return urlsafe_b64encode(json.dumps(event).encode()).decode()


def unpacked(text: str) -> RunEvent | None:
    """Return the event of `packed`, None if there is none: the message was dropped."""
    plain = text.strip("'")
    return None if plain == "None" else RunEvent(*json.loads(urlsafe_b64decode(plain)))
