"""The value that a task returns: refused if it is work not done yet, else stored as JSON."""

import dataclasses
import inspect
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any

from celery.canvas import Signature
from celery.result import ResultBase

from jobs_app.core.json_storage import TooLarge, as_json
from jobs_app.core.states import RunState
from jobs_app.core.text import text_of
from jobs_app.runs.outcome import Outcome
from jobs_app.worker.output.secret_masking import NO_SECRETS, Mask

#: Parts of a result are searched for work not done, up to this many.
MOST_SEARCHED = 1000


class UnfinishedResult(TypeError):
    """The task returned work that nobody has done yet."""


def finished(result: Any) -> Any:
    """Return *result*; raises UnfinishedResult if it is, or holds, work that is not done yet."""
    parts = [result]
    # The list grows while it is read.
    for part in parts:
        if (problem := _problem(part)) is not None:
            raise UnfinishedResult(problem)
        if len(parts) < MOST_SEARCHED:
            parts += islice(_members(part), MOST_SEARCHED)
    return result


def _members(value: Any) -> Iterable[Any]:
    """Return the parts of a container or a dataclass; nothing for other values."""
    kind = type(value)
    # By the methods of the base class: those of a subclass may run user code.
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            return base.__iter__(value)
    if issubclass(kind, dict):
        return dict.values(value)
    if not dataclasses.is_dataclass(kind):
        return ()
    try:
        return [getattr(value, field.name) for field in dataclasses.fields(kind)]
    except Exception:  # noqa: BLE001  # a user's field may raise anything
        return ()


def _problem(value: Any) -> str | None:
    """Return a sentence about *value* if it is work that is not done, else None."""
    if value is None or isinstance(value, str | int | float | bytes):
        return None
    if isinstance(value, ResultBase):
        kind = type(value).__name__
        return f"The task returned the {kind} of other tasks, not a value: return their ids."
    if isinstance(value, Signature):
        name = text_of(value.get("task"))
        return f"The task returned a signature of {name}, which nobody called: call it."
    if inspect.iscoroutine(value):
        value.close()
        return "The task returned a coroutine that nobody awaited: await it, and return its value."
    kind = _with_article(type(value).__name__)
    if isinstance(value, Future) or inspect.isawaitable(value):
        return f"The task returned {kind} that nobody awaited: return its value."
    if isinstance(value, Iterator | AsyncIterator):
        return f"The task returned {kind}, whose values nobody took: return a list of them."
    return None


def _with_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def succeeded(
    result: Any, *, limit_bytes: int, mask: Mask = NO_SECRETS, exit_code: int | None = None
) -> Outcome:
    """Return the outcome of a task that returned *result*; its reason names each lossy change."""
    stored, notes = storable(result, limit_bytes, mask)
    reason = f"The result is stored with changes. {' '.join(notes)}" if notes else None
    return Outcome(RunState.SUCCEEDED, result=stored, reason=reason, exit_code=exit_code)


def storable(value: Any, limit_bytes: int, mask: Mask = NO_SECRETS) -> tuple[Any, list[str]]:
    """Return *value* as JSON without the secrets that *mask* knows, and notes of its changes.

    A value above *limit_bytes* becomes `{"truncated": true, "bytes": …, "head": …}`.
    """
    try:
        # Twice: each part takes a byte and a comma.
        converted, notes = as_json(value, most_parts=2 * limit_bytes)
    except TooLarge as error:
        return {"truncated": True, "bytes": error.size, "head": ""}, []
    except Exception:  # noqa: BLE001  # even the class of a lazy object may raise
        converted, notes = text_of(value), []
    if mask:
        converted = mask.json(converted)
    text = json.dumps(converted)
    if len(text) > limit_bytes:
        return {"truncated": True, "bytes": len(text), "head": text[:1024]}, notes
    return converted, notes
